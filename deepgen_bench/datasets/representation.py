"""Conversions between image levels and the representations that models are trained on."""

from math import log

import numpy as np


def dequantise(images: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """(k + u) / levels with u uniform: integer images (n, …) to float64 (n, D) in [0, 1).

    The density of the result bounds the probability of the levels from below (Theis, van den Oord and Bethge,
    2016, arXiv:1511.01844, eq. 6).
    """
    k = images.reshape(len(images), -1)
    # 24 random bits, moved to the centre of their cell: k + u is exact and never on a boundary, where rounding of the
    # quotient would move it to the neighbouring level.
    u = rng.random(k.shape, dtype=np.float32).astype(np.float64) + 2.0**-25
    return (k + u) / levels


def to_levels(x: np.ndarray, levels: int) -> np.ndarray:
    """floor(levels · x) clipped to 0 … levels - 1, as uint8 in the shape of `x`: the inverse of `dequantise`.

    Errors: ValueError if `x` has NaN.
    """
    scaled = np.floor(np.asarray(x, np.float64) * levels)
    if np.isnan(scaled).any():
        raise ValueError("to_levels needs numbers, got NaN")
    return scaled.clip(0, levels - 1).astype(np.uint8)


def binarise(images: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Stochastic binarisation: Bernoulli(k / (levels - 1)) draws, uint8 (n, D) (Salakhutdinov and Murray, 2008)."""
    k = images.reshape(len(images), -1)
    return (rng.random(k.shape) * (levels - 1) < k).astype(np.uint8)


def bits_per_dim(log_likelihood: float | np.ndarray, dim: int, levels: int) -> float | np.ndarray:
    """Convert the log density in nats of dequantised data in [0, 1)^dim to bits per dimension of the levels.

    -(ll / dim - log levels) / log 2 (Theis et al., 2016, section 3.1); zero nats are log2(levels) bits.
    """
    return -(log_likelihood / dim - log(levels)) / log(2)
