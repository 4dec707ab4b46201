"""Checks and axis layouts of image arrays that users or models supply. Imports no torch."""

import sys
from typing import Literal

import numpy as np

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.runtime.errors import UserError

Layout = Literal["nhw", "nchw", "nhwc"]
LAYOUTS: tuple[Layout, ...] = ("nhw", "nchw", "nhwc")
CHANNELS = (1, 3)
VALID_SHAPES = "(n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3"


def check_levels(source: str, array: np.ndarray, levels: int) -> None:
    """Raise a `UserError` naming `source` unless `array` is uint8, not empty and in 0 … levels - 1."""
    if array.dtype != np.uint8:
        nan = " with NaN" if array.dtype.kind == "f" and np.isnan(array).any() else ""
        raise UserError(f"{source}: {array.dtype}{nan} of shape {array.shape}; valid: uint8 in 0 … {levels - 1}")
    if array.size == 0:
        raise UserError(f"{source}: empty, shape {array.shape}")
    if array.max() >= levels:
        raise UserError(f"{source}: the value {array.max()}; valid: 0 … {levels - 1}")


def warn_of_binary(source: str, images: np.ndarray, levels: int) -> None:
    """Warn on stderr if images of more than two levels hold only 0 and 1, as after a wrong scaling."""
    if levels > 2 and images.max() <= 1:
        print(f"warning: {source}: holds only 0 and 1, of 0 … {levels - 1}; binary or wrongly scaled", file=sys.stderr)


def image_shape(shape: tuple[int, ...], layout: Layout) -> tuple[int, int, int] | None:
    """(c, h, w) of the images in an array of `shape`; None if it has another number of axes than the layout."""
    if len(shape) != len(layout):
        return None
    sizes = dict(zip(layout, shape, strict=True))
    return sizes.get("c", 1), sizes["h"], sizes["w"]


def layouts_of_images(shape: tuple[int, ...]) -> list[Layout]:
    """The layouts in which an array of `shape` holds images of 1 or 3 channels; two for an ambiguous shape."""
    return [layout for layout in LAYOUTS if (image := image_shape(shape, layout)) and image[0] in CHANNELS]


def only_layout(source: str, shape: tuple[int, ...], hint: str = "") -> Layout:
    """The layout of an array of images of `shape`.

    Errors: `UserError` naming `source` if there is none, or if the shape is ambiguous; then it ends with the `hint`.
    """
    layouts = layouts_of_images(shape)
    if len(shape) == 3 and shape[-1] in CHANNELS:
        raise UserError(f"{source}: shape {shape}, as of a single image; valid: {VALID_SHAPES}{hint}")
    if len(layouts) > 1:
        raise UserError(f"{source}: ambiguous shape {shape}, {' or '.join(layouts)}{hint}")
    if not layouts:
        raise UserError(f"{source}: shape {shape}; valid: {VALID_SHAPES}")
    return layouts[0]


def channels_first(array: np.ndarray, layout: Layout) -> np.ndarray:
    """A view of an array in `layout` as (n, c, h, w)."""
    if layout == "nhw":
        return array[:, None]
    return array.transpose(0, 3, 1, 2) if layout == "nhwc" else array


def match_spec(source: str, array: np.ndarray, spec: DataSpec) -> np.ndarray:
    """Bring an array of binary vectors or images to contiguous uint8 (n, *spec.shape).

    The channels of images may come last, and a single channel may be left out. Errors: `UserError` naming `source` for
    another shape or dtype, and for values beyond the levels of `spec`.
    """
    images = array if array.shape[1:] == spec.shape else None
    if images is None and spec.support == "image":
        layouts = [layout for layout in LAYOUTS if image_shape(array.shape, layout) == spec.shape]
        images = channels_first(array, layouts[0]) if layouts else None
    if images is None:
        shapes = [spec.shape]
        if spec.support == "image":
            c, h, w = spec.shape
            shapes += [(h, w, c), *([(h, w)] if c == 1 else [])]
        valid = " or ".join(str(("n", *shape)).replace("'", "") for shape in shapes)
        raise UserError(f"{source}: examples of shape {array.shape}; valid here: {valid}")
    check_levels(source, images, spec.levels or 2)
    return np.ascontiguousarray(images)
