"""Datasets: a source of three fixed splits, which synthetic datasets draw from an exactly known density."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.spec import DataSpec, Support
from deepgen_bench.plugins import Settings as BaseSettings
from deepgen_bench.runtime.seeds import derive_rng
from deepgen_bench.storage.downloads import Download

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """Train, validation and test examples, (n, *spec.shape) each.

    Images are uint8 in 0 … levels - 1, vectors are float64. `labels` maps every split to int64 (n,) in
    0 … classes - 1; it is empty where `spec.classes` is None.
    """

    spec: DataSpec
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    labels: dict[str, np.ndarray] = field(default_factory=dict)


class Dataset(ABC):
    """A named source of three splits that depend on the settings and the base seed alone.

    `support` and `has_labels` are known before data are read, so that an impossible combination of dataset, model and
    metric is refused when the experiment is validated. `minimum_accuracy` is the test accuracy that a classifier
    trained on the dataset must reach before a metric may use its features; None if there is no such standard.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[BaseSettings]]
    support: ClassVar[Support]
    minimum_accuracy: ClassVar[float | None] = None
    has_labels: bool = False

    def __init__(self, settings: BaseSettings):
        self.settings = settings

    @abstractmethod
    def splits(self, base_seed: int) -> Splits:
        """Return the splits; equal settings, base seed and source files give equal arrays."""

    def downloads(self) -> list[Download]:
        """Public files that the dataset needs."""
        return []

    def expected_size(self) -> tuple[int, int] | None:
        """Examples of all splits and numbers in each, as far as known before data are read; None otherwise."""
        return None

    def fingerprint(self) -> str:
        """Text that is cheap to compute and changes when the user's source files change; empty if there are none."""
        return ""

    @property
    def exact_density(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """The exact log density in nats, float64 (n, d) to (n,); None if it is unknown."""
        return None

    @property
    def exact_sampler(self) -> Callable[[int, np.random.Generator], np.ndarray] | None:
        """A function that draws n independent examples, float64 (n, d), from the exact density; None if unknown."""
        return None

    def known_modes(self) -> tuple[np.ndarray, float] | None:
        """Means (m, d) of the density's modes and their standard deviation in every direction; None if unknown."""
        return None


class SyntheticSettings(BaseSettings):
    n_train: int = Field(20_000, ge=10, le=10_000_000)
    n_validation: int = Field(4_000, ge=10, le=10_000_000)
    n_test: int = Field(10_000, ge=10, le=10_000_000)


class SyntheticDataset(Dataset):
    """A known continuous density; the splits are independent exact samples of it."""

    support = "continuous"
    settings: SyntheticSettings

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of coordinates d of one example."""

    @abstractmethod
    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Exact log density in nats: float64 (n, d) to (n,)."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw `n` independent exact samples, float64 (n, d)."""

    def expected_size(self) -> tuple[int, int]:
        return self.settings.n_train + self.settings.n_validation + self.settings.n_test, self.dim

    @property
    def exact_density(self) -> Callable[[np.ndarray], np.ndarray]:
        return self.log_prob

    @property
    def exact_sampler(self) -> Callable[[int, np.random.Generator], np.ndarray]:
        return self.sample

    def splits(self, base_seed: int) -> Splits:
        def draw(split: str, n: int) -> np.ndarray:
            return self.sample(n, derive_rng(base_seed, "split", self.name, split))

        return Splits(
            DataSpec((self.dim,), self.support),
            draw("train", self.settings.n_train),
            draw("validation", self.settings.n_validation),
            draw("test", self.settings.n_test),
        )


def stratified_split(labels: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split examples at random: indices of the remaining ones, and of `n` in which each class keeps its proportion.

    Class sizes are rounded by largest remainder. Both index arrays are in random order, whatever that of the source,
    so that the first examples of a split are a fair sample of it. Equal labels for all give a plain random split.
    """
    _, label, count = np.unique(labels, return_inverse=True, return_counts=True)
    quota, remainder = np.divmod(n * count, len(labels))
    quota[np.argsort(-remainder, kind="stable")[: n - quota.sum()]] += 1
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(label[shuffled], kind="stable")]
    rank_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(count) - count, count)
    selected = np.zeros(len(labels), bool)
    selected[by_class[rank_in_class < np.repeat(quota, count)]] = True
    # shuffled again: in the order of `shuffled` the first remaining examples belong to classes whose quota fills first
    return rng.permutation(np.flatnonzero(~selected)), rng.permutation(np.flatnonzero(selected))
