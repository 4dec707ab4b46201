"""Inputs of metric families besides the samples: facts about the dataset, and feature extractors. Imports no torch."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.runtime.errors import UserError


@dataclass(frozen=True)
class Features:
    """`features` (n, d) float64; `logits` (n, classes) float64, None if the extractor predicts no classes."""

    features: np.ndarray
    logits: np.ndarray | None = None


class Extractor(Protocol):
    """A network that maps stored images, uint8 levels (n, channels, height, width), to features.

    `digest` is the SHA-256 of its weights: numbers from extractors with different digests are never compared.
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def __call__(self, images: np.ndarray) -> Features: ...


@dataclass(frozen=True)
class Modes:
    """The known modes of a synthetic density: `means` (m, d), each with standard deviation `sd` in every direction."""

    means: np.ndarray
    sd: float


@dataclass(frozen=True)
class Context:
    """The inputs of a family besides the two samples: the `spec` of the data, the axes of seeds, and the extractors.

    `train` is the training split as stored: projections and kernel widths are computed from it before any test data are
    seen, and copies of it are searched for. `validation` chooses a bandwidth that the training split cannot. `modes` is
    None if the density is unknown or has no separate modes.
    """

    spec: DataSpec
    base_seed: int
    dataset: str
    train: np.ndarray
    extractors: dict[str, Extractor] = field(default_factory=dict)
    modes: Modes | None = None
    validation: np.ndarray | None = None


def as_vectors(array: np.ndarray, spec: DataSpec) -> np.ndarray:
    """Stored data as float64 vectors (n, d): flattened, levels 0 … L-1 scaled to [0, 1]."""
    if tuple(array.shape[1:]) != tuple(spec.shape):
        raise UserError(f"examples have shape {array.shape[1:]}, the dataset's are {spec.shape}")
    vectors = array.reshape(len(array), spec.dim).astype(np.float64, copy=False)
    return vectors / (spec.levels - 1) if spec.levels else vectors
