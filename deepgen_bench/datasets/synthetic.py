"""Synthetic datasets with exact samples and an exact log density, the ground truth for likelihoods."""

from abc import abstractmethod
from math import ceil, log, pi, sqrt

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.base import SyntheticDataset, SyntheticSettings


def mixture_log_prob(x: np.ndarray, log_weights: np.ndarray, means: np.ndarray, sd: float) -> np.ndarray:
    """log Σ_j w_j N(x; μ_j, sd² I) in nats, for x (n, d), log_weights (m,) and means (m, d): (n,).

    Computed in log space, for the tails, and in chunks of x, for a large n.
    """
    x = np.asarray(x, np.float64)
    m, d = means.shape
    if x.ndim != 2 or x.shape[1] != d:
        raise ValueError(f"log_prob needs x of shape (n, {d}), got {x.shape}")
    chunk = max(1, 2**20 // (m * d))
    log_prob = np.empty(len(x))
    for start in range(0, len(x), chunk):
        squares = np.square(x[start : start + chunk, None, :] - means).sum(axis=2)
        log_prob[start : start + chunk] = np.logaddexp.reduce(log_weights - squares / (2 * sd**2), axis=1)
    return log_prob - d * (log(sd) + log(2 * pi) / 2)


class SineMixtureSettings(SyntheticSettings):
    variance: float = Field(0.01, ge=1e-4, le=1.0, description="variance of X given Z (not the standard deviation)")


class SineMixture(SyntheticDataset):
    """Z ~ N(0, 1), X | Z = z ~ N(sin z, variance), which has one dimension and two steep modes near -1 and 1.

    The density is the integral over z by the trapezoid rule on [-8, 8], with nodes 0.4 sd apart (401 at the default
    variance 0.01, where the error is 7e-16; Gauss-Hermite with 200 nodes is 4 % wrong). The entropy at the default
    is 0.834274 nats.
    """

    name = "sine_mixture"
    Settings = SineMixtureSettings
    settings: SineMixtureSettings
    dim = 1

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        sd = sqrt(self.settings.variance)
        z = np.linspace(-8, 8, max(401, ceil(16 / (0.4 * sd)) + 1))
        log_weights = log(z[1] - z[0]) - z**2 / 2 - log(2 * pi) / 2
        return mixture_log_prob(x, log_weights, np.sin(z)[:, None], sd)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        z = rng.standard_normal((n, 1))
        return np.sin(z) + sqrt(self.settings.variance) * rng.standard_normal((n, 1))


class GaussianMixture(SyntheticDataset):
    """Mixture of equally weighted isotropic Gaussians in the plane, as in mode-dropping benchmarks for GANs."""

    dim = 2

    @property
    @abstractmethod
    def modes(self) -> np.ndarray:
        """Means of the components, (m, 2)."""

    @property
    @abstractmethod
    def sd(self) -> float:
        """Standard deviation of every component along each coordinate."""

    def known_modes(self) -> tuple[np.ndarray, float]:
        return self.modes, self.sd

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        modes = self.modes
        return mixture_log_prob(x, np.full(len(modes), -log(len(modes))), modes, self.sd)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        modes = self.modes
        return modes[rng.integers(len(modes), size=n)] + self.sd * rng.standard_normal((n, 2))


class GaussianRingSettings(SyntheticSettings):
    n_modes: int = Field(8, ge=1, le=1_000)
    radius: float = Field(2.0, gt=0, le=1_000)
    sd: float = Field(0.1, gt=0, le=1_000)


class GaussianRing(GaussianMixture):
    """`n_modes` Gaussians evenly spaced on a circle."""

    name = "gaussian_ring"
    Settings = GaussianRingSettings
    settings: GaussianRingSettings

    @property
    def modes(self) -> np.ndarray:
        angle = 2 * pi * np.arange(self.settings.n_modes) / self.settings.n_modes
        return self.settings.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    @property
    def sd(self) -> float:
        return self.settings.sd


class GaussianGridSettings(SyntheticSettings):
    side: int = Field(5, ge=1, le=100)
    spacing: float = Field(2.0, gt=0, le=1_000)
    sd: float = Field(0.05, gt=0, le=1_000)


class GaussianGrid(GaussianMixture):
    """`side` × `side` Gaussians on a square grid centred at the origin."""

    name = "gaussian_grid"
    Settings = GaussianGridSettings
    settings: GaussianGridSettings

    @property
    def modes(self) -> np.ndarray:
        side = self.settings.side
        axis = self.settings.spacing * (np.arange(side) - (side - 1) / 2)
        return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)

    @property
    def sd(self) -> float:
        return self.settings.sd
