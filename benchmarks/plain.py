"""The networks of deepgen_bench in plain PyTorch for one replicate, with the training steps of PyTorch's examples."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def encoder_of(settings: dict[str, Any], dim: int) -> nn.Module:
    return mlp(dim, *settings["hidden"], 2 * settings["latent_dim"])


def decoder_of(settings: dict[str, Any], dim: int) -> nn.Module:
    return mlp(settings["latent_dim"], *settings["hidden"][::-1], dim)


def vae(settings: dict[str, Any], shape: list[int]) -> Callable[[Tensor], float]:
    """As in pytorch/examples/vae: sigmoid, summed binary cross-entropy, KL in closed form."""
    dim = prod(shape)
    encoder, decoder = encoder_of(settings, dim), decoder_of(settings, dim)
    optimiser = Adam([*encoder.parameters(), *decoder.parameters()], lr=settings["learning_rate"])

    def step(x: Tensor) -> float:
        x = x.flatten(1)
        optimiser.zero_grad()
        mean, log_variance = encoder(x).chunk(2, -1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        cross_entropy = F.binary_cross_entropy(decoder(z).sigmoid(), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        loss = cross_entropy + kl
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def gan_networks(settings: dict[str, Any], shape: list[int]) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator."""
    if settings.get("network") != "conv":
        return decoder_of(settings, prod(shape)), mlp(prod(shape), *settings["hidden"], 1)
    c, side = settings["channels"], shape[1] // 4
    generator = nn.Sequential(
        nn.Linear(settings["latent_dim"], 4 * c * side * side),
        nn.Unflatten(1, (4 * c, side, side)),
        nn.BatchNorm2d(4 * c),
        nn.ReLU(),
        nn.ConvTranspose2d(4 * c, 2 * c, 4, 2, 1),
        nn.BatchNorm2d(2 * c),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * c, shape[0], 4, 2, 1),
        nn.Tanh(),
    )
    critic = nn.Sequential(
        nn.Conv2d(shape[0], c, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(c, 2 * c, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * c * side * side, settings["hidden"][0]),
        nn.LeakyReLU(0.2),
        nn.Linear(settings["hidden"][0], 1),
    )
    return generator, critic


def gan(settings: dict[str, Any], shape: list[int]) -> Callable[[Tensor], float]:
    """As in pytorch/examples/dcgan: a step of the discriminator on real and generated examples, then a step of the
    generator with the non-saturating loss."""
    generator, critic = gan_networks(settings, shape)
    rate, loss = settings["learning_rate"], nn.BCEWithLogitsLoss()
    generator_optimiser = Adam(generator.parameters(), lr=rate, betas=(0.5, 0.999))
    critic_optimiser = Adam(critic.parameters(), lr=rate, betas=(0.5, 0.999))

    def step(x: Tensor) -> float:
        real, fake_label = torch.ones(len(x), 1), torch.zeros(len(x), 1)
        critic_optimiser.zero_grad()
        on_real = loss(critic(x), real)
        on_real.backward()
        fake = generator(torch.randn(len(x), settings["latent_dim"]))
        on_fake = loss(critic(fake.detach()), fake_label)
        on_fake.backward()
        critic_optimiser.step()
        generator_optimiser.zero_grad()
        error = loss(critic(fake), real)
        error.backward()
        generator_optimiser.step()
        return on_real.item() + on_fake.item() + error.item()

    return step


STEPS = {"vae": vae, "gan": gan, "gan_ns": gan}


def pythae_vae(settings: dict[str, Any], shape: list[int]) -> Any:
    """pythae's VAE with these networks."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    dim, latent = prod(shape), settings["latent_dim"]

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = encoder_of(settings, dim)

        def forward(self, x: Tensor) -> Any:
            mean, log_variance = self.network(x.flatten(1)).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = decoder_of(settings, dim)

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.network(z).sigmoid().unflatten(1, shape))

    config = VAEConfig(input_dim=tuple(shape), latent_dim=latent, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(), decoder=Decoder())
