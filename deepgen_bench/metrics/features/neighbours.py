"""Precision, recall, density and coverage, from balls that reach to the k-th nearest neighbours of examples.

Without an example its ball is missing, and the balls of which it was among the k nearest neighbours reach to the next
one. These changes are known from one pass over the distances, and they give the influence of each example.

The sum of the squared changes, the jackknife's variance, would be too large. These statistics jump: whether a point is
inside depends on several examples at once, and a variance that is due to r of them together is counted r times. So the
variance of a share is the binomial one of its points, plus the sum of squares for the balls, corrected in one of two
ways: without the squares that are due to the other sample, whose points are inside by chance, or divided by
`_overcounting`.
"""

from typing import NamedTuple

import numpy as np

from deepgen_bench.metrics.arrays import as_pair
from deepgen_bench.metrics.distances import ROUNDING, by_differences, by_products, needs_differences
from deepgen_bench.metrics.estimate import Estimate, binomial_error, blocks
from deepgen_bench.runtime.errors import UserError

TOLERANCE = 1e-6
"""Largest rounding error of a squared radius, relative to it, with which distances by products are used."""

GROWTH_IN_DENSITY, GROWTH_IN_COVERAGE = 0.75, 0.5
"""Weights of the growth of balls in influences. It depends on two examples, and the full weight would count it at both.
With these, influences have 0.9 to 1.3 times the spread over real samples in 8 dimensions and more; in 1 or 2 dimensions
that of density is up to 1.8 times too wide."""


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> tuple[Estimate, Estimate]:
    """Share of `generated` (m, d) within the manifold of `real` (n, d), and the reverse.

    A manifold is the union of closed balls around each example that reach to its k-th neighbour (Kynkäänniemi et al.
    2019, eq. 1-3). Needs more than k examples of each. The values depend on n and m: compare equal numbers only.
    """
    x, y = _Balls.pair(real, generated, k)
    precision, recall = _share_in_union(x, y.points), _share_in_union(y, x.points)
    return (
        Estimate(precision.value, precision.std_error, precision.of_balls),
        Estimate(recall.value, recall.std_error, recall.of_points),
    )


def density_coverage(real: np.ndarray, generated: np.ndarray, k: int = 5) -> tuple[Estimate, Estimate]:
    """Density, the mean number of balls of `real` (n, d) around a `generated` example (m, d) over k; and coverage, the
    share of balls that contain a generated example.

    Naeem et al. 2020, eq. 3 and 4, with balls as in `precision_recall`. For equal distributions the expectation of
    density is 1, that of coverage 1 - Π_{i=1..k} (n - i)/(n + m - i) (their eq. 9); density exceeds 1 if samples crowd
    in dense regions. Needs more than k examples of each.
    """
    x, y = _Balls.pair(real, generated, k)
    n, m = len(x.points), len(y.points)
    contained, shell, around, single = np.zeros(n, int), np.zeros(n, int), np.zeros(m, int), np.zeros(n, int)
    for _, start, end in blocks(np.array([n]), m):
        distances = x.squared_distances(start, end, y.points)
        hits = distances <= x.radii[start:end, :1]
        contained[start:end], single[start:end] = np.count_nonzero(hits, axis=1), hits.argmax(axis=1)
        shell[start:end] = np.count_nonzero(distances <= x.radii[start:end, 1:], axis=1)
        around += np.count_nonzero(hits, axis=0)
    shell -= contained
    density, covered = int(contained.sum()) / (k * m), contained > 0
    coverage = np.count_nonzero(covered) / n
    if x.neighbours is None or y.neighbours is None:
        return Estimate(density, None), Estimate(coverage, None)
    grown = x.sum_over_neighbours(shell)
    systematic = max(_sum_of_squares(grown - contained) - (grown + contained).sum(), 0.0)
    variance = (systematic / m + around.var(ddof=1)) / (k**2 * m)
    of_density = _centred(contained - GROWTH_IN_DENSITY * grown) * ((n - 1) / (k * m))
    alone = np.bincount(single[contained == 1], minlength=m)  # balls that would be empty without a generated example
    of_generated = _sum_of_squares(alone) / n**2 / _overcounting(contained)
    of_coverage = _centred(covered - GROWTH_IN_COVERAGE * x.sum_over_neighbours((contained == 0) & (shell > 0)))
    return (
        Estimate(density, float(np.sqrt(variance)), of_density),
        Estimate(coverage, float(np.sqrt(binomial_error(coverage, n) ** 2 + of_generated)), of_coverage),
    )


class _Balls:
    """Balls around the examples `points` (n, d) that reach to the k-th nearest other one.

    `radii` (n, 2) are squared distances to the k-th and to the next neighbour, `neighbours` (n, k) the indices of the k
    nearest; there is no next one and `neighbours` is None for n = k + 1. `exact` (n,) says around which examples
    distances are by differences, because those by products are too uncertain to compare with the radius.
    """

    @classmethod
    def pair(cls, real: np.ndarray, generated: np.ndarray, k: int) -> tuple["_Balls", "_Balls"]:
        if k < 1:
            raise UserError(f"k: {k}, must be at least 1")
        real, generated = as_pair(real, generated, at_least=k + 1)
        # distances from products lose digits far from the origin; the median, unlike the mean, is robust to an outlier
        centre = np.median(real, axis=0)
        return cls(real - centre, k), cls(generated - centre, k)

    def __init__(self, points: np.ndarray, k: int):
        n = len(points)
        count = min(k + 1, n - 1)
        self.points, self.exact = points, np.zeros(n, dtype=bool)
        self.radii, neighbours = np.full((n, 2), np.inf), np.empty((n, k), dtype=np.intp)
        for _, start, end in blocks(np.array([n]), n):
            distances = by_products(points[start:end], points)
            distances[np.arange(end - start), np.arange(start, end)] = np.inf
            nearest = np.argpartition(distances, (k - 1, count - 1), axis=1)[:, :count]
            radii_by_products = np.take_along_axis(distances, nearest[:, k - 1 : k], axis=1)[:, 0]
            exact = self.exact[start:end] = needs_differences(points[start:end], radii_by_products, TOLERANCE)
            if exact.any():
                distances[exact] = by_differences(points[start:end][exact], points)
                distances[np.arange(end - start), np.arange(start, end)] = np.inf
                nearest[exact] = np.argpartition(distances[exact], (k - 1, count - 1), axis=1)[:, :count]
            values = np.take_along_axis(distances, nearest, axis=1)
            order = np.argsort(values, axis=1)
            self.radii[start:end, : count - k + 1] = np.take_along_axis(values, order[:, k - 1 :], axis=1)
            neighbours[start:end] = np.take_along_axis(nearest, order[:, :k], axis=1)
        self.neighbours = neighbours if count > k else None

    def squared_distances(self, start: int, end: int, others: np.ndarray) -> np.ndarray:
        """Squared distances of the examples from `start` to `end` to `others` (m, d), to compare with the radii.

        Those by products are reduced by their rounding errors, so that a point as far away as the k-th neighbour counts
        as inside the ball.
        """
        points, exact = self.points[start:end], self.exact[start:end]
        distances = by_products(points, others, ROUNDING)
        if exact.any():
            distances[exact] = by_differences(points[exact], others)
        return distances

    def sum_over_neighbours(self, of_balls: np.ndarray) -> np.ndarray:
        """For each example the sum of `of_balls` (n,) over the balls that reach to it or beyond, (n,)."""
        assert self.neighbours is not None
        n, k = self.neighbours.shape
        return np.bincount(self.neighbours.ravel(), np.repeat(of_balls, k), n)


class _Share(NamedTuple):
    """The share of points in a union of balls, its error, and the influences of the balls and of the points."""

    value: float
    std_error: float | None = None
    of_balls: np.ndarray | None = None
    of_points: np.ndarray | None = None


def _share_in_union(balls: _Balls, points: np.ndarray) -> _Share:
    n, m = len(balls.points), len(points)
    covers, single = np.zeros(m, int), np.zeros(m, int)
    shells = []
    for _, start, end in blocks(np.array([n]), m):
        distances = balls.squared_distances(start, end, points)
        hits = distances <= balls.radii[start:end, :1]
        here = np.count_nonzero(hits, axis=0)
        covers += here
        single = np.where(here > 0, start + hits.argmax(axis=0), single)
        open_ = np.flatnonzero(covers < 2)  # points in two balls stay inside without either
        distances = distances[:, open_]
        ball, point = np.nonzero((distances <= balls.radii[start:end, 1:]) & ~hits[:, open_])
        shells.append(np.stack([start + ball, open_[point]]))
    share = np.count_nonzero(covers) / m
    if balls.neighbours is None or m <= balls.neighbours.shape[1] + 1:
        return _Share(share)
    # points that balls would reach if they grew, by the examples without which they would
    ball, point = np.concatenate(shells, axis=1)
    reached = np.unique(balls.neighbours[ball] * m + point[:, None])
    gained = reached[covers[reached % m] == 0] // m
    alone = np.flatnonzero(covers == 1)
    lost = single[alone][~np.isin(single[alone] * m + alone, reached)]
    gains, losses = (np.bincount(examples, minlength=n) for examples in (gained, lost))
    change = gains - losses
    squares, overcounting = _sum_of_squares(change), _overcounting(covers)
    systematic = max(squares - (gains + losses).sum(), 0)
    of_balls = min(squares / overcounting, systematic) / m**2
    return _Share(
        share,
        float(np.sqrt(binomial_error(share, m) ** 2 + of_balls)),
        _centred(-change) * ((n - 1) / m / np.sqrt(overcounting)),
        _centred(covers > 0),
    )


def _overcounting(covers: np.ndarray) -> float:
    """The factor by which the jackknife overestimates the variance of the number of points in at least one ball.

    `covers` (m,) are the numbers of balls around each. If they are Poisson variables of mean λ, one ball decides with a
    probability of λ exp(-λ), but the variance is exp(-λ)(1 - exp(-λ)): the ratio is λ/(1 - exp(-λ)). λ is estimated by
    twice the points in two balls over those in one, because points far from all balls tell nothing of it.
    """
    mean = (2 * np.count_nonzero(covers == 2) + 0.5) / (np.count_nonzero(covers == 1) + 0.5)
    return float(mean / -np.expm1(-mean))


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean()


def _sum_of_squares(values: np.ndarray) -> float:
    return float(np.square(_centred(values)).sum())
