"""Variational autoencoder: p(x) = ∫ N(z; 0, I) p(x|z) dz with a Gaussian or Bernoulli decoder (Kingma & Welling
2014)."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepgen_bench.models.deep import Networks
from deepgen_bench.models.latent import DecoderModel
from deepgen_bench.runtime.memory import evaluate_in_halves
from deepgen_bench.training.optimisers import Adam, Optimiser
from deepgen_bench.training.replicate_rng import ReplicateRNG

# smallest initial probability of a pixel under a Bernoulli decoder
RAREST = 1e-3
# 2^FOLDS factors of at most 2 are multiplied before a logarithm is taken of them, for which float32 has room
FOLDS = 4


class VAENetworks(Networks):
    """Encoder, decoder and the Gaussian decoder's log τ, one for each replicate."""

    def __init__(
        self, replicates: int, dim: int, log_tau: float, learned: bool, encoder: nn.Module, decoder: nn.Module
    ):
        super().__init__(replicates, dim, encoder=encoder, decoder=decoder)
        self.log_tau = nn.Parameter(torch.full((replicates, 1, 1), log_tau), requires_grad=learned)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp log_variance) ‖ N(0, I)), summed over the last axis (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, I), summed over the last axis."""
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi))


def log_sigmoid_sum(t: Tensor) -> Tensor:
    """Σ log σ(t) over the last axis of a tensor that is overwritten and has no gradient.

    log σ(t) = min(t, 0) - log(1 + exp(-|t|)), where the logarithm is taken once for many factors, each at most 2: it
    is the costliest part of importance weights except for the products.
    """
    low = t.clamp(max=0).sum(-1)
    factors = t.abs_().neg_().exp_().add_(1)
    for _ in range(FOLDS):
        if factors.shape[-1] % 2:
            break
        first, second = factors.chunk(2, -1)
        factors = first.mul_(second)
    return low - factors.log().sum(-1)


class VAE(DecoderModel):
    """VAE, and with `objective: iwae` the importance-weighted autoencoder (Burda et al. 2016, arXiv 1509.00519, eq.
    8)."""

    module: VAENetworks

    @property
    def representation(self) -> str:  # type: ignore[override]
        return "dequantised" if self.settings.decoder == "gaussian" else "binarised"

    def build(self, generators: Sequence[torch.Generator]) -> VAENetworks:
        s = self.settings
        learned = s.decoder == "gaussian" and s.tau == "learned"
        # a learned τ is in units of the data's scale, see log_tau
        log_tau = math.log(s.initial_tau if s.tau == "learned" else s.tau)
        encoder = self.down(2 * s.latent_dim, generators)
        return VAENetworks(len(generators), self.spec.dim, log_tau, learned, encoder, self.up(generators, False))

    def fit_scale(self, train: np.ndarray) -> None:
        """Centre images at the mean of the training images, where the decoder starts.

        Centred at 0.5, most pixels would be -1 in all images, and all weights of the encoder's first layer would move
        together.
        """
        super().fit_scale(train)
        if levels := self.spec.levels:
            mean = train.reshape(len(train), -1).mean(0)
            mean = mean / (levels - 1) if self.representation == "binarised" else (mean + 0.5) / levels
            self.module.shift[:] = torch.as_tensor(mean)

    def optimisers(self) -> list[Optimiser]:
        s = self.settings
        return [Adam(self.module.parameters(), s.learning_rate, epsilon=s.epsilon)]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x), each (S, B, Z)."""
        mean, log_variance = self.module.encoder((x - self.module.shift) / self.module.scale).chunk(2, -1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """The Gaussian decoder's mean in data units, or the Bernoulli decoder's logits, (S, B, D)."""
        out = self.module.decoder(z)
        if self.settings.decoder == "bernoulli":
            mean = self.module.shift.clamp(RAREST, 1 - RAREST)
            # not `logit`, which rounds by place in the tensor
            return out + (mean.log() - (1 - mean).log())
        return self.module.shift + self.module.scale * out

    def log_tau(self) -> Tensor:
        """log τ in data units, (S, 1, 1)."""
        if self.settings.tau == "learned":
            return self.module.log_tau + self.module.scale.log()
        return self.module.log_tau

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), (S, B), for x (S, B, D) or broadcast to it, and z (S, B, Z). Nats per example."""
        out = self.decode(z)
        if self.settings.decoder == "bernoulli":
            # log sigmoid(±logit) for x = 1 and 0; the gradient of torch's cross-entropy rounds by place in the tensor
            out = (2 * x - 1) * out
            return F.logsigmoid(out).sum(-1) if out.requires_grad else log_sigmoid_sum(out)
        log_tau = self.log_tau()
        errors = ((x - out) * (-log_tau).exp()).square().sum(-1)
        return -0.5 * (errors + self.spec.dim * (2 * log_tau.squeeze(-1) + math.log(2 * math.pi)))

    def observation(self) -> tuple[Callable[[Tensor], Tensor], float | None]:
        """p(x|z) of one loaded replicate: from z (m, Z) to x's mean, and τ; or to a Bernoulli's logits, and None."""
        tau = None if self.settings.decoder == "bernoulli" else self.log_tau().double().exp().item()
        return lambda z: self.decode(z[None])[0], tau

    def bound(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The objective, its reconstruction part and its KL part, each (S, B), for `noise` (S, k·B, Z).

        For the ELBO the KL is in closed form and the reconstruction a mean over k draws; for the IWAE the objective is
        log 1/k Σ w, the parts are those of the ELBO.
        """
        k = noise.shape[1] // x.shape[1]
        mean, log_variance = self.encode(x)
        kl = kl_to_standard_normal(mean, log_variance)
        if k > 1:
            x, mean, log_variance = (t.repeat(1, k, 1) for t in (x, mean, log_variance))
        z = mean + (0.5 * log_variance).exp() * noise
        log_likelihood = self.log_likelihood(x, z)
        reconstruction = log_likelihood.unflatten(1, (k, -1)).mean(1)
        if self.settings.objective == "elbo":
            return reconstruction - kl, reconstruction, kl
        log_q = standard_normal_log_prob(noise) - 0.5 * log_variance.sum(-1)
        log_weights = log_likelihood + standard_normal_log_prob(z) - log_q
        return log_weights.unflatten(1, (k, -1)).logsumexp(1) - math.log(k), reconstruction, kl

    def step(self) -> dict[str, Tensor]:
        x = self.batches.next()
        noise = self.noise.normal(self.settings.samples * x.shape[1], self.settings.latent_dim)
        objective, reconstruction, kl = self.bound(x, noise)
        loss = -objective.mean(1)
        self.active[0].zero_grad()
        loss.sum().backward()
        self.active[0].step()
        return {"loss": loss.detach(), "reconstruction": reconstruction.detach().mean(1), "kl": kl.detach().mean(1)}

    def validate(self) -> dict[str, Tensor]:
        x = self.validation.expand(len(self.module.shift), -1, -1)
        noise = ReplicateRNG([self.validation_seed], self.device).normal(x.shape[1], self.settings.latent_dim)

        def parts(rows: slice) -> Tensor:
            mean, log_variance = self.encode(x[:, rows])
            z = mean + (0.5 * log_variance).exp() * noise[:, rows]
            return torch.stack([self.log_likelihood(x[:, rows], z), kl_to_standard_normal(mean, log_variance)])

        reconstruction, kl = torch.cat(evaluate_in_halves(parts, x.shape[1]), 2).mean(2)
        # -ELBO, the score that any latent-variable objective here is a bound to
        return {
            "validation_score": kl - reconstruction,
            "validation_elbo": reconstruction - kl,
            "tau": self.log_tau().exp().flatten(),
        }

    def draw(self, draws: ReplicateRNG, rows: int) -> tuple[Tensor, ...]:
        return *super().draw(draws, rows), draws.normal(rows, self.spec.dim)

    def generate(self, *drawn: Tensor) -> dict[str, Tensor]:
        z, noise = drawn
        out = self.decode(z)
        if self.settings.decoder == "bernoulli":
            mean = out.sigmoid()
            return {"mean": mean, "draw": (torch.special.ndtr(noise) < mean).float()}
        return {"mean": out, "draw": out + self.log_tau().exp() * noise}
