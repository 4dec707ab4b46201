"""Images in a folder of PNG, JPEG, BMP or WebP files."""

import os
import warnings
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from deepgen_bench.datasets.base import Splits
from deepgen_bench.datasets.user.base import UserImages, UserSettings
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import stamp, unreadable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


class ImageFolderSettings(UserSettings):
    image_size: tuple[PositiveInt, PositiveInt] | None = Field(
        None, description="required (height, width); images are not resized"
    )
    classes_from_folders: bool = Field(False, description="use the folders directly below path as classes")


class ImageFolder(UserImages):
    """PNG, JPEG, BMP and WebP files below a folder, all of one size and all 8-bit grey or all RGB.

    Hidden files and files with other suffixes are skipped; nothing is resized or converted.
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
        if not files:
            raise UserError(f"{self.path}: no image files ({', '.join(SUFFIXES)})")
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
    """Find files with an image suffix at any depth, sorted by path; follow links, skip hidden files and folders."""
    files = []
    ancestors: dict[str, frozenset[str]] = {}  # the real paths of each folder and those it was reached through
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_raise_unreadable):
        real, above = os.path.realpath(parent), ancestors.get(os.path.dirname(parent), frozenset())
        if real in above:
            raise UserError(f"{parent}: a link to a folder that contains it")
        ancestors[parent] = above | {real}
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(files)


def _raise_unreadable(error: OSError) -> None:
    raise unreadable(Path(error.filename), error)


def read_images(files: list[Path], size: tuple[int, int] | None) -> np.ndarray:
    """Read images as uint8 (n, c, height, width). Errors: `UserError` unless all have one size and mode."""
    first = _read_image(files[0])
    if size is not None and first.shape[:2] != size:
        raise UserError(f"{files[0]}: {_describe(first)}, but image_size is {size[0]} × {size[1]}")
    images = np.empty((len(files), *first.shape), np.uint8)
    for i, file in enumerate(files):
        image = _read_image(file)
        if image.shape != first.shape:
            raise UserError(
                f"{file}: {_describe(image)}, but {files[0]} is {_describe(first)}; all must have one size and mode"
            )
        images[i] = image
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _describe(image: np.ndarray) -> str:
    height, width, channels = image.shape
    return f"{height} × {width} {'grey' if channels == 1 else 'RGB'} (height × width)"


def _read_image(file: Path) -> np.ndarray:
    """Read one image as uint8 (height, width, c)."""
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(file) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)  # about metadata, which is not used
            if image.mode not in ("L", "RGB"):
                raise UserError(f"{file}: mode {image.mode}, valid: 8-bit grey (L) or RGB; convert the file first")
            if getattr(image, "n_frames", 1) > 1:
                raise UserError(f"{file}: an animation; valid: one still image per file")
            pixels = np.asarray(image)
    except (MemoryError, UserError):
        raise
    except Exception as error:  # Pillow's decoders may raise any exception on damaged files
        raise UserError(f"{file}: not a readable image ({error})") from None
    return pixels.reshape(*pixels.shape[:2], -1)
