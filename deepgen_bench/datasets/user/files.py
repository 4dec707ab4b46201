"""The user's own files as one thing: a folder of images, or an array in a `.npy` or `.npz` file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from deepgen_bench.datasets.user.image_folder import find_images
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import sha256_of, stamp, unreadable

T = TypeVar("T")


def files_of(path: Path) -> list[Path]:
    """The image files of a folder, in the order of their examples, or the file itself."""
    if not path.is_dir():
        return [path]
    files = find_images(path)
    if not files:
        raise UserError(f"{path}: no image files in this folder")
    return files


def the_array(path: Path, arrays: Mapping[str, T], others: str = "") -> T:
    """What a file's only array, or the one called `arr_0`, is mapped to; `others` would have been valid, too."""
    if len(arrays) != 1 and "arr_0" not in arrays:
        found = ", ".join(sorted(arrays)) or "none"
        raise UserError(f"{path}: arrays {found}; expected {others}arr_0, or a single array")
    return arrays["arr_0"] if "arr_0" in arrays else next(iter(arrays.values()))


def stamp_of(path: Path) -> str:
    """Cheap text that changes when the file, or an image in the folder, does; also when it is only touched."""
    return stamp(files_of(path), path.parent)


def content_of(path: Path) -> str:
    """SHA-256 of a file's content, or of those of a folder's images in their order: names and times do not count."""
    try:
        digests = [sha256_of(file) for file in files_of(path)]
    except OSError as error:
        raise unreadable(Path(error.filename or path), error) from None
    return sha256_of("\n".join(digests).encode())
