"""Squared kernel distances (maximum mean discrepancy): U-statistics of whole samples, with a jackknife over examples.

The statistic of a half or a quarter, with an example left out, is a function of the sums of the kernel over pairs of
quarters and of one example with a quarter. So one pass over the kernel matrices gives all values and errors.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from deepgen_bench.metrics.arrays import as_pair
from deepgen_bench.metrics.distances import by_differences
from deepgen_bench.metrics.estimate import (
    Estimate,
    Sized,
    blocks,
    error_of_means,
    parts_for,
    sorted_by_group,
)
from deepgen_bench.metrics.jackknife import GROUPS, group_of
from deepgen_bench.runtime.errors import UserError

FAR = 1e6
"""Squared norm, in units of the widest kernel, beyond which distances are by differences: up to it, rounding errors of
products, 1e-13 of it, change the narrowest kernel by less than 3e-5 of its value."""

FEWEST = 3
"""Smallest sample for an error: with an example left out, a pair must remain."""

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps points (a, d) and (b, d) to the matrix (a, b)."""


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> Estimate:
    """Unbiased squared MMD with the kernel (x·y/d + 1)^3 of `real` (n, d) and `generated` (m, d), both at least 2.

    Bińkowski et al. 2018, section 4 (on Inception features: KID). This is the U-statistic of the whole samples: it has
    the same expectation as the usual mean over random subsets, a smaller variance, and no random numbers. Its
    expectation for equal distributions is 0, so values can be negative; there the error is conservative by a factor of
    about 1.4.
    """
    real, generated = as_pair(real, generated, at_least=2)
    return _curve(real, generated, _cubic)[0].estimate


def kernel_curve(real: np.ndarray, generated: np.ndarray) -> list[Sized]:
    """`kernel_distance` at n, n/2 and n/4: the means over the disjoint subsets of that size.

    Below 20 examples at n only. Unlike that of other metrics, its expectation does not depend on n.
    """
    real, generated = as_pair(real, generated, at_least=2)
    return _curve(real, generated, _cubic)


def gaussian_mmd(x: np.ndarray, y: np.ndarray, width: float) -> Estimate:
    """Unbiased squared MMD of `x` (n, d) and `y` (m, d), both at least 2, with a mean of Gaussian kernels.

    The kernel is the mean of exp(-|x-y|²/(2 (width·s)²)) over s = 1/8, 1/4, 1/2, 1, 2, so between 0 and 1 and without
    unit; `width` is in the unit of the data. Gretton et al. 2012, eq. 3; a mixture of widths as in Li et al. 2015. Its
    expectation for equal distributions is 0, and there the error is conservative by a factor of about 1.4.
    """
    x, y = as_pair(x, y, at_least=2, names=("x", "y"))
    if not (np.isfinite(width) and width > 0):
        raise UserError(f"width: {width}, must be positive and finite")
    # distances from products lose digits far from the origin; the median, unlike the mean, is robust to an outlier
    centre, scale = np.median(x, axis=0), np.sqrt(8) * width
    x, y = (x - centre) / scale, (y - centre) / scale

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        norms = np.einsum("ij,ij->i", a, a)
        squares = np.maximum(norms[:, None] + np.einsum("ij,ij->i", b, b) - 2 * (a @ b.T), 0)
        if (far := norms > FAR).any():
            squares[far] = by_differences(a[far], b)
        k = np.exp(-squares)  # s = 2
        total = k.copy()
        for _ in range(4):  # half the width is the fourth power
            np.maximum(k, 1e-70, out=k)  # avoids subnormal products, which are slow
            k *= k
            k *= k
            total += k
        return total / 5

    return _curve(x, y, kernel)[0].estimate


def _cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    k = a @ b.T
    k /= a.shape[1]
    k += 1
    cube = k * k  # the power of numpy is many times slower
    cube *= k
    return cube


class _Sums(NamedTuple):
    """Sums of the kernel over pairs of rows and columns, of one sample without the pairs of an example with itself.

    `groups` (G, G) are over pairs of groups. `rows` (n, S) and `columns` (m, S) are over the pairs of one example with
    each of the S finest subsets of the other sample. `squares` is the sum of squared kernels.
    """

    groups: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    squares: float


def _curve(x: np.ndarray, y: np.ndarray, kernel: Kernel) -> list[Sized]:
    """The U-statistic at n, n/2 and n/4, as the means over disjoint subsets; below 20 examples at n only."""
    n, m = len(x), len(y)
    parts = parts_for(n, m)
    groups = min(GROUPS, n, m)
    x, sizes_x = sorted_by_group(x, groups)
    y, sizes_y = sorted_by_group(y, groups)
    within_x, within_y = (_sums_within(*sample, parts[-1], kernel) for sample in ((x, sizes_x), (y, sizes_y)))
    across = _sums_across(x, sizes_x, y, sizes_y, parts[-1], kernel)
    # the values of all subsets in one product, in which their bits do not depend on the number of subsets
    group = np.arange(groups)
    chosen = np.array([group % count == s for count in parts for s in range(count)], dtype=np.float64)

    def mean(sums: _Sums, pairs: np.ndarray) -> np.ndarray:
        return np.sum(chosen @ sums.groups * chosen, axis=1) / np.sum(chosen @ pairs * chosen, axis=1)

    of_subsets = (
        mean(within_x, np.outer(sizes_x, sizes_x) - np.diag(sizes_x))
        + mean(within_y, np.outer(sizes_y, sizes_y) - np.diag(sizes_y))
        - 2 * mean(across, np.outer(sizes_x, sizes_y))
    )
    values = [float(each.mean()) for each in np.split(of_subsets, np.cumsum(parts)[:-1])]
    if min(n, m) < FEWEST:
        return [Sized(n, m, Estimate(values[0], None))]
    second_order = _variance(within_x, 1) + _variance(within_y, 1) + 2 * _variance(across, 0)
    curve = []
    for count, value in zip(parts, values, strict=True):
        u = _influences(within_x.rows, across.rows, sizes_x, sizes_y, count)
        v = _influences(within_y.rows, across.columns, sizes_y, sizes_x, count)
        # a pair of examples counts more in a subset, and fewer pairs are in one: together by the number of subsets
        least = float(np.sqrt(count * max(second_order, 0.0)))
        curve.append(Sized(n // count, m // count, Estimate(value, error_of_means(u, v, least=least), u)))
    return curve


def _influences(
    within: np.ndarray, across: np.ndarray, sizes: np.ndarray, other_sizes: np.ndarray, count: int
) -> np.ndarray:
    """Influences (n,) of the examples of one sample on the mean over `count` subsets, in the order given, from their
    sums (n, S) within the sample and across: n - 1 times what leaving the example out changes in its subset.
    """
    groups, n = len(sizes), int(sizes.sum())
    influences = np.empty(n)
    group = np.repeat(np.arange(groups), sizes)
    original = np.argsort(group_of(n, groups), kind="stable")
    for s in range(count):
        members = group % count == s
        own, other = (sums[members, s::count].sum(axis=1) for sums in (within, across))
        k, m = len(own), other_sizes[s::count].sum()
        left_out = (own.sum() - 2 * own) / ((k - 1) * (k - 2)) - 2 * (other.sum() - other) / ((k - 1) * m)
        whole = own.sum() / (k * (k - 1)) - 2 * other.sum() / (k * m)
        influences[original[members]] = (k - 1) * (whole - left_out) * (n / (count * k))
    return influences - influences.mean()


def _variance(sums: _Sums, excluded: int) -> float:
    """Variance of the second-order term of the mean of the kernel over pairs, `excluded` of which are missing per row.

    That is twice the mean square of the kernel, centred over rows and columns, over the number of pairs.
    """
    rows, columns = (each.sum(axis=1) for each in (sums.rows, sums.columns))
    n, m = len(rows), len(columns)
    pairs = n * (m - excluded)
    mean = rows.sum() / pairs
    of_rows, of_columns = rows / (m - excluded) - mean, columns / (n - excluded) - mean
    explained = pairs * mean**2 + m * (of_rows @ of_rows) + n * (of_columns @ of_columns)
    return float(2 * (sums.squares - explained) / pairs**2)


def _sums_across(
    x: np.ndarray, sizes_x: np.ndarray, y: np.ndarray, sizes_y: np.ndarray, subsets: int, kernel: Kernel
) -> _Sums:
    groups = len(sizes_x)
    column_group = np.repeat(np.arange(groups), sizes_y)
    member = np.eye(subsets)[column_group % subsets]
    sums, rows, columns, squares = (
        np.zeros((groups, groups)),
        np.empty((len(x), subsets)),
        np.zeros((len(y), subsets)),
        0.0,
    )
    for group, start, end in blocks(sizes_x, len(y)):
        k = kernel(x[start:end], y)
        of_columns = k.sum(axis=0)
        sums[group] += np.bincount(column_group, of_columns, groups)
        rows[start:end] = k @ member
        columns[:, group % subsets] += of_columns
        squares += float(np.vdot(k, k))
    return _Sums(sums, rows, columns, squares)


def _sums_within(x: np.ndarray, sizes: np.ndarray, subsets: int, kernel: Kernel) -> _Sums:
    groups = len(sizes)
    column_group = np.repeat(np.arange(groups), sizes)
    member = np.eye(subsets)[column_group % subsets]
    upper, rows, squares = np.zeros((groups, groups)), np.zeros((len(x), subsets)), 0.0
    for group, start, end in blocks(sizes, len(x)):
        k = kernel(x[start:end], x[start:])
        square = k[:, : end - start]
        np.fill_diagonal(square, 0)
        squares += 2 * float(np.vdot(k, k)) - float(np.vdot(square, square))
        square /= 2  # holds each pair twice, whereas all other pairs are there once
        of_columns = k.sum(axis=0)
        upper[group] += np.bincount(column_group[start:], of_columns, groups)
        rows[start:end] += k @ member[start:]
        rows[start:, group % subsets] += of_columns
    return _Sums(upper + upper.T, rows, rows, squares)
