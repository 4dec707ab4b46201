"""Fréchet distance between the Gaussians with the two samples' moments.

For covariances C1 = A'A and C2 = B'B, tr (C1 C2)^1/2 is the nuclear norm of A B' (the singular values of A B' are the
square roots of the eigenvalues of C1 C2). So the distance needs a factor of each covariance and one set of singular
values; a matrix square root of the product, which is not symmetric and fails on singular covariances, is never
formed.
"""

import numpy as np

from deepgen_bench.errors import UserError
from deepgen_bench.metrics.arrays import as_pair, as_points


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and unbiased covariance (d, d), float64, of `features` (n, d) with n >= 2."""
    points = as_points("features", features, at_least=2)
    mean = points.mean(axis=0)
    centred = points - mean
    return mean, centred.T @ centred / (len(points) - 1)


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) for `real` (n, d) and `generated` (m, d), at least 2 examples each.

    The square of the 2-Wasserstein distance between Gaussians (Dowson and Landau 1982), on Inception features the FID
    (Heusel et al. 2017, eq. 6). In squared units of the features. Biased upwards at small n: compare equal n only.
    """
    real, generated = as_pair(real, generated, at_least=2)
    return _distance(real.mean(axis=0), _factor(real), generated.mean(axis=0), _factor(generated))


def frechet_distance_from_moments(
    mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray
) -> float:
    """The same from stored means (d,) and covariances (d, d).

    Raises `UserError` if shapes disagree or a covariance is not symmetric and positive semi-definite.
    """
    mean1, covariance1 = _checked_moments("mean1", mean1, "covariance1", covariance1)
    mean2, covariance2 = _checked_moments("mean2", mean2, "covariance2", covariance2)
    if len(mean1) != len(mean2):
        raise UserError(f"mean2: {len(mean2)} coordinates, but mean1 has {len(mean1)}")
    return _distance(
        mean1, _covariance_factor("covariance1", covariance1), mean2, _covariance_factor("covariance2", covariance2)
    )


def _distance(mean1: np.ndarray, factor1: np.ndarray, mean2: np.ndarray, factor2: np.ndarray) -> float:
    shift = mean1 - mean2
    traces = np.sum(factor1**2) + np.sum(factor2**2)
    cross = np.linalg.svd(factor1 @ factor2.T, compute_uv=False).sum()
    # cross <= |A||B| <= traces / 2 (von Neumann), so a negative value can only be rounding
    return max(float(shift @ shift + traces - 2 * cross), 0.0)


def _factor(points: np.ndarray) -> np.ndarray:
    """A with A'A the covariance: the centred points themselves when they are fewer than coordinates."""
    n, d = points.shape
    if n <= d:
        return (points - points.mean(axis=0)) / np.sqrt(n - 1)
    return _covariance_factor("features", moments(points)[1])


def _covariance_factor(name: str, covariance: np.ndarray) -> np.ndarray:
    """A with A'A = `covariance`: by Cholesky, or by eigenvectors where it is singular."""
    try:
        return np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        if values[0] < -1e-6 * max(values[-1], 0.0) or values[-1] < 0:
            raise UserError(f"{name}: not positive semi-definite, smallest eigenvalue {values[0]:.3g}") from None
        return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T


def _checked_moments(
    mean_name: str, mean: np.ndarray, covariance_name: str, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    mean = np.asarray(mean)
    if mean.ndim != 1:
        raise UserError(f"{mean_name}: shape {mean.shape}, expected (d,)")
    mean = as_points(mean_name, mean[None])[0]
    covariance = as_points(covariance_name, covariance)
    if covariance.shape != (len(mean), len(mean)):
        raise UserError(f"{covariance_name}: shape {covariance.shape}, expected {(len(mean), len(mean))}")
    asymmetry = np.abs(covariance - covariance.T).max()
    if asymmetry > 1e-6 * np.abs(covariance).max():
        raise UserError(f"{covariance_name}: not symmetric, entries differ by {asymmetry:.3g}")
    return mean, covariance
