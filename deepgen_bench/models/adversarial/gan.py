"""Generative adversarial networks as in Goodfellow et al. 2014 (arXiv 1406.2661), and the parts that WGANs share."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from deepgen_bench.models.deep import Networks
from deepgen_bench.models.latent import DecoderModel
from deepgen_bench.runtime.memory import evaluate_in_halves
from deepgen_bench.training.optimisers import Adam, Optimiser
from deepgen_bench.training.replicate_rng import ReplicateRNG

# validation by sliced W2: enough projections and points to rank checkpoints, cheap enough to run 25 times
PROJECTIONS, POINTS = 100, 1000


def sliced_w2(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Sliced 2-Wasserstein distance between x and y, each (S, n, D), over unit vectors `directions` (L, D); (S,)."""
    x, y = ((points @ directions.T).sort(1).values for points in (x, y))
    return (x - y).square().mean((1, 2)).sqrt()


class AdversarialModel(DecoderModel):
    """A generator and a discriminator or critic, trained alternately."""

    def build(self, generators: Sequence[torch.Generator]) -> Networks:
        generator = self.up(generators, normalise=True)
        return Networks(len(generators), self.spec.dim, generator=generator, critic=self.down(1, generators))

    @abstractmethod
    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator or critic minimises, (S,), for samples (S, B, D)."""

    @abstractmethod
    def generator_loss(self, scores: Tensor) -> Tensor:
        """What the generator minimises, (S,), for the critic's scores (S, B) of its samples."""

    def after_critic_step(self) -> None:
        """Called after each update of the critic; weight clipping overrides it."""

    def critic(self, x: Tensor) -> Tensor:
        """Scores (S, B): the discriminator's logit or the critic's value."""
        return self.module.critic((x - self.module.shift) / self.module.scale).squeeze(-1)

    def generator(self, z: Tensor) -> Tensor:
        """Samples (S, B, D); images are kept in [0, 1] by a tanh."""
        out = self.module.generator(2 * torch.special.ndtr(z) - 1 if self.settings.latent == "uniform" else z)
        return self.module.shift + self.module.scale * (out.tanh() if self.spec.levels else out)

    def step(self) -> dict[str, Tensor]:
        generator_optimiser, critic_optimiser = self.active
        shape = self.settings.batch_size, self.settings.latent_dim
        for _ in range(self.settings.critic_steps):
            with torch.no_grad():
                fake = self.generator(self.noise.normal(*shape))
            critic_loss = self.critic_loss(self.batches.next(), fake)
            critic_optimiser.zero_grad()
            critic_loss.sum().backward(inputs=list(self.module.critic.parameters()))
            critic_optimiser.step()
            self.after_critic_step()
        generator_loss = self.generator_loss(self.critic(self.generator(self.noise.normal(*shape))))
        generator_optimiser.zero_grad()
        generator_loss.sum().backward(inputs=list(self.module.generator.parameters()))
        generator_optimiser.step()
        return {"generator_loss": generator_loss.detach(), "critic_loss": critic_loss.detach()}

    def validate(self) -> dict[str, Tensor]:
        points = self.validation[:, :POINTS].expand(len(self.module.shift), -1, -1)
        draws = ReplicateRNG([self.validation_seed], self.device)
        z = draws.normal(points.shape[1], self.settings.latent_dim)
        z = z.expand(len(self.module.shift), -1, -1)
        fake = torch.cat(evaluate_in_halves(lambda rows: self.generator(z[:, rows]), z.shape[1]), 1)
        directions = F.normalize(draws.normal(PROJECTIONS, self.spec.dim)[0], dim=-1)
        score = sliced_w2(points, fake, directions)
        # scores of both (S, 2, n)
        scores = evaluate_in_halves(
            lambda rows: torch.stack([self.critic(x[:, rows]) for x in (points, fake)], 1), points.shape[1]
        )
        return {"validation_score": score} | self.critic_metrics(*torch.cat(scores, 2).unbind(1))

    @abstractmethod
    def critic_metrics(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Metrics for the curves from the critic's scores (S, n) of held-out data and of samples."""

    def generate(self, *drawn: Tensor) -> dict[str, Tensor]:
        return {"": self.generator(*drawn)}

    def generate_mean(self, z: Tensor) -> Tensor:
        """Samples (m, D) of one loaded replicate for z (m, Z), to which noise may be added that has a density.

        Images are on the scale of dequantised data, where a sample lies in the middle of what rounds to its level.
        """
        x, levels = self.generator(z[None])[0], self.spec.levels
        return x if levels is None else (x * (levels - 1) + 0.5) / levels


class MinimaxGAN(AdversarialModel):
    """min over G, max over D of E log D(x) + E log(1 - D(G(z))), as written (Goodfellow et al. 2014, eq. 1)."""

    def optimisers(self) -> list[Optimiser]:
        s, betas = self.settings, (self.settings.beta1, 0.999)
        return [
            Adam(self.module.generator.parameters(), s.learning_rate, betas),
            Adam(self.module.critic.parameters(), s.discriminator_learning_rate, betas),
        ]

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        # log D = logsigmoid(logit) and log(1 - D) = logsigmoid(-logit), exact where the sigmoid would saturate; unlike
        # softplus it rounds the same in every place of a tensor
        real_scores, fake_scores = self.critic(torch.cat([real, fake], 1)).chunk(2, 1)
        return -F.logsigmoid(real_scores).mean(1) - F.logsigmoid(-fake_scores).mean(1)

    def generator_loss(self, scores: Tensor) -> Tensor:
        return F.logsigmoid(-scores).mean(1)

    def critic_metrics(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The value V(G, D) on held-out data; 2·JSD - 2 log 2 at the optimal discriminator."""
        return {"validation_value": F.logsigmoid(real).mean(1) + F.logsigmoid(-fake).mean(1)}


class NonSaturatingGAN(MinimaxGAN):
    """The generator maximises log D(G(z)) instead (Goodfellow et al. 2014, section 3)."""

    def generator_loss(self, scores: Tensor) -> Tensor:
        return -F.logsigmoid(scores).mean(1)
