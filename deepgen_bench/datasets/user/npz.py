"""Images in a `.npz` or `.npy` file."""

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.base import Splits
from deepgen_bench.datasets.images import (
    CHANNELS,
    Layout,
    channels_first,
    check_levels,
    image_shape,
    only_layout,
)
from deepgen_bench.datasets.user.base import UserImages, UserSettings
from deepgen_bench.plugins import Settings
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import read_array, read_arrays, stamp


class SplitKeys(Settings):
    """Names of the splits' arrays in the file; a split without a name is split off train."""

    train: str
    validation: str | None = None
    test: str | None = None


class NpzSettings(UserSettings):
    images: str | SplitKeys = Field("images", description="name of the image array, or a name for each split")
    labels: str | SplitKeys | None = Field(None, description="name of the label array, or a name for each split")
    layout: Layout | None = Field(None, description="order of the axes, if the shape is ambiguous")
    levels: int = Field(256, ge=2, le=256, description="images hold 0 … levels - 1")


class Npz(UserImages):
    """uint8 images (n, h, w), (n, h, w, c) or (n, c, h, w) with c in (1, 3), from a `.npz` or `.npy` file.

    The array in a `.npy` file has the name `images`. Pickled objects are refused, not loaded.
    """

    name = "npz"
    Settings = NpzSettings
    settings: NpzSettings

    def __init__(self, settings: NpzSettings):
        super().__init__(settings)
        self.has_labels = settings.labels is not None

    def fingerprint(self) -> str:
        if not self.path.is_file():
            raise UserError(f"{self.path}: no such file")
        return stamp([self.path], self.path.parent)

    def splits(self, base_seed: int) -> Splits:
        image_keys, label_keys = _split_keys(self.settings.images), _split_keys(self.settings.labels)
        if label_keys and label_keys.keys() != image_keys.keys():
            raise UserError(f"{self.path}: labels name {', '.join(label_keys)}, but images {', '.join(image_keys)}")
        arrays = self._load({*image_keys.values(), *label_keys.values()})
        images = {split: self._images(key, arrays[key]) for split, key in image_keys.items()}
        labels = {split: self._labels(key, arrays[key], len(images[split])) for split, key in label_keys.items()}
        for split, array in images.items():
            if array.shape[1:] != images["train"].shape[1:]:
                raise UserError(
                    f"{self.path}: {image_keys[split]!r} has images of {array.shape[1:]}, "
                    f"but {image_keys['train']!r} of {images['train'].shape[1:]}"
                )
        return self.complete(images, labels, self.settings.levels, base_seed)

    def _load(self, keys: set[str]) -> dict[str, np.ndarray]:
        if self.path.suffix != ".npy":
            return read_arrays(self.path, keys)
        if absent := sorted(keys - {"images"}):
            raise UserError(f"{self.path}: no array {absent[0]!r}; found: images")
        return {"images": read_array(self.path)}

    def _images(self, key: str, array: np.ndarray) -> np.ndarray:
        """The named array as uint8 (n, c, h, w)."""
        source = f"{self.path}: {key!r}"
        check_levels(source, array, self.settings.levels)
        return np.ascontiguousarray(channels_first(array, self._layout(source, array.shape)))

    def _layout(self, source: str, shape: tuple[int, ...]) -> Layout:
        if layout := self.settings.layout:
            image = image_shape(shape, layout)
            if image is None or image[0] not in CHANNELS:
                raise UserError(f"{source}: shape {shape}, which is not {layout} with c = 1 or 3")
            return layout
        return only_layout(source, shape, "; set layout")

    def _labels(self, key: str, array: np.ndarray, n: int) -> np.ndarray:
        """The named array as int64 (n,); a column (n, 1) is accepted."""
        source = f"{self.path}: {key!r}"
        if array.dtype.kind not in "iu":
            raise UserError(f"{source}: {array.dtype}; valid: integer labels")
        if array.shape not in ((n,), (n, 1)):
            raise UserError(f"{source}: shape {array.shape}, but there are {n} images")
        return array.reshape(n).astype(np.int64)


def _split_keys(names: str | SplitKeys | None) -> dict[str, str]:
    if names is None:
        return {}
    if isinstance(names, str):
        return {"train": names}
    return {split: key for split, key in names.model_dump().items() if key is not None}
