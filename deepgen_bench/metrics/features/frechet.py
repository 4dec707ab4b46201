"""Fréchet distance between the Gaussians with the moments of two samples.

For covariances C1 = A'A and C2 = B'B, tr (C1 C2)^1/2 is the nuclear norm of A B' (the singular values of A B' are the
square roots of the eigenvalues of C1 C2). So the distance needs a factor of each covariance and the singular values of
a product, or one factor and the eigenvalues of A C2 A', which are their squares. The matrix square root of the product
C1 C2, which is not symmetric and fails on singular covariances, is not needed.

The estimate from samples is biased upwards, in leading order by a term in 1/n, which a line through the estimates at n,
n/2 and n/4 removes. Errors are from the influences of single examples, the derivatives of the distance in their
weights: with the optimal map A from the first Gaussian to the second, that of x is |z|² - z'Az + 2 (m1 - m2)'z with
z = x - m1, centred. The extrapolation is a weighted sum of distances, and so is its influence.
"""

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from deepgen_bench.metrics.arrays import TooFewExamples, as_pair, as_points
from deepgen_bench.metrics.estimate import SMALLEST_CURVE, Estimate, Sized, error_of_means, parts_for
from deepgen_bench.runtime.errors import UserError

FEWEST = 3
"""Smallest sample for an error."""

NULL = 1e-7
"""Singular values below this share of the largest are treated as 0 in errors."""

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
    error does not include that bias; for equal distributions it is conservative by a factor of about 1.4.
    """
    real, generated = _centred_pair(real, generated)
    return _estimate([_size(real, generated, 1)])


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
    sizes = [_size(real, generated, parts) for parts in parts_for(n, m)]
    found = [Sized(n // size.parts, m // size.parts, _estimate([size])) for size in sizes]
    line = [size for size in sizes if min(n, m) // size.parts > d]
    if len(line) < 2:
        enough = max(2 * d + 2, SMALLEST_CURVE)
        reason = f"{min(n, m)} examples, a line in 1/n needs {enough} in {d} dimensions"
        return FrechetCurve(found, TooFewExamples(reason))
    t, distances = np.array([size.abscissa for size in line]), np.array([size.value for size in line])
    residual = t - t.mean()
    slope = (residual * distances).sum() / np.square(residual).sum()
    infinity = _estimate(line, 1 / len(t) - t.mean() * residual / np.square(residual).sum())
    return FrechetCurve(found, replace(infinity, value=float(distances.mean() - slope * t.mean())))


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

    def whitened(self, centred: np.ndarray) -> np.ndarray:
        """z (n, r) with z A = `centred` (n, d), the points that the Gaussian has the moments of, less their mean."""
        if self.covariance is None:
            return np.sqrt(len(centred) - 1) * np.eye(len(centred))
        if self.triangular is not None:
            return np.linalg.solve(self.triangular.T, centred.T).T
        variances = np.square(self.factor).sum(axis=1)  # rows are orthogonal
        inverse = np.divide(1, variances, out=np.zeros_like(variances), where=variances > NULL * variances[-1])
        return centred @ (self.factor.T * inverse)

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


class _Size(NamedTuple):
    """The distance as the mean over `parts` disjoint subsets, and `abscissa`, the mean of 1/n and 1/m of a subset.

    `u` (n,) and `v` (m,) are the influences of all examples on that mean, and `second_order` is the variance of its
    second-order term; None and infinite if there are too few examples.
    """

    parts: int
    abscissa: float
    value: float
    influences: tuple[np.ndarray, np.ndarray] | None
    second_order: float


def _size(real: np.ndarray, generated: np.ndarray, parts: int) -> _Size:
    pairs = [(real[s::parts], generated[s::parts]) for s in range(parts)]
    gaussians = [(_Gaussian.of(x), _Gaussian.of(y)) for x, y in pairs]
    value = np.mean([_distance(*pair) for pair in gaussians])
    abscissa = np.mean([(1 / len(x) + 1 / len(y)) / 2 for x, y in pairs])
    if min(len(real), len(generated)) < FEWEST:
        return _Size(parts, float(abscissa), float(value), None, np.inf)
    influences, variances = (np.empty(len(real)), np.empty(len(generated))), []
    for s, ((x, y), (first, second)) in enumerate(zip(pairs, gaussians, strict=True)):
        of_x, of_y, variance = _influences(first, second, x - first.mean, y - second.mean)
        for whole, own in zip(influences, (of_x, of_y), strict=True):
            whole[s::parts] = own * (len(whole) / (parts * len(own)))
        variances.append(variance)
    return _Size(parts, float(abscissa), float(value), influences, sum(variances) / parts**2)


def _influences(
    first: _Gaussian, second: _Gaussian, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Influences of the points x (n, d) and y (m, d), less their means, on the distance between their Gaussians.

    With the singular values s and vectors u of A B', the optimal map A satisfies x'Ax = Σ s (u'z)² for x = A'z, and its
    inverse y'A⁻¹y = Σ (u'Ay)² / s. The variance is that of the second-order term between samples of one Gaussian whose
    covariance has the eigenvalues s: without it the error would be near 0 whenever the distance happens to be.
    """
    factor = first.factor
    product = factor @ second.factor.T if second.covariance is None else factor @ second.covariance
    squares, vectors = np.linalg.eigh(product @ (product.T if second.covariance is None else factor.T))
    values = np.sqrt(np.maximum(squares, 0.0))
    kept = values > NULL * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    shift = first.mean - second.mean
    mapped_x = np.square(first.whitened(x) @ vectors) @ values
    mapped_y = np.square(y @ (factor.T @ vectors)) @ (1 / values)
    n, m = len(x), len(y)
    u = (np.einsum("ij,ij->i", x, x) - mapped_x) * (n / (n - 1)) + 2 * (x @ shift)
    v = (np.einsum("ij,ij->i", y, y) - mapped_y) * (m / (m - 1)) - 2 * (y @ shift)
    parallel = values[:, None] * (values / (values[:, None] + values))
    second_order = 2 * (values @ values) + np.square(parallel).sum() + np.square(values / 2).sum()
    return u - u.mean(), v - v.mean(), (1 / n + 1 / m) ** 2 * float(second_order)


def _estimate(sizes: list[_Size], weights: np.ndarray | None = None) -> Estimate:
    """The sum of the distances at `sizes` by `weights`, by default 1."""
    weights = np.ones(len(sizes)) if weights is None else weights
    value = float(weights @ [size.value for size in sizes])
    influences = [size.influences for size in sizes if size.influences is not None]
    if len(influences) < len(sizes):
        return Estimate(value, None)
    u, v = (weights @ np.stack(of_sample) for of_sample in zip(*influences, strict=True))
    # the pairs of examples in one subset of the smaller size are also pairs in one subset of the larger
    variances = np.array([size.second_order for size in sizes])
    least = float(np.sqrt(weights @ np.minimum.outer(variances, variances) @ weights))
    return Estimate(value, error_of_means(u, v, least=least), u)


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
