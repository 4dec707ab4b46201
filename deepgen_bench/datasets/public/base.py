"""Base of public image datasets: torchvision's directory layout, downloads, splits. Imports no torch."""

import hashlib
import os
from abc import abstractmethod
from math import prod
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.base import Dataset, Splits, stratified_split
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.plugins import Settings, not_identity
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.seeds import derive_rng
from deepgen_bench.storage.downloads import fetch
from deepgen_bench.storage.files import unreadable

Labelled = tuple[np.ndarray, np.ndarray]


class PublicSettings(Settings):
    data_dir: Path | None = not_identity(
        default=None, description="torchvision's root folder; else $DEEPGEN_DATA, else ~/.cache/deepgen_bench"
    )
    n_validation: int = Field(10_000, ge=10, le=40_000, description="taken from the official training set")


class PublicImages(Dataset):
    """A dataset in torchvision's directory layout; missing files are downloaded.

    The test split is the official test set; the validation split is a seeded, stratified part of the official training
    set. `n_images` counts both official sets.
    """

    Settings = PublicSettings
    settings: PublicSettings
    support = "image"
    has_labels = True
    folder: ClassVar[str]
    shape: ClassVar[tuple[int, int, int]]
    n_images: ClassVar[int]

    @abstractmethod
    def read_train(self) -> Labelled:
        """Read the official training set: uint8 (n, *shape) and int64 (n,)."""

    @abstractmethod
    def read_test(self) -> Labelled:
        """Read the official test set: uint8 (n, *shape) and int64 (n,)."""

    def expected_size(self) -> tuple[int, int]:
        return self.n_images, prod(self.shape)

    def splits(self, base_seed: int) -> Splits:
        fetch(self.name, self.downloads())
        (images, labels), (test, test_labels) = self.read_train(), self.read_test()
        if self.settings.n_validation >= len(images):
            raise UserError(f"{self.name}: n_validation {self.settings.n_validation} of {len(images)} training images")
        rng = derive_rng(base_seed, "split", self.name)
        train, validation = stratified_split(labels, self.settings.n_validation, rng)
        # The first half of MNIST's test file is easier than the second, and metrics take the first n examples.
        order = rng.permutation(len(test))
        return Splits(
            DataSpec(self.shape, self.support, levels=256, classes=10),
            images[train],
            images[validation],
            test[order],
            {"train": labels[train], "validation": labels[validation], "test": test_labels[order]},
        )

    @property
    def data_dir(self) -> Path:
        """The root folder of public datasets."""
        return Path(self.settings.data_dir or os.environ.get("DEEPGEN_DATA") or "~/.cache/deepgen_bench").expanduser()

    @property
    def directory(self) -> Path:
        """This dataset's folder."""
        return self.data_dir / self.folder


def read_file(path: Path) -> bytes:
    """The content of a file. Errors: `UserError` naming it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def check_digest(path: Path, data: bytes, algorithm: str, expected: str) -> None:
    """Raise a `UserError` naming `path` unless the digest of `data` is the expected one."""
    if hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() != expected:
        raise UserError(
            f"{path}: altered or incomplete ({algorithm} is not {expected}); remove it to download it again"
        )
