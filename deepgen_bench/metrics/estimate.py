"""Estimates with sampling errors, and the groups and disjoint subsets of examples that they are computed from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

import numpy as np

from deepgen_bench.metrics.jackknife import jackknife_error

PARTS = (1, 2, 4)
"""Numbers of disjoint subsets of a size curve, which measures at n, n/2 and n/4: one, two halves, four quarters."""

SMALLEST_CURVE = 20
"""Smallest sample that is divided: quarters have five examples."""


@dataclass(frozen=True)
class Estimate:
    """A value and its sampling error about the expectation of the estimator at this n, None if n is too small.

    `influence` (units,) float64 are the first-order contributions of the real sample, centred to mean 0: the standard
    error of the value over real samples alone is influence.std(ddof=1)/sqrt(units). Unit i is real example i in the
    order given, or the group i of real examples (`group_of`) where only a group jackknife is possible; for two
    generated samples compared with one real sample the units are the same, so that the error of the difference of their
    values over real samples is that of the difference of their influences. None if the value does not depend on a real
    sample, or where `std_error` is None.
    """

    value: float
    std_error: float | None
    influence: np.ndarray | None = field(default=None, compare=False, repr=False)


class Sized(NamedTuple):
    """An estimate from `n` real and `m` generated examples, or the mean over disjoint subsets of these sizes."""

    n: int
    m: int
    estimate: Estimate


LARGEST_SKEWNESS_CORRECTION = 0.5
"""Largest relative correction of an error for skewness: beyond, the expansion that it comes from does not hold."""


def error_of_means(*parts: np.ndarray, least: float = 0.0) -> float:
    """Standard error of a sum of independent means, each over the influences of one sample in `parts`, (n,) or (m,).

    sqrt(Σ var/n), at least `least`, and then enlarged so that ±2 errors cover 95 % also where few examples with large
    influences decide: such a mean is skewed, and its estimated error is too small whenever they are missing from the
    sample. To first order ±2 errors miss this coverage by what a factor of 1 + 7/6 γ² - κ/12 corrects, with γ and κ the
    skewness and the excess kurtosis of the sum (two-sided Edgeworth expansion of the studentised mean, Hall 1992,
    section 2.6, polynomial q_2 at 2); at most 1.5 is applied, and no factor below 1.
    """
    # squares of squared distances exceed the range of float64
    unit = max(float(np.abs(part).max()) for part in parts) or 1.0
    scaled = [(part - part.mean()) / unit for part in parts]
    variance = sum(float(part @ part) / (len(part) * (len(part) - 1)) for part in scaled)
    if variance == 0:
        return least
    third = sum(float((part**3).sum()) / len(part) ** 3 for part in scaled)
    fourth = sum((float((part**4).mean()) - 3 * float((part**2).mean()) ** 2) / len(part) ** 3 for part in scaled)
    correction = 7 / 6 * third**2 / variance**3 - fourth / variance**2 / 12
    factor = 1 + min(max(correction, 0.0), LARGEST_SKEWNESS_CORRECTION)
    return factor * max(unit * sqrt(variance), least)


def binomial_error(share: float, n: int) -> float:
    """Standard error of a `share` of `n` independent examples, also positive for 0 and 1 (rule of succession).

    sqrt(p (1 - p) / n) with p = (n·share + 1)/(n + 2).
    """
    p = (n * share + 1) / (n + 2)
    return sqrt(p * (1 - p) / n)


def jackknifed(values: np.ndarray) -> Estimate:
    """The estimate from `values` (1 + G,): the statistic, then with each group left out. Without groups no error."""
    return Estimate(float(values[0]), float(jackknife_error(values[1:])) if len(values) > 1 else None)


def parts_for(n: int, m: int) -> tuple[int, ...]:
    """The numbers of subsets of a size curve of n and m examples: below 20 examples the whole only."""
    return PARTS if min(n, m) >= SMALLEST_CURVE else (1,)


BLOCK = 2**20
"""Entries per block of a matrix over pairs of examples: 8 MB."""


def sorted_by_group(points: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """The points sorted by the group that `group_of` assigns, and the sizes of the groups (G,)."""
    members = [points[g::groups] for g in range(groups)]
    return np.concatenate(members), np.array([len(member) for member in members])


def blocks(sizes: np.ndarray, columns: int) -> Iterator[tuple[int, int, int]]:
    """(group, start, end) of blocks of sorted rows, each within one group and of at most `BLOCK` entries or one row."""
    rows = max(BLOCK // columns, 1)
    for group, (size, end) in enumerate(zip(sizes, np.cumsum(sizes), strict=True)):
        for start in range(end - size, end, rows):
            yield group, start, min(start + rows, end)
