"""Representations: dequantisation and its inverse, binarisation, bits per dimension."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgen_bench.datasets.representation import binarise, bits_per_dim, dequantise, to_levels


@settings(deadline=None)
@given(st.integers(2, 256), st.integers(0, 2**32))
def test_to_levels_inverts_dequantise(levels, seed):
    images = np.resize(np.arange(levels, dtype=np.uint8), (40, 1, 4, 8))
    x = dequantise(images, levels, np.random.default_rng(seed))
    assert x.shape == (40, 32) and x.dtype == np.float64
    assert (x >= 0).all() and (x < 1).all()
    np.testing.assert_array_equal(to_levels(x, levels), images.reshape(40, 32))


class Extreme(np.random.Generator):
    """A generator at the ends of its range."""

    value = 0.0

    def random(self, size=None, dtype=np.float64, out=None):
        return np.full(size, self.value, dtype)


@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-24])
def test_dequantised_values_stay_in_their_cell_at_the_ends_of_the_noise(u):
    rng = Extreme(np.random.PCG64(0))
    rng.value = u
    for levels in range(2, 257):
        k = np.arange(levels)[None]
        x = dequantise(k, levels, rng)
        assert x.max() < 1
        np.testing.assert_array_equal(to_levels(x, levels), k)


def test_dequantisation_noise_is_uniform():
    x = dequantise(np.zeros((100, 1_000), np.uint8), 1, np.random.default_rng(0))
    assert x.mean() == pytest.approx(1 / 2, abs=4 / (12 * x.size) ** 0.5)
    assert x.var() == pytest.approx(1 / 12, abs=4 / (180 * x.size) ** 0.5)


def test_to_levels_clips_keeps_the_shape_and_refuses_nan():
    x = np.array([[[-1.0, 0.0, 0.5, 0.999, 1.0, np.inf]]], np.float32)
    levels = to_levels(x, 256)
    assert levels.dtype == np.uint8
    assert levels.tolist() == [[[0, 0, 128, 255, 255, 255]]]
    with pytest.raises(ValueError, match="NaN"):
        to_levels(np.array([np.nan]), 256)


def test_binarise_draws_with_the_right_probability():
    k = np.resize(np.arange(17, dtype=np.uint8), (20_000, 1, 17, 1))
    x = binarise(k, 17, np.random.default_rng(0))
    assert x.shape == (20_000, 17) and x.dtype == np.uint8 and set(np.unique(x)) == {0, 1}
    p = np.arange(17) / 16
    assert (x[:, 0] == 0).all() and (x[:, 16] == 1).all()
    assert (np.abs(x.mean(axis=0) - p) <= 4.5 * np.sqrt(p * (1 - p) / 20_000)).all()


def test_bits_per_dim():
    assert bits_per_dim(0.0, 784, 256) == 8  # the uniform density
    assert bits_per_dim(1301.26, 784, 256) == pytest.approx(5.6055, abs=1e-4)
    assert bits_per_dim(0.0, 64, 17) == pytest.approx(log(17) / log(2))
    np.testing.assert_allclose(bits_per_dim(np.array([0.0, 64 * log(2)]), 64, 256), [8, 7])
