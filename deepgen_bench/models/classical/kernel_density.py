"""Gaussian kernel density estimates (Rosenblatt 1956, Parzen 1962) and their bandwidth. Imports no torch."""

from collections.abc import Iterator

import numpy as np

# number of distances held in memory at once
PAIRS = 2**24


def choose_bandwidth(
    points: np.ndarray, held_out: np.ndarray, smallest: float, largest: float, step: float
) -> list[dict[str, float]]:
    """Bandwidths tried and their `validation_score`, the mean -log density in nats of `held_out` (m, D) under kernels
    on `points` (n, D); lower is better.

    Bandwidths go from `smallest` to `largest` times the standard deviation of the points by factors of 2, then around
    the best by factors of `step`.
    """
    scale = float(np.sqrt(points.var(0).mean()))
    tried: list[dict[str, float]] = []
    for low, high, ratio in ((smallest * scale, largest * scale, 2), (0.5, 2.0, step)):
        if tried:  # the second range is around the best bandwidth of the first
            low, high = (factor * best_bandwidth(tried) for factor in (low, high))
        bandwidths = np.geomspace(low, high, 1 + max(1, round(np.log(high / low) / np.log(ratio))))
        sums = np.zeros(len(bandwidths))
        for squares in squared_distances(held_out, points):
            sums += [_log_density(squares, h, points.shape[1]).sum() for h in bandwidths]
        for h, total in zip(bandwidths.tolist(), sums.tolist(), strict=True):
            tried.append({"step": len(tried) + 1, "bandwidth": h, "validation_score": -total / len(held_out)})
    return tried


def best_bandwidth(tried: list[dict[str, float]]) -> float:
    return min(tried, key=lambda row: row["validation_score"])["bandwidth"]


def kernel_log_density(x: np.ndarray, points: np.ndarray, bandwidth: float) -> np.ndarray:
    """log 1/m Σ_j N(x_i; point_j, bandwidth² I), (n,), for x (n, D) and points (m, D), in nats."""
    return np.concatenate([_log_density(part, bandwidth, x.shape[1]) for part in squared_distances(x, points)])


def squared_distances(x: np.ndarray, points: np.ndarray) -> Iterator[np.ndarray]:
    """|x_i - point_j|² in blocks of rows."""
    from sklearn.metrics.pairwise import euclidean_distances

    # |x|² - 2 x·y + |y|² loses fewer digits near the origin
    origin = points.mean(0)
    rows = max(1, PAIRS // len(points))
    for start in range(0, len(x), rows):
        yield euclidean_distances(x[start : start + rows] - origin, points - origin, squared=True)


def _log_density(squares: np.ndarray, h: float, d: int) -> np.ndarray:
    """log 1/m Σ_j N(x_i; point_j, h²I), (n,), from squared distances (n, m)."""
    nearest = squares.min(1, keepdims=True)
    # exponentials that underflow are several times slower
    sums = np.exp(((nearest - squares) * (0.5 / h**2)).clip(min=-700)).sum(1)
    largest = -0.5 / h**2 * nearest[:, 0] - d * (np.log(h) + 0.5 * np.log(2 * np.pi))
    return largest + np.log(sums / squares.shape[1])
