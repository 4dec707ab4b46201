"""Prepared splits on disk: `.npy` arrays and, written last, a sealed `dataset.json` with their digests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from deepgen_bench.datasets.base import SPLITS, Dataset, Splits
from deepgen_bench.datasets.images import check_levels
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import (
    canonical_json,
    check_sha256,
    read_array,
    read_sealed,
    sha256_of,
    write_array,
    write_sealed,
)

MANIFEST = "dataset.json"


def prepare(
    dataset: Dataset,
    base_seed: int,
    directory: Path,
    accept: Callable[[DataSpec, int], None] = lambda spec, n_test: None,
) -> None:
    """Write `<split>.npy`, `<split>_labels.npy` where there are labels, and `dataset.json` into `directory`.

    Every array is checked first: shape, dtype, finite, not empty, levels and labels in range. `accept` is given the
    spec and the number of test examples, and may raise a `UserError` before anything is written. `digest` in
    `dataset.json` identifies the contents and the spec, independent of the dataset's name and location.
    """
    splits = dataset.splits(base_seed)
    check_splits(dataset.name, splits)
    accept(splits.spec, len(splits.test))
    (directory / MANIFEST).unlink(missing_ok=True)  # an interrupted rewrite must not look complete
    arrays = {f"{split}.npy": getattr(splits, split) for split in SPLITS}
    arrays |= {f"{split}_labels.npy": labels for split, labels in splits.labels.items()}
    for name, array in arrays.items():
        write_array(directory / name, np.ascontiguousarray(array))
    files = {name: sha256_of(directory / name) for name in arrays}
    spec = splits.spec.to_json()
    manifest = {
        "name": dataset.name,
        "settings": dataset.settings.identity(),
        "base_seed": base_seed,
        "source": dataset.fingerprint(),
        "spec": spec,
        "sizes": {split: len(getattr(splits, split)) for split in SPLITS},
        "files": files,
        "digest": sha256_of(canonical_json({"spec": spec, "files": files}).encode()),
    }
    write_sealed(directory / MANIFEST, manifest)


def check_splits(name: str, splits: Splits) -> None:
    """Raise a `UserError` naming dataset and split unless every array matches `splits.spec`."""
    spec = splits.spec
    dtype = np.float64 if spec.support == "continuous" else np.uint8
    levels = 2 if spec.support == "binary" else spec.levels
    if set(splits.labels) != (set(SPLITS) if spec.classes else set()):
        raise UserError(f"dataset {name}: labels of {sorted(splits.labels)}, but spec.classes is {spec.classes}")
    for split in SPLITS:
        array, source = getattr(splits, split), f"dataset {name}, {split}"
        if array.dtype != dtype or array.shape[1:] != spec.shape:
            expected = f"{np.dtype(dtype)} (n, {', '.join(map(str, spec.shape))})"
            raise UserError(f"{source}: {array.dtype} {array.shape}, expected {expected}")
        if len(array) == 0:
            raise UserError(f"{source}: no examples")
        if dtype is np.float64 and not np.isfinite(array).all():
            raise UserError(f"{source}: not all values are finite")
        if levels is not None:
            check_levels(source, array, levels)
        if spec.classes:
            labels = splits.labels[split]
            if labels.dtype != np.int64 or labels.shape != array.shape[:1]:
                raise UserError(f"{source}: labels {labels.dtype} {labels.shape}, expected int64 ({len(array)},)")
            if labels.min() < 0 or labels.max() >= spec.classes:
                wrong = labels.min() if labels.min() < 0 else labels.max()
                raise UserError(f"{source}: label {wrong}, valid: 0 … {spec.classes - 1}")


class Prepared:
    """A prepared dataset, read lazily: `dataset.json` at once, the file of a split when it is asked for.

    `spec` and `sizes` (examples per split) describe the data, `digest` identifies the contents and `source` is the
    fingerprint of the user's files that they were read from. Errors: `Damaged` for a file that is missing or not as it
    was written.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        manifest = read_sealed(directory / MANIFEST)
        self.name: str = manifest["name"]
        self.source: str = manifest["source"]
        self.spec = DataSpec.from_json(manifest["spec"])
        self.sizes: dict[str, int] = manifest["sizes"]
        self.digest: str = manifest["digest"]
        self.files: dict[str, str] = manifest["files"]

    def split(self, name: str) -> np.ndarray:
        """The examples of a split, (n, *spec.shape): float64, or uint8 for images and binary data."""
        return self._read(name, f"{name}.npy")

    def labels(self, name: str) -> np.ndarray | None:
        """The labels of a split, int64 (n,); None if the dataset has none."""
        return self._read(name, f"{name}_labels.npy") if self.spec.classes else None

    def check(self) -> None:
        """Raise `Damaged` unless every file is present and as it was written."""
        for file, digest in self.files.items():
            check_sha256(self.directory / file, digest)

    def _read(self, split: str, file: str) -> np.ndarray:
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}; valid: {', '.join(SPLITS)}")
        path = self.directory / file
        check_sha256(path, self.files[file])
        return read_array(path)
