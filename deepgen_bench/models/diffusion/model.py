"""Denoising diffusion probabilistic model (Ho, Jain & Abbeel 2020, arXiv 2006.11239) in continuous time.

A variance-preserving process z_λ = α x + σ ε, α² + σ² = 1, runs through the log signal-to-noise ratio λ = log α²/σ²
from `HIGH` (nearly data) to `LOW` (nearly noise). Samples are drawn in equal steps of λ; the λ of training are denser
in the middle, as with the cosine schedule (Nichol & Dhariwal 2021, arXiv 2102.09672).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.models.deep import SAMPLE_ROWS, DeepModel, Networks
from deepgen_bench.models.diffusion.unet import UNet
from deepgen_bench.models.looped import Looped
from deepgen_bench.models.networks import Linear, silu
from deepgen_bench.runtime.memory import evaluate_in_halves
from deepgen_bench.training.optimisers import Adam, Optimiser
from deepgen_bench.training.replicate_rng import ReplicateRNG

# log signal-to-noise ratios of the data side and of the noise side; data have a variance of about 1
HIGH, LOW = 11.0, -7.0
# scale of the logistic density of λ in training; uniform λ gives worse images and hardly better bounds
WIDTH = 2.5
# number of parts of the range in which the error is estimated separately
LEVELS = 50
# periods of the time features, in halves of the range
WAVES = (1, 2, 3, 4, 6, 8)


def signal(log_snr: float) -> float:
    """α at a log signal-to-noise ratio; σ is that of its negative."""
    return math.sqrt(1 / (1 + math.exp(-log_snr)))


def signal_and_noise(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """α and σ, in the shape of `log_snr`."""
    # not `sigmoid`, which rounds by place in the tensor
    return (0.5 * F.logsigmoid(log_snr)).exp(), (0.5 * F.logsigmoid(-log_snr)).exp()


def training_log_snr(times: Tensor) -> Tensor:
    """λ for uniform times in [0, 1), in their shape: logistic of scale `WIDTH` about 0, within the range."""
    first, last = (1 / (1 + math.exp(-end / WIDTH)) for end in (HIGH, LOW))
    share = first + (last - first) * times
    return WIDTH * (share.log() - (1 - share).log())


def fourier_features(x: Tensor, count: int) -> Tensor:
    """x (…, D) with its sines and cosines at `count` frequencies from 1/2 upwards, (…, D (1 + 2 count)).

    A smooth network does not resolve fine detail without them (Kingma et al. 2021, appendix C).
    """
    phases = [math.pi * 2**octave * x for octave in range(count)]
    return torch.cat([x, *(part for phase in phases for part in (phase.sin(), phase.cos()))], -1)


def time_features(log_snr: Tensor) -> Tensor:
    """(…, 1) → (…, 1 + 2 len(WAVES))."""
    u = (log_snr - LOW) / (HIGH - LOW) * 2 - 1
    phases = [math.pi * wave / 2 * u for wave in WAVES]
    return torch.cat([u, *(part for phase in phases for part in (phase.sin(), phase.cos()))], -1)


class DiffusionMLP(nn.Module):
    """z (S, B, D) and λ (S, B or 1, 1) → (S, B, D). The time scales and shifts every layer (Perez et al. 2018), and the
    straight path from z to the output, which alone would be right for independent Gaussians."""

    def __init__(self, dim: int, hidden: Sequence[int], fourier_features: int, generators: Sequence[torch.Generator]):
        super().__init__()
        self.fourier_features, times = fourier_features, 1 + 2 * len(WAVES)
        widths = [dim * (1 + 2 * fourier_features), *hidden]
        self.layers = nn.ModuleList(Linear(a, b, generators) for a, b in zip(widths, widths[1:], strict=False))
        self.times = nn.ModuleList(Linear(times, 2 * width, generators) for width in [*hidden, dim])
        self.head = Linear(widths[-1], dim, generators)

    def forward(self, z: Tensor, log_snr: Tensor) -> Tensor:
        time = time_features(log_snr)
        modulations = [layer(time).chunk(2, -1) for layer in self.times]
        h = fourier_features(z, self.fourier_features)
        for layer, (scale, shift) in zip(self.layers, modulations, strict=False):
            h = silu(layer(h) * (1 + scale) + shift)
        scale, shift = modulations[-1]
        return self.head(h) + scale * z + shift


class DiffusionUNet(nn.Module):
    """z (S, B, c·h·w) and λ (S, B or 1, 1) → (S, B, c·h·w), one replicate after the other."""

    def __init__(
        self, shape: tuple[int, ...], channels: int, fourier_features: int, generators: Sequence[torch.Generator]
    ):
        super().__init__()
        self.shape, self.fourier_features, times = shape, fourier_features, 1 + 2 * len(WAVES)
        c = shape[0]
        self.replicates = Looped(lambda: UNet(c * (1 + 2 * fourier_features), c, times, channels), generators)

    def forward(self, z: Tensor, log_snr: Tensor) -> Tensor:
        images = z.reshape(*z.shape[:2], *self.shape)
        details = fourier_features(images.movedim(2, -1), self.fourier_features).movedim(-1, 2)
        return self.replicates(details, time_features(log_snr)).flatten(2)


class DiffusionNetworks(Networks):
    """The denoiser, and `errors` (S, LEVELS): the mean squared error of its noise at each part of the range, on
    validation data."""

    errors: Tensor
    denoiser: nn.Module

    def __init__(self, replicates: int, dim: int, denoiser: nn.Module):
        super().__init__(replicates, dim, denoiser=denoiser)
        self.register_buffer("errors", torch.ones(replicates, LEVELS))


@dataclass(frozen=True)
class Transition:
    """A step back from λ = `now` to `following`, the data themselves where that is infinite.

    q(z_s|z_t, x) = N(keep z_t + pull x, least I), and the model's p(z_s|z_t) = N(keep z_t + pull x̂, variance I) with
    the variance that maximises the bound (Bao et al. 2022, arXiv 2201.06503, eq. 7): `least` plus the uncertainty of
    x̂, from `error`, the mean squared error of ε̂.
    """

    now: float
    following: float
    error: float

    @property
    def keep(self) -> float:
        return math.exp(self.now - self.following) * signal(self.following) / signal(self.now)

    @property
    def pull(self) -> float:
        return -math.expm1(self.now - self.following) * signal(self.following)

    @property
    def least(self) -> float:
        return -math.expm1(self.now - self.following) * signal(-self.following) ** 2

    @property
    def variance(self) -> float:
        return self.least + self.pull**2 * math.exp(-self.now) * self.error


class Diffusion(DeepModel):
    """DDPM on vectors, or on dequantised images scaled to [-1, 1].

    The network gives v = α ε - σ x (Salimans & Ho 2022, arXiv 2202.00512), from which x̂ and ε̂ follow at any noise
    level without division by a small number."""

    module: DiffusionNetworks
    representation = "dequantised"

    def __init__(self, settings: Any, spec: DataSpec, device: str = "cpu"):
        super().__init__(settings, spec, device)
        self.looped = settings.network == "unet"

    @property
    def steps(self) -> int:
        return self.settings.steps

    def build(self, generators: Sequence[torch.Generator]) -> DiffusionNetworks:
        s = self.settings
        if self.looped:
            network: nn.Module = DiffusionUNet(self.spec.shape, s.channels, s.fourier_features, generators)
        else:
            network = DiffusionMLP(self.spec.dim, s.hidden, s.fourier_features, generators)
        return DiffusionNetworks(len(generators), self.spec.dim, network)

    def optimisers(self) -> list[Optimiser]:
        return [Adam(self.module.parameters(), self.settings.learning_rate)]

    def scaled(self, x: Tensor) -> Tensor:
        return (x - self.module.shift) / self.module.scale

    def unscaled(self, x: Tensor) -> Tensor:
        return self.module.shift + self.module.scale * x

    def velocity(self, z: Tensor, log_snr: Tensor) -> Tensor:
        """v̂ (S, B, D) for z (S, B, D) and λ (S or 1, B or 1, 1)."""
        dtype = self.module.shift.dtype
        return self.module.denoiser(z.to(dtype), log_snr.to(dtype).expand(len(z), -1, 1)).to(z.dtype)

    def denoise(self, z: Tensor, log_snr: Tensor) -> Tensor:
        """x̂ (S, B, D), the estimate of E[x|z]; that of an image stays in its range."""
        alpha, sigma = signal_and_noise(log_snr)
        x = alpha * z - sigma * self.velocity(z, log_snr)
        return x.clamp(-1, 1) if self.spec.levels else x

    def step(self) -> dict[str, Tensor]:
        # each example at several times, and all times of a replicate evenly spread (Kingma et al. 2021, appendix I)
        x = self.scaled(self.batches.next()).repeat(1, self.settings.noise_levels, 1)
        rows = x.shape[1]
        times = (self.noise.uniform(1, 1) + torch.arange(rows, device=x.device)[:, None] / rows) % 1
        noise = self.noise.normal(*x.shape[1:])
        log_snr = training_log_snr(times)
        alpha, sigma = signal_and_noise(log_snr)
        misses = self.velocity(alpha * x + sigma * noise, log_snr) - (alpha * noise - sigma * x)
        # ε̂ - ε = α (v̂ - v): L_simple (Ho et al. 2020, eq. 14)
        loss = (alpha * misses).square().mean((1, 2))
        self.active[0].zero_grad()
        loss.sum().backward()
        self.active[0].step()
        return {"loss": loss.detach()}

    def validate(self) -> dict[str, Tensor]:
        # The same noise for every replicate and evaluation, as many examples at each level, and at least one. The mean
        # over even λ is the bound but for a factor and a constant (Kingma et al. 2021, arXiv 2107.00630, eq. 17).
        x = self.scaled(self.validation)
        rows = max(x.shape[1] // LEVELS, 1) * LEVELS
        x = x[:, torch.arange(rows, device=x.device) % x.shape[1]]
        noise = ReplicateRNG([self.validation_seed], self.device).normal(rows, self.spec.dim)
        times = (torch.arange(rows, device=x.device)[None, :, None] + 0.5) / rows
        log_snr = HIGH + (LOW - HIGH) * times
        alpha, sigma = signal_and_noise(log_snr)
        z = alpha * x + sigma * noise
        denoised = in_pieces(self.denoise, z, log_snr.expand(len(z), -1, 1))
        squares = (denoised - x).square().mean(-1) * log_snr.squeeze(-1).exp()
        errors = squares.unflatten(1, (LEVELS, -1)).mean(2)
        # an error of exactly 0 would leave the last step without a density
        self.module.errors.copy_(errors.clamp(min=1e-6))
        return {"validation_score": errors.mean(1)}

    def transitions(self, steps: int) -> list[Transition]:
        """The chain of a loaded replicate, from noise to data."""
        levels = [*np.linspace(LOW, HIGH, steps), math.inf]
        errors = self.module.errors[0].tolist()
        parts = [min(int((HIGH - now) / (HIGH - LOW) * LEVELS), LEVELS - 1) for now in levels[:-1]]
        pairs = zip(levels, levels[1:], strict=False)
        return [Transition(now, after, errors[i]) for (now, after), i in zip(pairs, parts, strict=True)]

    def ancestral(self, transition: Transition, z: Tensor, noise: Tensor) -> Tensor:
        """A draw from p(z_s|z_t) (Ho et al. 2020, algorithm 2)."""
        x = self.denoise(z, z.new_full((1, 1, 1), transition.now))
        return transition.keep * z + transition.pull * x + math.sqrt(transition.variance) * noise

    def deterministic(self, transition: Transition, z: Tensor) -> Tensor:
        """z_s of a step without noise (DDIM: Song, Meng & Ermon 2021, arXiv 2010.02502, eq. 12 with σ = 0)."""
        x = self.denoise(z, z.new_full((1, 1, 1), transition.now))
        ratio = signal(-transition.following) / signal(-transition.now)
        return signal(transition.following) * x + ratio * (z - signal(transition.now) * x)

    def sample_block(self, draws: ReplicateRNG) -> dict[str, np.ndarray]:
        # both samplers begin with the same noise; a chain's other draws are made as they are needed
        z = first = self.draw_latent(draws, SAMPLE_ROWS)
        for transition in self.transitions(self.settings.steps):
            z = in_pieces(partial(self.ancestral, transition), z, draws.normal(SAMPLE_ROWS, self.spec.dim))
        ddim, ancestral = self.settings.outputs(self.spec.support)
        outputs = {ddim: self.from_latent(first), ancestral: self.unscaled(z)}
        return {output: self.stored(x[0]) for output, x in outputs.items()}

    def draw_latent(self, draws: ReplicateRNG, rows: int) -> Tensor:
        return draws.normal(rows, self.spec.dim)

    def from_latent(self, z: Tensor) -> Tensor:
        """DDIM samples (S, B, D) of a loaded replicate for noise z (S, B, D)."""
        for transition in self.transitions(self.settings.ddim_steps):
            z = in_pieces(partial(self.deterministic, transition), z)
        return self.unscaled(z)


def in_pieces(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """`function` of tensors (S, B, …), evaluated on fewer rows at once if it runs out of memory."""
    parts = evaluate_in_halves(lambda rows: function(*(tensor[:, rows] for tensor in tensors)), tensors[0].shape[1])
    return torch.cat(parts, 1)
