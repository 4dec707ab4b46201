"""Fréchet distance between the Gaussians with the moments of two samples.

For covariances C1 = A'A and C2 = B'B, tr (C1 C2)^1/2 is the nuclear norm of A B' (the singular values of A B' are the
square roots of the eigenvalues of C1 C2). So the distance needs a factor of each covariance and the singular values of
a product, or one factor and the eigenvalues of A C2 A', which are their squares. The matrix square root of the product
C1 C2, which is not symmetric and fails on singular covariances, is not needed.

The estimate from samples is biased upwards, in leading order by a term in 1/n, which a line through the estimates at n,
n/2 and n/4 removes. Errors are those of the group jackknife. Halves and quarters are unions of its groups, so a group
is left out of all of them, and the extrapolation has an error too.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from deepgen_bench.metrics.arrays import TooFewExamples, as_pair, as_points
from deepgen_bench.metrics.estimate import Estimate, Sized, groups_for, jackknifed, mean_of_parts, parts_for
from deepgen_bench.metrics.jackknife import GROUPS, group_of
from deepgen_bench.runtime.errors import UserError

FEWER_GROUPS = 12
"""Groups above `LARGE_DIMENSION`, where each costs a large decomposition; a multiple of four, for the quarters."""

LARGE_DIMENSION = 512

SMALL = 256
"""Largest rank for singular values. Above it eigenvalues of a Gram matrix are faster: at 2,048 by a factor of four."""

GRAM_TOLERANCE = 3e-7
"""Accepted relative error of the distance from these eigenvalues, which are squares and so have half of the digits."""

BLOCK_ROWS = 64
"""Rows of a covariance that are compared with its columns at a time."""

ROUNDINGS = 32
"""Rounding errors of an eigenvalue, in units of machine epsilon times |C1| |C2| or the largest eigenvalue: three times
the largest ones measured for spectra 1/i to 1/i³ in 300 to 768 dimensions."""


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
    error does not include that bias; for equal distributions it is conservative by a factor of about 1.5.
    """
    real, generated = _centred_pair(real, generated)
    groups = groups_for(len(real), len(generated), at_least=2, groups=_groups(real))
    return jackknifed(_without_groups(real, generated, groups))


def frechet_distance_infinity(real: np.ndarray, generated: np.ndarray) -> Estimate:
    """The Fréchet distance extrapolated to infinite n and m, as in `frechet_curve`.

    Can be negative near 0. Raises `TooFewExamples` if the curve has fewer than two sizes above d.
    """
    curve = frechet_curve(real, generated)
    if isinstance(curve.infinity, TooFewExamples):
        raise curve.infinity
    return curve.infinity


class FrechetCurve(NamedTuple):
    """The distance at n, n/2, n/4, and its extrapolation to infinity or the reason why there is none."""

    sizes: list[Sized]
    infinity: Estimate | TooFewExamples


def frechet_curve(real: np.ndarray, generated: np.ndarray) -> FrechetCurve:
    """The Fréchet distance at n, n/2 and n/4, each the mean over the disjoint subsets of that size.

    `infinity` is the intercept of a straight line in 1/n through the sizes that exceed d, by least squares (Chong and
    Forsyth 2020, section 3; with n != m the abscissa is the mean of 1/n and 1/m). Below 20 examples at n only.
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
    mean1: np.ndarray,
    covariance1: np.ndarray,
    mean2: np.ndarray,
    covariance2: np.ndarray,
    *,
    names1: tuple[str, str] = ("mean1", "covariance1"),
    names2: tuple[str, str] = ("mean2", "covariance2"),
) -> float:
    """The Fréchet distance from stored means (d,) and covariances (d, d), called by these names in errors.

    Raises `UserError` if shapes disagree or a covariance is not symmetric and positive semi-definite.
    """
    first, second = _checked_moments(mean1, covariance1, *names1), _checked_moments(mean2, covariance2, *names2)
    if len(first.mean) != len(second.mean):
        raise UserError(f"{names2[0]}: {len(second.mean)} coordinates, but {names1[0]} has {len(first.mean)}")
    return _distance(first, second)


class _Gaussian:
    """A mean (d,), and a covariance (d, d) or a `factor` A (r, d) with A'A the covariance."""

    def __init__(self, mean: np.ndarray, covariance: np.ndarray | None = None, name: str = "features"):
        self.mean, self.covariance, self.name = mean, covariance, name

    @classmethod
    def of(cls, points: np.ndarray) -> "_Gaussian":
        """The Gaussian with the moments of `points` (n, d). For n <= d the centred points are the factor."""
        n, d = points.shape
        if n > d:
            return cls(*moments(points))
        gaussian = cls(points.mean(axis=0))
        gaussian.factor = (points - gaussian.mean) / np.sqrt(n - 1)
        return gaussian

    @cached_property
    def triangular(self) -> np.ndarray | None:
        """The Cholesky factor, None if there is no covariance or it is singular."""
        try:
            return None if self.covariance is None else np.linalg.cholesky(self.covariance).T
        except np.linalg.LinAlgError:
            return None

    @cached_property
    def factor(self) -> np.ndarray:
        if self.triangular is not None:
            return self.triangular
        assert self.covariance is not None
        values, vectors = np.linalg.eigh(self.covariance)
        if values[0] < -1e-6 * max(values[-1], 0.0) or values[-1] < 0:
            raise UserError(f"{self.name}: not positive semi-definite, smallest eigenvalue {values[0]:.3g}")
        return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T

    @property
    def trace(self) -> float:
        return float(np.sum(self.factor**2) if self.covariance is None else np.trace(self.covariance))

    @property
    def rank(self) -> int:
        """An upper bound of the rank of the covariance."""
        return len(self.mean) if self.covariance is not None else len(self.factor)


def _distance(first: _Gaussian, second: _Gaussian) -> float:
    shift = first.mean - second.mean
    without_cross = float(shift @ shift) + first.trace + second.trace
    if min(first.rank, second.rank) > SMALL:
        cross, error = _by_gram_matrix(first, second)
        if 2 * error <= GRAM_TOLERANCE * (without_cross - 2 * cross):
            return without_cross - 2 * cross
    values = np.linalg.svd(first.factor @ second.factor.T, compute_uv=False)
    # the nuclear norm of A B' is at most half of the sum of both traces (von Neumann): only rounding makes it negative
    return max(without_cross - 2 * float(values.sum()), 0.0)


def _by_gram_matrix(first: _Gaussian, second: _Gaussian) -> tuple[float, float]:
    """The sum of the singular values s of A B' from the eigenvalues s² of its Gram matrix A C2 A', and a bound on its
    error.

    If A is triangular, C2 needs no factor, and LAPACK forms that matrix in a third of the operations of two products,
    with rounding errors relative to |C1| |C2|. The error e of each eigenvalue is at most `ROUNDINGS` of these, and that
    of s at most e / s and the root of e. The bound is infinite if an eigenvalue is below -e: then C2 is no covariance.
    """
    from scipy.linalg import eigvalsh, lapack

    c1, c2, scale = first.covariance, second.covariance, 0.0
    if c1 is not None and c2 is not None and first.triangular is not None:
        gram, _ = lapack.dsygst(c2.T, first.triangular, itype=2, lower=0)
        scale = float(np.linalg.norm(c1) * np.linalg.norm(c2))
    else:
        product = first.factor @ second.factor.T
        narrow = product if product.shape[0] <= product.shape[1] else product.T
        gram = narrow @ narrow.T
    squares = eigvalsh(gram, lower=False, overwrite_a=True, check_finite=False)
    error = ROUNDINGS * np.finfo(float).eps * max(squares[-1], scale)
    if squares[0] < -error:
        return np.nan, np.inf
    values = np.sqrt(np.maximum(squares, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(values.sum()), float(np.fmin(np.sqrt(error), error / values).sum())


def _centred_pair(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    real, generated = as_pair(real, generated, at_least=2)
    centre = real.mean(axis=0)
    return real - centre, generated - centre


def _groups(points: np.ndarray) -> int:
    return GROUPS if points.shape[1] <= LARGE_DIMENSION else FEWER_GROUPS


def _without_groups(real: np.ndarray, generated: np.ndarray, groups: int) -> np.ndarray:
    """The distance, then with each group of both samples left out, (1 + groups,); for one group the distance only."""
    pairs = zip(_gaussians(real, groups), _gaussians(generated, groups), strict=True)
    return np.array([_distance(first, second) for first, second in pairs])


def _gaussians(points: np.ndarray, groups: int) -> Iterator[_Gaussian]:
    """The Gaussian of all points, then with each group left out."""
    yield _Gaussian.of(points)
    group = group_of(len(points), groups)
    for g in range(groups if groups > 1 else 0):
        # from the remaining points, because subtracting a group with an outlier from the total sums loses digits
        yield _Gaussian.of(points[group != g])


def _inverse_sizes(n: int, m: int, groups: int) -> np.ndarray:
    """Mean of 1/n and 1/m, then with each group left out, (1 + groups,); for one group the mean only."""
    if groups == 1:
        return np.array([(1 / n + 1 / m) / 2])
    left = [np.append(size, size - np.bincount(group_of(size, groups))) for size in (n, m)]
    return (1 / left[0] + 1 / left[1]) / 2


def _checked_moments(mean: np.ndarray, covariance: np.ndarray, mean_name: str, covariance_name: str) -> _Gaussian:
    mean = np.asarray(mean)
    if mean.ndim != 1:
        raise UserError(f"{mean_name}: shape {mean.shape}, expected (d,)")
    mean = as_points(mean_name, mean[None])[0]
    covariance = as_points(covariance_name, covariance)
    if covariance.shape != (len(mean), len(mean)):
        raise UserError(f"{covariance_name}: shape {covariance.shape}, expected {(len(mean), len(mean))}")
    # in blocks that fit a processor's cache
    blocks = [slice(start, start + BLOCK_ROWS) for start in range(0, len(mean), BLOCK_ROWS)]
    asymmetry = max(np.abs(covariance[block] - covariance[:, block].T).max() for block in blocks)
    if asymmetry > 1e-6 * max(covariance.max(), -covariance.min()):
        raise UserError(f"{covariance_name}: not symmetric, entries differ by {asymmetry:.3g}")
    return _Gaussian(mean, covariance, covariance_name)
