"""Fréchet distance between the Gaussians with the two samples' moments.

For covariances C1 = A'A and C2 = B'B, tr (C1 C2)^1/2 is the nuclear norm of A B' (the singular values of A B' are the
square roots of the eigenvalues of C1 C2). So the distance needs a factor of each covariance and one set of singular
values; a matrix square root of the product, which is not symmetric and fails on singular covariances, is never
formed.

The estimate from samples is biased upwards, in leading order by a term in 1/n, which a line through the estimates at n,
n/2 and n/4 removes. Errors are those of the group jackknife: halves and quarters are unions of its groups, so that what
is left out is left out everywhere, and the extrapolation has an error too.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from deepgen_bench.errors import UserError
from deepgen_bench.metrics.arrays import TooFewExamples, as_pair, as_points
from deepgen_bench.metrics.estimate import Estimate, Sized, groups_for, jackknifed, mean_of_parts, parts_for
from deepgen_bench.metrics.jackknife import GROUPS, group_of

FEWER_GROUPS = 12
"""Above `LARGE_DIMENSION`, where every group costs a large singular value decomposition; four quarters share them."""

LARGE_DIMENSION = 512

SMALL = 256
"""Up to here singular values take no longer than the eigenvalues of a Gram matrix, which take a quarter at 2,048."""

GRAM_TOLERANCE = 1e-7
"""Of the distance: what those eigenvalues may cost it in accuracy; they hold the squares, and half of the digits."""

PIECE = 64
"""Rows of a covariance that are compared with its columns at once."""

ROUNDINGS = 32
"""Of the largest eigenvalue; three times what was found for spectra 1/i to 1/i³ in 300 to 768 dimensions."""


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and unbiased covariance (d, d), float64, of `features` (n, d) with n >= 2."""
    points = as_points("features", features, at_least=2)
    mean = points.mean(axis=0)
    centred = points - mean
    return mean, centred.T @ centred / (len(points) - 1)


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> Estimate:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) for `real` (n, d) and `generated` (m, d), at least 2 examples each.

    The square of the 2-Wasserstein distance between Gaussians (Dowson and Landau 1982), on Inception features the FID
    (Heusel et al. 2017, eq. 6). In squared units of the features. Biased upwards at small n: compare equal n only. The
    error does not know of that bias; where the distributions are equal it is conservative by a factor of about 1.5.
    """
    real, generated = _centred_pair(real, generated)
    groups = groups_for(len(real), len(generated), at_least=2, groups=_groups(real))
    return jackknifed(_without_groups(real, generated, groups))


def frechet_distance_infinity(real: np.ndarray, generated: np.ndarray) -> Estimate:
    """The Fréchet distance extrapolated to infinite n and m, as in `frechet_curve`.

    Can be negative near 0. Raises `TooFewExamples` where the curve has fewer than two sizes above d.
    """
    curve = frechet_curve(real, generated)
    if isinstance(curve.infinity, TooFewExamples):
        raise curve.infinity
    return curve.infinity


class FrechetCurve(NamedTuple):
    """The distance at n, n/2, n/4, and at infinity or why it cannot be extrapolated."""

    sizes: list[Sized]
    infinity: Estimate | TooFewExamples


def frechet_curve(real: np.ndarray, generated: np.ndarray) -> FrechetCurve:
    """The Fréchet distance at n, n/2 and n/4, each the mean over the disjoint subsets of that size.

    `infinity` is the intercept of a straight line in 1/n through those sizes that exceed d, by least squares (Chong and
    Forsyth 2020, section 3; with n != m the abscissa is the mean of 1/n and 1/m). Below 20 examples at n alone.
    """
    real, generated = _centred_pair(real, generated)
    n, m, d = len(real), len(generated), real.shape[1]
    groups = groups_for(n, m, at_least=2, groups=_groups(real))
    sizes, line = [], []
    for parts in parts_for(n, m):
        subsets = [(real[s::parts], generated[s::parts]) for s in range(parts)]
        distances = mean_of_parts([_without_groups(x, y, groups // parts) for x, y in subsets])
        sizes.append(Sized(n // parts, m // parts, jackknifed(distances)))
        if min(n, m) // parts > d:
            abscissae = mean_of_parts([_inverse_sizes(len(x), len(y), groups // parts) for x, y in subsets])
            line.append((abscissae, distances))
    if len(line) < 2:
        enough = max(2 * d + 2, GROUPS)
        reason = f"{min(n, m)} examples, a line in 1/n needs {enough} in {d} dimensions"
        return FrechetCurve(sizes, TooFewExamples(reason))
    t, distances = (np.stack(rows) for rows in zip(*line, strict=True))
    residual = t - t.mean(axis=0)
    slope = (residual * distances).sum(axis=0) / np.square(residual).sum(axis=0)
    return FrechetCurve(sizes, jackknifed(distances.mean(axis=0) - slope * t.mean(axis=0)))


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
    rest = float(shift @ shift + np.sum(factor1**2) + np.sum(factor2**2))
    product = factor1 @ factor2.T
    if len(product) > SMALL:
        cross, error = _by_gram_matrix(product)
        if 2 * error <= GRAM_TOLERANCE * (rest - 2 * cross):
            return rest - 2 * cross
    # A B' has at most half of both traces (von Neumann), so a negative value can only be rounding
    return max(rest - 2 * float(np.linalg.svd(product, compute_uv=False).sum()), 0.0)


def _by_gram_matrix(product: np.ndarray) -> tuple[float, float]:
    """The sum of the singular values s of `product` (r, c) from the eigenvalues s² of its Gram matrix, and a bound on
    its error.

    Each eigenvalue is off by e, at most some `ROUNDINGS` of the largest, and so s by at most e / s and the root of e.
    """
    narrow = product if product.shape[0] <= product.shape[1] else product.T
    squares = np.maximum(np.linalg.eigvalsh(narrow @ narrow.T), 0.0)
    values = np.sqrt(squares)
    off = ROUNDINGS * np.finfo(float).eps * squares[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(values.sum()), float(np.fmin(np.sqrt(off), off / values).sum())


def _centred_pair(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    real, generated = as_pair(real, generated, at_least=2)
    centre = real.mean(axis=0)
    return real - centre, generated - centre


def _groups(points: np.ndarray) -> int:
    return GROUPS if points.shape[1] <= LARGE_DIMENSION else FEWER_GROUPS


def _without_groups(real: np.ndarray, generated: np.ndarray, groups: int) -> np.ndarray:
    """The distance, then with each group of both samples left out, (1 + groups,); only the distance for one group."""
    pairs = zip(_gaussians(real, groups), _gaussians(generated, groups), strict=True)
    return np.array([_distance(*first, *second) for first, second in pairs])


def _gaussians(points: np.ndarray, groups: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Mean and factor of the covariance of all points, then without each group."""
    yield points.mean(axis=0), _factor(points)
    group = group_of(len(points), groups)
    for g in range(groups if groups > 1 else 0):
        # from the rest itself: subtracting a group that holds an outlier from sums over all would leave rounding noise
        rest = points[group != g]
        yield rest.mean(axis=0), _factor(rest)


def _inverse_sizes(n: int, m: int, groups: int) -> np.ndarray:
    """Mean of 1/n and 1/m, then with each group left out, (1 + groups,); only the mean for one group."""
    if groups == 1:
        return np.array([(1 / n + 1 / m) / 2])
    left = [np.append(size, size - np.bincount(group_of(size, groups))) for size in (n, m)]
    return (1 / left[0] + 1 / left[1]) / 2


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
    # in pieces that stay in a processor's cache
    pieces = [slice(start, start + PIECE) for start in range(0, len(mean), PIECE)]
    asymmetry = max(np.abs(covariance[piece] - covariance[:, piece].T).max() for piece in pieces)
    if asymmetry > 1e-6 * max(covariance.max(), -covariance.min()):
        raise UserError(f"{covariance_name}: not symmetric, entries differ by {asymmetry:.3g}")
    return mean, covariance
