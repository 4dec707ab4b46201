"""Images in a folder of PNG, JPEG, BMP or WebP files."""

import os
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from deepgen_bench.datasets.base import Splits
from deepgen_bench.datasets.user.base import UserImages, UserSettings
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import stamp, unreadable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")

ORIENTATION = 0x0112
"""Tag of the orientation in EXIF; 2 to 8 are turned or mirrored."""


class ImageFolderSettings(UserSettings):
    image_size: tuple[PositiveInt, PositiveInt] | None = Field(
        None, description="required (height, width); images are not resized"
    )
    classes_from_folders: bool = Field(False, description="use the folders directly below path as classes")


class ImageFolder(UserImages):
    """PNG, JPEG, BMP and WebP files below a folder, all of one size and all 8-bit grey or all RGB.

    Images are turned as their EXIF orientation says; nothing else is converted, and nothing resized. Hidden files and
    files with other suffixes are skipped, of the latter a line says how many.
    """

    name = "image_folder"
    Settings = ImageFolderSettings
    settings: ImageFolderSettings

    def __init__(self, settings: ImageFolderSettings):
        super().__init__(settings)
        self.has_labels = settings.classes_from_folders

    def fingerprint(self) -> str:
        return stamp(self._files(), self.path.parent)

    def splits(self, base_seed: int) -> Splits:
        files = self._files()
        report_skipped(self.path)
        images = {"train": read_images(files, self.settings.image_size)}
        labels = {}
        if self.has_labels:
            classes = np.array([file.relative_to(self.path).parts[0] for file in files])
            labels["train"] = np.unique(classes, return_inverse=True)[1].astype(np.int64)
        return self.complete(images, labels, 256, base_seed)

    def _files(self) -> list[Path]:
        """The image files in a fixed order.

        Errors: `UserError` if there are none or, with classes, for a file outside a class folder or an empty one.
        """
        if not self.path.is_dir():
            raise UserError(f"{self.path}: not a folder")
        files = find_images(self.path)
        if self.has_labels:
            classes = {file.relative_to(self.path).parts[0] for file in files if file.parent != self.path}
            stray = [file for file in files if file.parent == self.path]
            empty = [
                entry
                for entry in sorted(self.path.iterdir())
                if entry.is_dir() and not entry.name.startswith(".") and entry.name not in classes
            ]
            if stray:
                raise UserError(f"{stray[0]}: outside a class folder, while classes_from_folders is true")
            if empty:
                raise UserError(f"{empty[0]}: class folder without images ({', '.join(SUFFIXES)})")
        return files


def find_images(folder: Path) -> list[Path]:
    """Find the image files of a folder at any depth, sorted by path. Errors: `UserError` if there are none."""
    images, others = _scan(folder)
    if not images:
        found = f"; found {_suffixes(others)}" if others else ""
        raise UserError(f"{folder}: no image files{found}; valid: {', '.join(SUFFIXES)}")
    return images


def report_skipped(folder: Path) -> None:
    """Say on stderr how many files of a folder are not read because of their suffixes."""
    images, others = _scan(folder)
    if others:
        files = f"{len(others)} files skipped, {_suffixes(others)}; read: {', '.join(SUFFIXES)}"
        print(f"{folder}: {len(images)} images, {files}", file=sys.stderr)


def _scan(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files with an image suffix, and others, each sorted; follow links, skip hidden files and folders."""
    images: list[Path] = []
    others: list[Path] = []
    ancestors: dict[str, frozenset[str]] = {}  # the real paths of each folder and those it was reached through
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_raise_unreadable):
        real, above = os.path.realpath(parent), ancestors.get(os.path.dirname(parent), frozenset())
        if real in above:
            raise UserError(f"{parent}: a link to a folder that contains it")
        ancestors[parent] = above | {real}
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                (images if name.lower().endswith(SUFFIXES) else others).append(Path(parent, name))
    return sorted(images), sorted(others)


def _suffixes(files: list[Path]) -> str:
    """Counts by suffix, as in `15 .tif, 1 without suffix`."""
    counts = Counter(file.suffix.lower() or "without suffix" for file in files)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())


def _raise_unreadable(error: OSError) -> None:
    raise unreadable(Path(error.filename), error)


def read_images(files: Sequence[Path], size: tuple[int, int] | None = None) -> np.ndarray:
    """Read images as uint8 (n, c, height, width).

    A line on stderr says how many were turned as their EXIF orientation says. Errors: `UserError` unless all have one
    size and mode.
    """
    first = _read_image(files[0])
    if size is not None and first.pixels.shape[1:] != size:
        raise UserError(f"{files[0]}: {_describe(first.pixels)}, but image_size is {size[0]} × {size[1]}")
    images = np.empty((len(files), *first.pixels.shape), np.uint8)
    turned = 0
    for i, file in enumerate(files):
        image = _read_image(file)
        if image.pixels.shape != first.pixels.shape:
            here, there = _describe(image.pixels), _describe(first.pixels)
            raise UserError(f"{file}: {here}, but {files[0]} is {there}; all must have one size and mode")
        images[i] = image.pixels
        turned += image.turned
    if turned:
        print(f"{files[0].parent}: {turned} of {len(files)} images turned to their EXIF orientation", file=sys.stderr)
    return images


def _describe(pixels: np.ndarray) -> str:
    channels, height, width = pixels.shape
    return f"{height} × {width} {'grey' if channels == 1 else 'RGB'} (height × width)"


class _Picture(NamedTuple):
    """Pixels, uint8 (c, height, width), and whether they were turned."""

    pixels: np.ndarray
    turned: bool


def _read_image(file: Path) -> _Picture:
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(), Image.open(file) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)  # about metadata, which is not used
            # Pillow opens PNG files of 16 bits a channel as RGB and drops the lower half
            deep = "16-bit " if any(";16" in str(tile[-1]) for tile in getattr(image, "tile", ())) else ""
            if deep or image.mode not in ("L", "RGB"):
                mode = f"{deep}RGB" if image.mode == "RGB" else f"mode {image.mode}"
                raise UserError(f"{file}: {mode}, valid: 8-bit grey (L) or RGB; convert the file first")
            # further pictures of an MPO file, as cameras write, are previews or other views
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise UserError(f"{file}: an animation; valid: one still image per file")
            turned = image.getexif().get(ORIENTATION, 1) in range(2, 9)
            pixels = np.asarray(ImageOps.exif_transpose(image) if turned else image)
    except (MemoryError, UserError):
        raise
    except Exception as error:  # Pillow's decoders may raise any exception on damaged files
        raise UserError(f"{file}: not a readable image ({error})") from None
    return _Picture(pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1), turned)
