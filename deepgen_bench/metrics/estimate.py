"""Numbers with their sampling errors, and the groups of examples that the errors come from."""

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import numpy as np

from deepgen_bench.metrics.jackknife import GROUPS, jackknife_error

PARTS = (1, 2, 4)
"""A size curve measures at n, n/2 and n/4: on the whole samples, two halves and four quarters."""


class Estimate(NamedTuple):
    """`std_error` is the sampling error about the estimator's own expectation at this n; None where n is too small."""

    value: float
    std_error: float | None


class Sized(NamedTuple):
    """An estimate from `n` real and `m` generated examples, or the mean over disjoint subsets of these sizes."""

    n: int
    m: int
    estimate: Estimate


def binomial_error(share: float, n: int) -> float:
    """Standard error of a `share` of `n` independent examples, positive for 0 and 1 too (Laplace's rule of succession).

    sqrt(p (1 - p) / n) with p = (n·share + 1)/(n + 2).
    """
    p = (n * share + 1) / (n + 2)
    return sqrt(p * (1 - p) / n)


def jackknifed(values: np.ndarray) -> Estimate:
    """The estimate from `values` (1 + G,): the statistic, then with each group left out; (1,) gives no error."""
    return Estimate(float(values[0]), float(jackknife_error(values[1:])) if len(values) > 1 else None)


def mean_of_parts(parts: list[np.ndarray]) -> np.ndarray:
    """The mean over S disjoint subsets, then with each of all G groups left out, (1 + G,).

    `parts[s]` (1 + G/S,) is the statistic of examples s, s + S, …, then with each group of that subset left out. With
    groups dealt out like cards, group k of subset s is group s + S k of the whole.
    """
    values = np.stack(parts)
    mean = values[:, 0].mean()
    left_out = mean + (values[:, 1:] - values[:, :1]) / len(parts)
    return np.concatenate([[mean], left_out.T.ravel()])


def parts_for(n: int, m: int) -> tuple[int, ...]:
    """Into how many subsets a size curve divides n and m examples: below `GROUPS` examples only the whole."""
    return PARTS if min(n, m) >= GROUPS else (1,)


def groups_for(n: int, m: int, at_least: int, groups: int = GROUPS) -> int:
    """Into how many groups to deal n and m examples; 1 where fewer than `at_least` would remain without one."""
    smaller = min(n, m)
    groups = min(groups, smaller)
    return groups if smaller - -(-smaller // groups) >= at_least else 1


BLOCK = 2**20
"""Entries of a matrix over pairs of examples that are held at a time: 8 MB."""


def sorted_by_group(points: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """The points group by group, those that `group_of` numbers 0, 1, …, and the sizes of the groups (G,)."""
    members = [points[g::groups] for g in range(groups)]
    return np.concatenate(members), np.array([len(member) for member in members])


def blocks(sizes: np.ndarray, columns: int) -> Iterator[tuple[int, int, int]]:
    """(group, start, end) of blocks of sorted rows, each within one group and of about `BLOCK` entries."""
    rows = max(BLOCK // columns, 1)
    for group, (size, end) in enumerate(zip(sizes, np.cumsum(sizes), strict=True)):
        for start in range(end - size, end, rows):
            yield group, start, min(start + rows, end)
