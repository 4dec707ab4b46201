"""Squared kernel distances (maximum mean discrepancy): U-statistics of whole samples, with a group jackknife.

The statistic of any union of groups is a function of the sums of the kernel over pairs of groups. So one pass over the
kernel matrices gives the value, the values with a group left out, and those of halves and quarters.
"""

from collections.abc import Callable

import numpy as np

from deepgen_bench.metrics.arrays import as_pair
from deepgen_bench.metrics.distances import by_differences
from deepgen_bench.metrics.estimate import (
    Estimate,
    Sized,
    blocks,
    groups_for,
    jackknifed,
    mean_of_parts,
    parts_for,
    sorted_by_group,
)
from deepgen_bench.runtime.errors import UserError

FAR = 1e6
"""Squared norm, in units of the widest kernel, beyond which distances are by differences: up to it, rounding errors of
products, 1e-13 of it, change the narrowest kernel by less than 3e-5 of its value."""

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps points (a, d) and (b, d) to the matrix (a, b)."""


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> Estimate:
    """Unbiased squared MMD with the kernel (x·y/d + 1)^3 of `real` (n, d) and `generated` (m, d), both at least 2.

    Bińkowski et al. 2018, section 4 (on Inception features: KID). This is the U-statistic of the whole samples: it has
    the same expectation as the usual mean over random subsets, a smaller variance, and no random numbers. Its
    expectation for equal distributions is 0, so values can be negative; there the error is conservative by a factor of
    about 1.5.
    """
    real, generated = as_pair(real, generated, at_least=2)
    return _estimates(real, generated, _cubic, (1,))[0]


def kernel_curve(real: np.ndarray, generated: np.ndarray) -> list[Sized]:
    """`kernel_distance` at n, n/2 and n/4: the means over the disjoint subsets of that size.

    Below 20 examples at n only. Unlike that of other metrics, its expectation does not depend on n.
    """
    real, generated = as_pair(real, generated, at_least=2)
    parts = parts_for(len(real), len(generated))
    estimates = _estimates(real, generated, _cubic, parts)
    return [Sized(len(real) // s, len(generated) // s, e) for s, e in zip(parts, estimates, strict=True)]


def gaussian_mmd(x: np.ndarray, y: np.ndarray, width: float) -> Estimate:
    """Unbiased squared MMD of `x` (n, d) and `y` (m, d), both at least 2, with a mean of Gaussian kernels.

    The kernel is the mean of exp(-|x-y|²/(2 (width·s)²)) over s = 1/8, 1/4, 1/2, 1, 2, so between 0 and 1 and without
    unit; `width` is in the unit of the data. Gretton et al. 2012, eq. 3; a mixture of widths as in Li et al. 2015. Its
    expectation for equal distributions is 0, and there the error is conservative by a factor of about 1.5.
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

    return _estimates(x, y, kernel, (1,))[0]


def _cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    k = a @ b.T
    k /= a.shape[1]
    k += 1
    return k * k * k  # the power of numpy is many times slower


def _estimates(x: np.ndarray, y: np.ndarray, kernel: Kernel, parts: tuple[int, ...]) -> list[Estimate]:
    """The U-statistic as the mean over disjoint subsets, for each number of subsets in `parts`."""
    groups = groups_for(len(x), len(y), at_least=2)
    x, sizes_x = sorted_by_group(x, groups)
    y, sizes_y = sorted_by_group(y, groups)
    # sums over pairs of groups, and numbers of pairs
    within_x = _sums_within(x, sizes_x, kernel), np.outer(sizes_x, sizes_x) - np.diag(sizes_x)
    within_y = _sums_within(y, sizes_y, kernel), np.outer(sizes_y, sizes_y) - np.diag(sizes_y)
    across = _sums_across(x, sizes_x, y, sizes_y, kernel), np.outer(sizes_x, sizes_y)

    def statistics(subset: np.ndarray) -> np.ndarray:
        """The statistic of the groups in `subset` (G,), then with each of them left out."""
        chosen = subset[None]
        if groups > 1:
            chosen = np.vstack([chosen, subset - np.eye(groups)[subset > 0]])

        def mean(sums: np.ndarray, pairs: np.ndarray) -> np.ndarray:
            return np.sum(chosen @ sums * chosen, axis=1) / np.sum(chosen @ pairs * chosen, axis=1)

        return mean(*within_x) + mean(*within_y) - 2 * mean(*across)

    group = np.arange(groups)
    return [
        jackknifed(mean_of_parts([statistics((group % count == s).astype(np.float64)) for s in range(count)]))
        for count in parts
    ]


def _sums_across(x: np.ndarray, sizes_x: np.ndarray, y: np.ndarray, sizes_y: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Sums of the kernel over the pairs of each group of x with each group of y, (G, G)."""
    groups = len(sizes_x)
    column_group = np.repeat(np.arange(groups), sizes_y)
    sums = np.zeros((groups, groups))
    for group, start, end in blocks(sizes_x, len(y)):
        sums[group] += np.bincount(column_group, kernel(x[start:end], y).sum(axis=0), groups)
    return sums


def _sums_within(x: np.ndarray, sizes: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Sums of the kernel over the pairs of two different examples of each two groups of one sample, (G, G)."""
    groups = len(sizes)
    column_group = np.repeat(np.arange(groups), sizes)
    upper = np.zeros((groups, groups))
    for group, start, end in blocks(sizes, len(x)):
        k = kernel(x[start:end], x[start:])
        square = k[:, : end - start]
        np.fill_diagonal(square, 0)
        square /= 2  # holds each pair twice, whereas all other pairs are there once
        upper[group] += np.bincount(column_group[start:], k.sum(axis=0), groups)
    return upper + upper.T
