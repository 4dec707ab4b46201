"""Arrays of images that users supply: levels, layouts and the shape of a dataset's examples."""

import numpy as np
import pytest

from deepgen_bench.datasets.images import channels_first, check_levels, layouts_of_images, match_spec
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.runtime.errors import UserError

IMAGES = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("shape", "layouts"),
    [
        ((9, 4, 5), ["nhw"]),
        ((9, 3, 4, 5), ["nchw"]),
        ((9, 4, 5, 1), ["nhwc"]),
        ((9, 3, 4, 3), ["nchw", "nhwc"]),
        ((9, 2, 4, 5), []),
        ((9, 4), []),
        ((), []),
    ],
)
def test_the_layouts_that_a_shape_allows(shape, layouts):
    assert layouts_of_images(shape) == layouts


def test_every_layout_is_brought_to_channels_first():
    np.testing.assert_array_equal(channels_first(IMAGES, "nchw"), IMAGES)
    np.testing.assert_array_equal(channels_first(IMAGES.transpose(0, 2, 3, 1), "nhwc"), IMAGES)
    np.testing.assert_array_equal(channels_first(IMAGES[:, 0], "nhw"), IMAGES[:, :1])


def test_examples_of_a_dataset_may_have_channels_last_or_left_out():
    spec = DataSpec((3, 4, 5), "image", 256)
    for array in (IMAGES, IMAGES.transpose(0, 2, 3, 1)):
        images = match_spec("x", array, spec)
        assert images.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(images, IMAGES)
    grey = DataSpec((1, 4, 5), "image", 256)
    np.testing.assert_array_equal(match_spec("x", IMAGES[:, 0], grey), IMAGES[:, :1])
    binary = np.eye(5, dtype=np.uint8)
    np.testing.assert_array_equal(match_spec("x", binary, DataSpec((5,), "binary")), binary)


@pytest.mark.parametrize(
    ("array", "spec", "message"),
    [
        (IMAGES[:, :2], DataSpec((3, 4, 5), "image", 256), r"shape \(2, 2, 4, 5\); valid here: \(n, 3, 4, 5\) or "),
        (IMAGES[:, 0], DataSpec((3, 4, 5), "image", 256), r"valid here: \(n, 3, 4, 5\) or \(n, 4, 5, 3\)$"),
        (IMAGES, DataSpec((3, 4, 5), "image", 100), "the value 119; valid: 0 … 99"),
        (IMAGES * 1.0, DataSpec((3, 4, 5), "image", 256), "float64 of shape .*; valid: uint8 in 0 … 255"),
        (IMAGES[:0], DataSpec((3, 4, 5), "image", 256), r"empty, shape \(0, 3, 4, 5\)"),
        (np.full((3, 5), 2, np.uint8), DataSpec((5,), "binary"), "the value 2; valid: 0 … 1"),
        (np.ones((3, 6), np.uint8), DataSpec((5,), "binary"), r"valid here: \(n, 5\)$"),
    ],
)
def test_wrong_arrays_are_named(array, spec, message):
    with pytest.raises(UserError, match=f"^x.npy: .*{message}"):
        match_spec("x.npy", array, spec)


def test_nan_is_named():
    with pytest.raises(UserError, match=r"^x: float32 with NaN of shape \(3,\); valid: uint8 in 0 … 16$"):
        check_levels("x", np.full(3, np.nan, np.float32), 17)
