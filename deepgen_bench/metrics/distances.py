"""Squared distances by matrix products, and by differences where rounding of the products would matter."""

import numpy as np

ROUNDING = 1e-13
"""Bound on the rounding error of a squared distance by products, in units of the larger squared norm."""


def by_products(x: np.ndarray, y: np.ndarray, allowance: float = 0.0) -> np.ndarray:
    """Squared distances (n, m) of x (n, d) to y (m, d), reduced by `allowance` times both squared norms."""
    norms = [(1 - allowance) * np.einsum("ij,ij->i", points, points) for points in (x, y)]
    distances = x @ y.T
    distances *= -2
    distances += norms[0][:, None]
    distances += norms[1]
    return distances


def by_differences(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances (n, m), each with a relative rounding error: many times slower than products."""
    from scipy.spatial.distance import cdist

    return cdist(x, y, "sqeuclidean")


def needs_differences(points: np.ndarray, squared_distances: np.ndarray, tolerance: float) -> np.ndarray:
    """Whether rounding of products exceeds `tolerance` times the squared distances (n,) from `points` (n, d).

    Points within a distance have squared norms of at most 2 (norm² + distance²), so the norms of the others, such as
    outliers, do not matter.
    """
    norms = np.einsum("ij,ij->i", points, points)
    return ROUNDING * (3 * norms + 2 * squared_distances) > tolerance * squared_distances
