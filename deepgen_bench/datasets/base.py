"""What a dataset is: settings in, three fixed splits out; a synthetic one also has its exact density."""

from abc import ABC, abstractmethod
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

    `support` and `has_labels` are known before data are read, so that an impossible pairing of dataset, model and
    metric is refused when the experiment is validated. `minimum_accuracy` is the test accuracy that a classifier
    trained on the dataset must reach before its features may serve a metric; None where no such standard exists.
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
        """The splits; equal settings, base seed and source files give equal arrays."""

    def downloads(self) -> list[Download]:
        """The public files that it needs, wherever they are to be had."""
        return []

    def expected_size(self) -> tuple[int, int] | None:
        """Examples of all splits and numbers in each, as far as known before data are read; None otherwise."""
        return None

    def fingerprint(self) -> str:
        """Cheap text that changes when the user's own source files change; empty where there are none."""
        return ""


class SyntheticSettings(BaseSettings):
    n_train: int = Field(20_000, ge=10, le=10_000_000)
    n_validation: int = Field(4_000, ge=10, le=10_000_000)
    n_test: int = Field(10_000, ge=10, le=10_000_000)


class SyntheticDataset(Dataset):
    """A known continuous density; its splits are independent exact draws."""

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
        """`n` independent exact draws, float64 (n, d)."""

    def expected_size(self) -> tuple[int, int] | None:
        return sum(getattr(self.settings, f"n_{split}") for split in SPLITS), self.dim

    def splits(self, base_seed: int) -> Splits:
        def draw(split: str, n: int) -> np.ndarray:
            return self.sample(n, derive_rng(base_seed, "split", self.name, split))

        return Splits(
            DataSpec((self.dim,), self.support),
            draw("train", self.settings.n_train),
            draw("validation", self.settings.n_validation),
            draw("test", self.settings.n_test),
        )


def split_off(labels: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices of (kept, taken) examples: `n` are taken at random, each class in proportion to its size.

    Classes are rounded by largest remainder. Both index arrays are in random order, whatever that of the source, so
    that the first examples of a split are a fair sample of it. Equal labels for all give a plain random split.
    """
    _, label, count = np.unique(labels, return_inverse=True, return_counts=True)
    quota, remainder = np.divmod(n * count, len(labels))
    quota[np.argsort(-remainder, kind="stable")[: n - quota.sum()]] += 1
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(label[shuffled], kind="stable")]
    rank_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(count) - count, count)
    taken = np.zeros(len(labels), bool)
    taken[by_class[rank_in_class < np.repeat(quota, count)]] = True
    # shuffled anew: in the old order the first ones kept are of the classes that filled their quota first
    return rng.permutation(np.flatnonzero(~taken)), rng.permutation(np.flatnonzero(taken))
