"""Held-out examples and their representations for likelihoods."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from deepgen_bench.datasets.representation import binarise, dequantise
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.arrays import as_points
from deepgen_bench.runtime.seeds import derive_rng, derive_seed

if TYPE_CHECKING:
    from torch import Generator

Density = Callable[[np.ndarray], np.ndarray]
"""Maps examples (n, D) to their log densities (n,)."""


@dataclass(frozen=True)
class HeldOut:
    """Test examples as stored, represented with the same noise for every model.

    `train` holds as many training examples, for the train-test gap; without them there are no rows of training data.
    `validation` examples choose parameters that a density needs besides the model.
    """

    x: np.ndarray
    spec: DataSpec
    base_seed: int
    dataset: str
    train: np.ndarray | None = None
    validation: np.ndarray | None = None

    def without_train(self) -> "HeldOut":
        return replace(self, train=None)

    def represent(self, representation: str, split: str = "test") -> tuple[str, np.ndarray]:
        """The name of the representation and the examples of a split in it, float64 (n, D)."""
        x = {"test": self.x, "train": self.train, "validation": self.validation}[split]
        assert x is not None
        if self.spec.levels is None:
            return self.spec.support, as_points(f"{split} examples", x.reshape(len(x), -1))
        rng = derive_rng(self.base_seed, "metric", self.dataset, *axes(representation, split))
        draw = binarise if representation == "binarised" else dequantise
        return representation, draw(x, self.spec.levels, rng)

    def seed(self, role: str, split: str = "test") -> int:
        """The seed of a random stream, the same for every model on this dataset."""
        return derive_seed(self.base_seed, "metric", self.dataset, *axes(role, split))

    def generator(self, role: str, device: str, split: str = "test") -> "Generator":
        """The torch generator of a random stream, seeded by `seed`."""
        import torch

        return torch.Generator(device).manual_seed(self.seed(role, split))


def axes(role: str, split: str) -> list[str]:
    """The axes of a random stream: each split has its own."""
    return [role] if split == "test" else [role, split]
