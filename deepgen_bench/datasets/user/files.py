"""User-supplied data: a folder of images, or an array in a `.npy` or `.npz` file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from deepgen_bench.datasets.user.image_folder import find_images, read_images, report_skipped
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.seeds import derive_rng
from deepgen_bench.storage.files import read_arrays, sha256_of, stamp, unreadable

T = TypeVar("T")


def source_files(path: Path) -> list[Path]:
    """The image files of a folder, in the order of their examples, or the file itself."""
    return find_images(path) if path.is_dir() else [path]


def read_source(path: Path, n: int | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file by name, or the images of a folder, uint8 (n, c, h, w), under the name "".

    Of a folder that has more than `n` images a random subset of that size is read (`random_subset`).
    """
    if path.is_dir():
        files = source_files(path)
        report_skipped(path)
        return {"": read_images([files[i] for i in random_subset(len(files), n)])}
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    return read_arrays(path)


def random_subset(count: int, n: int | None = None) -> np.ndarray:
    """Indices of `n` of `count` examples in random order, or of all; the same for every file with as many examples.

    The order of a user's files often has a meaning: classes one after the other, the best first.
    """
    return derive_rng(0, "subset", count).permutation(count)[:n]


def single_array(path: Path, arrays: Mapping[str, T], alternatives: str = "") -> T:
    """The value of a file's only array, or of the one named `arr_0`.

    Errors: `UserError` if there is no such array; `alternatives` in its message are what else the caller accepts.
    """
    if len(arrays) != 1 and "arr_0" not in arrays:
        names = ", ".join(sorted(arrays)) or "none"
        raise UserError(f"{path}: arrays {names}; expected {alternatives}arr_0, or a single array")
    return arrays["arr_0"] if "arr_0" in arrays else next(iter(arrays.values()))


def source_stamp(path: Path) -> str:
    """Text that is cheap to compute and changes when the file, or an image in the folder, is modified or touched."""
    return stamp(source_files(path), path.parent)


def source_digest(path: Path) -> str:
    """SHA-256 of a file's content, or of the contents of a folder's images in order, without their names and times."""
    try:
        digests = [sha256_of(file) for file in source_files(path)]
    except OSError as error:
        raise unreadable(Path(error.filename or path), error) from None
    return sha256_of("\n".join(digests).encode())
