"""Precision, recall, density and coverage, from balls that reach to the k-th nearest neighbours of examples.

Errors are those of the group jackknife, and for shares at least the binomial one. They are conservative, because these
statistics are discontinuous: about right if a share is well below 1, up to twice the standard deviation if nearly all
examples are covered.

A radius can only grow when a group is left out, and it grows only for the few examples with a member of the group among
their k nearest. So the balls are compared with all distances once, and again only if they grew.
"""

import numpy as np

from deepgen_bench.metrics.arrays import as_pair
from deepgen_bench.metrics.estimate import Estimate, binomial_error, blocks, groups_for, jackknifed, sorted_by_group
from deepgen_bench.runtime.errors import UserError

SPARE = 20
"""Neighbours stored beyond the k-th, to find the k-th of those that are not left out."""

ROUNDING = 1e-13
"""Relative tolerance of distances: a point as far from the centre as the k-th neighbour counts as inside the ball."""


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> tuple[Estimate, Estimate]:
    """Share of `generated` (m, d) within the manifold of `real` (n, d), and the reverse.

    A manifold is the union of closed balls around each example that reach to its k-th neighbour (Kynkäänniemi et al.
    2019, eq. 1-3). Needs more than k examples of each. The values depend on n and m: compare equal numbers only.
    """
    x, y = _Sample.pair(real, generated, k)
    return _share(x.contains(y), y.sizes), _share(y.contains(x), x.sizes)


def density_coverage(real: np.ndarray, generated: np.ndarray, k: int = 5) -> tuple[Estimate, Estimate]:
    """Density, the mean number of balls of `real` (n, d) around a `generated` example (m, d) over k; and coverage, the
    share of balls that contain a generated example.

    Naeem et al. 2020, eq. 3 and 4, with balls as in `precision_recall`. For equal distributions the expectation of
    density is 1, that of coverage 1 - Π_{i=1..k} (n - i)/(n + m - i) (their eq. 9); density exceeds 1 if samples crowd
    in dense regions. Needs more than k examples of each.
    """
    x, y = _Sample.pair(real, generated, k)
    inside, nearest = np.zeros(x.left_out + 1), np.empty((len(x.points), len(y.sizes)))
    columns = [slice(end - size, end) for size, end in zip(y.sizes, np.cumsum(y.sizes), strict=True)]
    for group, start, end in blocks(x.sizes, len(y.points)):
        distances, radii = _squared_distances(x.points[start:end], y.points, ROUNDING), x.radii[start:end]
        nearest[start:end] = np.minimum.reduceat(distances, [column.start for column in columns], axis=1)
        hits = distances <= radii[:, -1:]
        inside[-1] += (all_hits := np.count_nonzero(hits))
        for g in range(x.left_out):
            if g != group:
                grown = radii[:, g] > radii[:, -1]
                new_hits = distances[grown] <= radii[grown, g, None]
                new_hits &= ~hits[grown]
                inside[g] += all_hits - np.count_nonzero(hits[:, columns[g]])
                inside[g] += np.count_nonzero(new_hits) - np.count_nonzero(new_hits[:, columns[g]])
    remaining = len(y.points) - np.append(y.sizes, 0)[-x.left_out - 1 :]
    left_out = [np.delete(nearest, g, axis=1).min(axis=1) for g in range(x.left_out)]
    covered = np.stack([*left_out, nearest.min(axis=1)]) <= x.radii.T
    return jackknifed(np.roll(inside / (k * remaining), 1)), _share(covered, x.sizes)


class _Sample:
    """Examples sorted by group, with `radii` (n, L + 1): squared distances to the k-th neighbour.

    Column g leaves out the members of group g, the last column none. L (`left_out`) is the number of groups, or 0 if
    too few examples would remain without one.
    """

    @classmethod
    def pair(cls, real: np.ndarray, generated: np.ndarray, k: int) -> tuple["_Sample", "_Sample"]:
        if k < 1:
            raise UserError(f"k: {k}, must be at least 1")
        real, generated = as_pair(real, generated, at_least=k + 1)
        # distances from products lose digits far from the origin; the median, unlike the mean, is robust to an outlier
        centre = np.median(real, axis=0)
        groups = groups_for(len(real), len(generated), at_least=k + 1)
        return cls(real - centre, groups, k), cls(generated - centre, groups, k)

    def __init__(self, points: np.ndarray, groups: int, k: int):
        self.points, self.sizes = sorted_by_group(points, groups)
        self.left_out = groups if groups > 1 else 0
        self.radii = self._radii(k)

    def _radii(self, k: int) -> np.ndarray:
        n = len(self.points)
        count = min(k + SPARE, n - 1)
        near, neighbour = np.empty((n, count)), np.empty((n, count), dtype=np.intp)
        for _, start, end in blocks(self.sizes, n):
            distances = _squared_distances(self.points[start:end], self.points)
            distances[np.arange(end - start), np.arange(start, end)] = np.inf
            nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
            values = np.take_along_axis(distances, nearest, axis=1)
            order = np.argsort(values, axis=1)
            near[start:end] = np.take_along_axis(values, order, axis=1)
            neighbour[start:end] = np.take_along_axis(nearest, order, axis=1)
        group = np.repeat(np.arange(len(self.sizes)), self.sizes)
        radii = np.empty((n, self.left_out + 1))
        radii[:, -1] = near[:, k - 1]
        for g in range(self.left_out):
            enough = np.cumsum(group[neighbour] != g, axis=1) >= k
            radii[:, g] = near[np.arange(n), enough.argmax(axis=1)]
            for i in np.flatnonzero(~enough[:, -1]):  # rare: too many of the stored neighbours are in one group
                others = np.flatnonzero((group != g) & (np.arange(n) != i))
                distances = _squared_distances(self.points[i : i + 1], self.points[others])[0]
                radii[i, g] = np.partition(distances, k - 1)[k - 1]
        return radii

    def contains(self, other: "_Sample") -> np.ndarray:
        """Whether each point of `other` lies in a ball, (L + 1, m): without the balls of each group, then of all."""
        inside = np.zeros((self.left_out + 1, len(other.points)), dtype=bool)
        for group, start, end in blocks(self.sizes, len(other.points)):
            distances = _squared_distances(self.points[start:end], other.points, ROUNDING)
            radii = self.radii[start:end]
            common = (distances <= radii[:, -1:]).any(axis=0)
            inside[-1] |= common
            for g in range(self.left_out):
                if g != group:
                    grown = radii[:, g] > radii[:, -1]
                    inside[g] |= common
                    inside[g] |= (distances[grown] <= radii[grown, g, None]).any(axis=0)
        return inside


def _share(inside: np.ndarray, sizes: np.ndarray) -> Estimate:
    """The share of points that are `inside` (L + 1, m), by the last row; row g is for the points outside group g.

    Points are sorted by group. The error is at least the binomial one, because the jackknife error of a share of 0 or 1
    is 0.
    """
    by_group = np.add.reduceat(inside, np.cumsum(sizes) - sizes, axis=1, dtype=np.int64)
    totals, in_left_out = by_group.sum(axis=1), by_group[:-1].diagonal()
    n = int(sizes.sum())
    left_out = (totals[:-1] - in_left_out) / (n - sizes[: len(in_left_out)])
    estimate = jackknifed(np.append(totals[-1] / n, left_out))
    share, error = estimate.value, estimate.std_error
    return Estimate(share, error if error is None else max(error, binomial_error(share, n)))


def _squared_distances(x: np.ndarray, y: np.ndarray, rounding: float = 0.0) -> np.ndarray:
    """Squared distances (n, m) of x (n, d) to y (m, d), reduced by `rounding` times both squared norms."""
    norms = [(1 - rounding) * np.einsum("ij,ij->i", points, points) for points in (x, y)]
    distances = x @ y.T
    distances *= -2
    distances += norms[0][:, None]
    distances += norms[1]
    return distances
