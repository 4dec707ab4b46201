"""Precision, recall, density and coverage: how the samples lie in balls that reach to nearest neighbours.

Errors are those of the group jackknife, of shares at least the binomial one. They are conservative, because these
statistics jump: about right where a share is well below 1, up to twice the standard deviation where nearly everything
is covered.

A radius can only grow when a group is left out, and grows only for the few examples that have a member among their k
nearest. So the balls are compared once with all distances, and again only where they grew.
"""

import numpy as np

from deepgen_bench.metrics.arrays import as_pair
from deepgen_bench.metrics.estimate import Estimate, binomial_error, blocks, groups_for, jackknifed, sorted_by_group
from deepgen_bench.runtime.errors import UserError

SPARE = 20
"""Neighbours that are kept beyond the k-th, to find the k-th of those that are not left out."""

ROUNDING = 1e-13
"""A point as far from the centre of a ball as its k-th neighbour counts as inside, whatever the rounding."""


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> tuple[Estimate, Estimate]:
    """Share of `generated` (m, d) within the manifold of `real` (n, d), and the reverse.

    A manifold is the union of closed balls around each example that reach to its k-th neighbour (Kynkäänniemi et al.
    2019, eq. 1-3). Needs more than k examples of each; depends on n and m, so compare equal numbers only.
    """
    x, y = _Sample.pair(real, generated, k)
    return _share(x.contains(y), y.sizes), _share(y.contains(x), x.sizes)


def density_coverage(real: np.ndarray, generated: np.ndarray, k: int = 5) -> tuple[Estimate, Estimate]:
    """Balls of the `real` (n, d) that a `generated` example (m, d) lies in, over k; share of balls that hold one.

    Naeem et al. 2020, eq. 3 and 4, with balls as in `precision_recall`. For equal distributions density is 1 in the
    mean, and may exceed it where samples crowd; coverage is then 1 - Π_{i=1..k} (n - i)/(n + m - i) (their eq. 9).
    Needs more than k examples of each.
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
                more = distances[grown] <= radii[grown, g, None]
                more &= ~hits[grown]
                inside[g] += all_hits - np.count_nonzero(hits[:, columns[g]])
                inside[g] += np.count_nonzero(more) - np.count_nonzero(more[:, columns[g]])
    present = len(y.points) - np.append(y.sizes, 0)[-x.left_out - 1 :]
    without = [np.delete(nearest, g, axis=1).min(axis=1) for g in range(x.left_out)] + [nearest.min(axis=1)]
    covered = np.stack(without) <= x.radii.T
    return jackknifed(np.roll(inside / (k * present), 1)), _share(covered, x.sizes)


class _Sample:
    """Examples sorted by group, with `radii` (n, L + 1): squared distances to the k-th neighbour.

    In column g without the members of group g, in the last with all. L is the number of groups, or 0 where too few
    examples would be left without one.
    """

    @classmethod
    def pair(cls, real: np.ndarray, generated: np.ndarray, k: int) -> tuple["_Sample", "_Sample"]:
        if k < 1:
            raise UserError(f"k: {k}, must be at least 1")
        real, generated = as_pair(real, generated, at_least=k + 1)
        # distances from products lose digits far from the origin, and a mean may lie there for a single example
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
            found = np.argpartition(distances, count - 1, axis=1)[:, :count]
            values = np.take_along_axis(distances, found, axis=1)
            order = np.argsort(values, axis=1)
            near[start:end] = np.take_along_axis(values, order, axis=1)
            neighbour[start:end] = np.take_along_axis(found, order, axis=1)
        group = np.repeat(np.arange(len(self.sizes)), self.sizes)
        radii = np.empty((n, self.left_out + 1))
        radii[:, -1] = near[:, k - 1]
        for g in range(self.left_out):
            enough = np.cumsum(group[neighbour] != g, axis=1) >= k
            radii[:, g] = near[np.arange(n), enough.argmax(axis=1)]
            for i in np.flatnonzero(~enough[:, -1]):  # hardly ever: most neighbours in one group
                others = np.flatnonzero((group != g) & (np.arange(n) != i))
                distances = _squared_distances(self.points[i : i + 1], self.points[others])[0]
                radii[i, g] = np.partition(distances, k - 1)[k - 1]
        return radii

    def contains(self, other: "_Sample") -> np.ndarray:
        """Whether each point of `other` lies in a ball: without the balls of each group, then with all, (L + 1, m)."""
        held = np.zeros((self.left_out + 1, len(other.points)), dtype=bool)
        for group, start, end in blocks(self.sizes, len(other.points)):
            distances = _squared_distances(self.points[start:end], other.points, ROUNDING)
            radii = self.radii[start:end]
            common = (distances <= radii[:, -1:]).any(axis=0)
            held[-1] |= common
            for g in range(self.left_out):
                if g != group:
                    grown = radii[:, g] > radii[:, -1]
                    held[g] |= common
                    held[g] |= (distances[grown] <= radii[grown, g, None]).any(axis=0)
        return held


def _share(held: np.ndarray, sizes: np.ndarray) -> Estimate:
    """Of points sorted by group the share by the last row of `held` (L + 1, m); by row g of those outside g."""
    by_group = np.add.reduceat(held, np.cumsum(sizes) - sizes, axis=1, dtype=np.int64)
    held_all, own = by_group.sum(axis=1), by_group[:-1].diagonal()
    n = int(sizes.sum())
    left_out = (held_all[:-1] - own) / (n - sizes[: len(own)])
    share, error = jackknifed(np.append(held_all[-1] / n, left_out))
    # a share of all or none stays what it is without any group
    return Estimate(share, error if error is None else max(error, binomial_error(share, n)))


def _squared_distances(x: np.ndarray, y: np.ndarray, rounding: float = 0.0) -> np.ndarray:
    """Squared distances (n, m) of x (n, d) to y (m, d), each less than `rounding` of the squared norms shorter."""
    norms = [(1 - rounding) * np.einsum("ij,ij->i", points, points) for points in (x, y)]
    distances = x @ y.T
    distances *= -2
    distances += norms[0][:, None]
    distances += norms[1]
    return distances
