"""Estimates with sampling errors, and the groups and disjoint subsets of examples that they are computed from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

import numpy as np

from deepgen_bench.metrics.jackknife import GROUPS, jackknife_error

PARTS = (1, 2, 4)
"""Numbers of disjoint subsets of a size curve, which measures at n, n/2 and n/4: one, two halves, four quarters."""


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


def binomial_error(share: float, n: int) -> float:
    """Standard error of a `share` of `n` independent examples, also positive for 0 and 1 (rule of succession).

    sqrt(p (1 - p) / n) with p = (n·share + 1)/(n + 2).
    """
    p = (n * share + 1) / (n + 2)
    return sqrt(p * (1 - p) / n)


def jackknifed(values: np.ndarray) -> Estimate:
    """The estimate from `values` (1 + G,): the statistic, then with each group left out. Without groups no error."""
    return Estimate(float(values[0]), float(jackknife_error(values[1:])) if len(values) > 1 else None)


def mean_of_parts(parts: list[np.ndarray]) -> np.ndarray:
    """The mean over S disjoint subsets, then with each of all G groups left out, (1 + G,).

    `parts[s]` (1 + G/S,) is the statistic of examples s, s + S, …, then with each group of that subset left out. Since
    groups are assigned in turn, group k of subset s is group s + S k of the whole.
    """
    values = np.stack(parts)
    mean = values[:, 0].mean()
    left_out = mean + (values[:, 1:] - values[:, :1]) / len(parts)
    return np.concatenate([[mean], left_out.T.ravel()])


def parts_for(n: int, m: int) -> tuple[int, ...]:
    """The numbers of subsets of a size curve of n and m examples: below `GROUPS` examples the whole only."""
    return PARTS if min(n, m) >= GROUPS else (1,)


def groups_for(n: int, m: int, at_least: int, groups: int = GROUPS) -> int:
    """The number of groups of n and m examples; 1 if fewer than `at_least` would remain with a group left out."""
    smaller = min(n, m)
    groups = min(groups, smaller)
    return groups if smaller - -(-smaller // groups) >= at_least else 1


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
