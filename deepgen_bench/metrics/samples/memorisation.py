"""Whether a model copies its training data: nearest neighbours of its samples there, against those of held-out data."""

from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.arrays import TooFewExamples, as_pair, as_points, as_values
from deepgen_bench.metrics.context import Context, as_vectors
from deepgen_bench.metrics.estimate import Estimate, binomial_error
from deepgen_bench.metrics.measurement import Measurement, Status
from deepgen_bench.plugins import Settings

LEVEL = 0.01
"""Share of held-out examples that count as copies by construction."""

SUSPECT = 0.05
"""Share of copies above which a model is suspect, unless chance could explain it."""

CHANCE = 1e-3
"""Probability below which it could not."""

TREE_DIMENSION = 10
"""Up to it a tree finds neighbours faster than comparing all."""


class TrainingSet:
    """The distinct examples of `train`, as stored, made ready for nearest neighbours.

    Of examples that occur twice the copies are left out: otherwise a sample's two nearest could be the same example.
    """

    def __init__(self, train: np.ndarray, spec: DataSpec):
        flat = np.ascontiguousarray(train).reshape(len(train), spec.dim)
        if flat.dtype.kind == "f":
            flat = as_points("train", flat) + 0.0  # makes the two zeros one
        # a row as one item of bytes sorts many times faster than as numbers
        rows = flat.view(np.dtype((np.void, flat.dtype.itemsize * spec.dim)))[:, 0]
        self.distinct = train[np.sort(np.unique(rows, return_index=True)[1])]
        if len(self.distinct) < 2:
            raise TooFewExamples(f"train: {len(self.distinct)} distinct examples, at least 2 are needed")
        self.spec = spec
        # amid the data: a mean may lie far from them for a single example
        self.centre = np.median(as_vectors(self.distinct[:1000], spec), axis=0)
        self.tree: Any = None
        if spec.dim <= TREE_DIMENSION:
            from scipy.spatial import cKDTree

            self.tree = cKDTree(as_vectors(self.distinct, spec))

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Euclidean distances of `points` (n, d), from `as_vectors`, to their two nearest examples, (n, 2), ascending.

        Beyond ten dimensions the neighbours are found from products, of levels in float32, which takes either of two
        examples whose squared distances agree to about 1e-6 of the squared norms; the distances are exact.
        """
        if self.tree is not None:
            return self.tree.query(points, k=2)[0]
        nearest = self._nearest_by_products(points)
        return np.sort(
            [np.linalg.norm(points - as_vectors(self.distinct[column], self.spec), axis=1) for column in nearest.T],
            axis=0,
        ).T

    def _nearest_by_products(self, points: np.ndarray) -> np.ndarray:
        """Indices (n, 2) of the two nearest examples, in blocks so that memory does not grow with their number."""
        precision = np.float32 if self.spec.levels else np.float64
        # products of points far from the origin would lose digits
        queries = (points - self.centre).astype(precision)
        squares = np.full((len(points), 4), np.inf, precision)  # of the best two so far, and of a block's best two
        index = np.zeros((len(points), 4), np.int64)
        each = np.arange(len(points))
        rows = max(2, 2**22 // len(points))
        for start in range(0, len(self.distinct), rows):
            block = (as_vectors(self.distinct[start : start + rows], self.spec) - self.centre).astype(precision)
            found = queries @ block.T
            found *= -2
            found += np.einsum("ij,ij->i", block, block)  # the queries' own norms change no order
            for column in (2, 3):
                best = found.argmin(axis=1)
                index[:, column], squares[:, column] = start + best, found[each, best]
                found[each, best] = np.inf
            order = np.argsort(squares, axis=1, kind="stable")[:, :2]
            index[:, :2] = np.take_along_axis(index, order, axis=1)
            squares[:, :2] = np.take_along_axis(squares, order, axis=1)
        return index[:, :2]


def nearness_auc(held: np.ndarray, generated: np.ndarray) -> Estimate:
    """P(g < h) + P(g = h)/2 of distances `generated` (n,) and `held` (m,), both at least 2, and its standard error.

    The Mann-Whitney statistic; the error is that of DeLong et al. 1988, eq. 5, from the variance over each sample of
    its examples' own shares.
    """
    held, generated = as_values("held", held, at_least=2), as_values("generated", generated, at_least=2)
    n, m = len(generated), len(held)
    of_generated = 1 - _mid_ranks(generated, held) / m
    of_held = _mid_ranks(held, generated) / n
    error = np.sqrt(of_generated.var(ddof=1) / n + of_held.var(ddof=1) / m)
    return Estimate(float(of_generated.mean()), float(error))


def _mid_ranks(values: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """How many of `sample` lie below each value, with half of those that are equal."""
    sample = np.sort(sample)
    return (np.searchsorted(sample, values) + np.searchsorted(sample, values, side="right")) / 2


def share_below_quantile(held: np.ndarray, generated: np.ndarray, level: float) -> Estimate:
    """The share of `generated` (n,) below the `level`-quantile of `held` (m,), and its standard error.

    A ROC curve's height at a false-alarm rate of `level`. Its expectation is `level` whenever both samples have the
    same distribution, whatever that is and for every n and m: the quantile has rank level·(m + 1), between two ranks
    the share is interpolated, and ties count as if broken at random. With m < 1/level - 1 it therefore stays below 1.

    The error is the binomial one of n, and of m half the range of the share over the quantile's ranks ± one standard
    deviation sqrt(m·level·(1 - level)) (Woodruff 1952).
    """
    held, generated = np.sort(as_values("held", held)), np.sort(as_values("generated", generated))
    n, m = len(generated), len(held)
    rank, deviation = level * (m + 1), np.sqrt(m * level * (1 - level))
    around = np.clip([rank, rank - deviation, rank + deviation], 0, m)
    lower = np.floor(around)
    below = _share_below_rank(held, generated, lower.astype(int))
    above = _share_below_rank(held, generated, np.ceil(around).astype(int))
    share, low, high = below + (around - lower) * (above - below)
    return Estimate(float(share), float(np.hypot(binomial_error(share, n), (high - low) / 2)))


def _share_below_rank(held: np.ndarray, generated: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The expected share of `generated` below the value of `held` at each rank 1 … m, 0 at rank 0, both sorted.

    A tie of a held-out values and b others is broken at random: the i-th of the a has i·b/(a + 1) of the others below.
    """
    value = held[np.maximum(ranks, 1) - 1]
    first, last = (np.searchsorted(held, value, side=side) for side in ("left", "right"))
    below, up_to = (np.searchsorted(generated, value, side=side) for side in ("left", "right"))
    share = (below + (up_to - below) * (ranks - first) / (last - first + 1)) / len(generated)
    return np.where(ranks > 0, share, 0.0)


def p_of_no_copies(held: np.ndarray, generated: np.ndarray) -> float:
    """Probability that of n values at least as many as of `generated` (n,) lie below the lowest 1 % of `held` (m,).

    Exact where both are draws of one continuous distribution, whatever that is: how many of n lie below the r-th of m
    others, r = max(⌊0.01 (m + 1)⌋, 1), is beta-binomial with parameters r and m + 1 - r. Equal values do not count as
    below, which can only make it larger.
    """
    from scipy.stats import betabinom

    held, generated = as_values("held", held), as_values("generated", generated)
    m = len(held)
    r = max(int(LEVEL * (m + 1)), 1)
    below = np.count_nonzero(generated < np.partition(held, r - 1)[r - 1])
    return float(betabinom.sf(below - 1, len(generated), r, m + 1 - r))


class MemorisationSettings(Settings):
    n: int = Field(default=2000, ge=2, description="at most so many examples of each sample")


class Memorisation:
    """nn_auc and copied: Euclidean distances to the training set, of vectors or pixels, against held-out examples'.

    `nn_auc` is P(d(generated) < d(held out)) for the distance d to the nearest training example, the statistic of
    Meehan et al. 2020: 0.5 for a perfect model. Above, samples lie nearer to training data than held-out data do, as
    copies do, but blurred samples and those of a model that varies too little too.

    `copied` is the share of samples whose distance to the nearest training example, relative to that to the second
    nearest, is below the 1 % quantile of held-out examples'. Only what is bound to a single example gets there, so 1 %
    is expected of a model that does not copy, and blur or too little variation make it less. It is `suspect` above 5 %,
    if a model that does not copy would reach it less than once in a thousand (`p_of_no_copies`). Few examples show
    little: nine times in ten exact copies are found where they are 6 % of 1,000 samples, 9 % of 200, 14 % of 100, a
    third of 40 and 60 % of 20, beside as many held-out examples; with fewer than 7 of each, none are.
    """

    Settings = MemorisationSettings

    def __init__(self, settings: MemorisationSettings):
        self.settings = settings
        # with the arrays they belong to: a job measures many samples against the same two
        self._train: tuple[np.ndarray, TrainingSet] | None = None
        self._held: tuple[np.ndarray, np.ndarray] | None = None

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """Measure the first n of `real`, held-out examples, and of `generated` against `context.train`, all as stored.

        n is the smallest of both and the setting, so that models and the oracle are measured on as many. `seconds` is
        the search for neighbours, which the two share; held-out examples' are sought once.
        """
        start = perf_counter()
        n = min(self.settings.n, len(real), len(generated))
        x, y = (as_vectors(sample[:n], context.spec) for sample in (real, generated))

        def row(metric: str, estimate: Estimate | None, status: Status, reason: str) -> Measurement:
            return Measurement(
                metric=metric,
                value=estimate.value if estimate else None,
                std_error=estimate.std_error if estimate else None,
                n_real=n,
                n_generated=n,
                status=status,
                reason=reason,
                seconds=perf_counter() - start,
            )

        try:
            x, y = as_pair(x, y, at_least=2)
            held, found = self._held_distances(real, x, context), self._training_set(context).distances(y)
        except TooFewExamples as error:
            return [row(metric, None, "not_applicable", str(error)) for metric in ("nn_auc", "copied")]
        ratios = _ratio(held), _ratio(found)
        copied = share_below_quantile(*ratios, LEVEL)
        suspect = copied.value > SUSPECT and p_of_no_copies(*ratios) < CHANCE
        reason = f"{copied.value:.0%} of samples are as close to one training example as {LEVEL:.0%} of held-out data"
        return [
            row("nn_auc", nearness_auc(held[:, 0], found[:, 0]), "ok", ""),
            row("copied", copied, *(("suspect", reason) if suspect else ("ok", ""))),
        ]

    def _training_set(self, context: Context) -> TrainingSet:
        if self._train is None or self._train[0] is not context.train:
            self._train, self._held = (context.train, TrainingSet(context.train, context.spec)), None
        return self._train[1]

    def _held_distances(self, real: np.ndarray, points: np.ndarray, context: Context) -> np.ndarray:
        training_set = self._training_set(context)
        if self._held is None or self._held[0] is not real or len(self._held[1]) != len(points):
            self._held = (real, training_set.distances(points))
        return self._held[1]


def _ratio(distances: np.ndarray) -> np.ndarray:
    """Distance to the nearest over distance to the second nearest, 0 for a copy, (n,)."""
    first, second = distances.T
    return np.divide(first, second, out=np.zeros(len(first)), where=first > 0)
