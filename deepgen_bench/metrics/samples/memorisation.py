"""Detection of copied training data: distances of samples to training examples against those of held-out examples."""

from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.arrays import TooFewExamples, as_pair, as_points, as_values
from deepgen_bench.metrics.context import Context, as_vectors
from deepgen_bench.metrics.distances import by_differences, needs_differences
from deepgen_bench.metrics.estimate import Estimate, binomial_error
from deepgen_bench.metrics.family import MetricFamily, MetricSettings
from deepgen_bench.metrics.measurement import Measurement, Status

LEVEL = 0.01
"""Share of held-out examples that count as copies by construction."""

SUSPECT = 0.05
"""Share of copies above which a model is suspect, unless chance explains it."""

CHANCE = 1e-3
"""Probability of the observed copies below which chance does not explain them."""

TOLERANCE = 1e-3
"""Largest rounding error of a squared distance, relative to it, with which neighbours are found by products."""

TREE_DIMENSION = 10
"""Largest dimension in which a tree finds neighbours faster than a comparison with all examples."""


class TrainingSet:
    """The distinct examples of `train`, as stored, indexed for nearest neighbours.

    Duplicates are removed, because otherwise the two nearest neighbours of a sample could be equal.
    """

    def __init__(self, train: np.ndarray, spec: DataSpec):
        flat = np.ascontiguousarray(train).reshape(len(train), spec.dim)
        if flat.dtype.kind == "f":
            flat = as_points("train", flat) + 0.0  # turns -0.0 into 0.0
        # rows viewed as single items of bytes sort many times faster than rows of numbers
        rows = flat.view(np.dtype((np.void, flat.dtype.itemsize * spec.dim)))[:, 0]
        self.distinct = train[np.sort(np.unique(rows, return_index=True)[1])]
        if len(self.distinct) < 2:
            raise TooFewExamples(f"train: {len(self.distinct)} distinct examples, at least 2 are needed")
        self.spec = spec
        # the median, which unlike the mean is robust to an outlier
        self.centre = np.median(as_vectors(self.distinct[:1000], spec), axis=0)
        self.tree: Any = None
        if spec.dim <= TREE_DIMENSION:
            from scipy.spatial import cKDTree

            self.tree = cKDTree(as_vectors(self.distinct, spec))

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Euclidean distances of `points` (n, d), from `as_vectors`, to their two nearest examples, (n, 2), ascending.

        Above ten dimensions the neighbours are found by matrix products (in float32 for levels), so either of two
        examples may be taken whose squared distances agree to about 1e-6 of the squared norms; distances are exact.
        Vectors for which that would matter are compared with all examples by differences.
        """
        if self.tree is not None:
            return self.tree.query(points, k=2)[0]
        nearest = self._nearest_by_products(points)
        columns = [
            np.linalg.norm(points - as_vectors(self.distinct[column], self.spec), axis=1) for column in nearest.T
        ]
        distances = np.sort(columns, axis=0).T
        if not self.spec.levels:
            doubtful = needs_differences(points - self.centre, distances[:, 1] ** 2, TOLERANCE)
            distances[doubtful] = self._nearest_by_differences(points[doubtful])
        return distances

    def _nearest_by_differences(self, points: np.ndarray) -> np.ndarray:
        """The distances of vectors to their two nearest examples, (n, 2), in blocks."""
        nearest = np.full((len(points), 2), np.inf)
        rows = max(2, 2**22 // max(len(points), 1))
        for start in range(0, len(self.distinct), rows):
            block = by_differences(points, self.distinct[start : start + rows])
            nearest = np.sort(np.concatenate([nearest, block], axis=1), axis=1)[:, :2]
        return np.sqrt(nearest)

    def _nearest_by_products(self, points: np.ndarray) -> np.ndarray:
        """Indices (n, 2) of the two nearest examples, in blocks, so that memory does not grow with the training set."""
        precision = np.float32 if self.spec.levels else np.float64
        # products of points far from the origin would lose digits
        queries = (points - self.centre).astype(precision)
        squares = np.full((len(points), 4), np.inf, precision)  # of the best two so far, and of the best two of a block
        index = np.zeros((len(points), 4), np.int64)
        queries_index = np.arange(len(points))
        rows = max(2, 2**22 // len(points))
        for start in range(0, len(self.distinct), rows):
            block = (as_vectors(self.distinct[start : start + rows], self.spec) - self.centre).astype(precision)
            distances = queries @ block.T
            distances *= -2
            distances += np.einsum("ij,ij->i", block, block)  # the norms of the queries do not change the order
            for column in (2, 3):
                best = distances.argmin(axis=1)
                index[:, column], squares[:, column] = start + best, distances[queries_index, best]
                distances[queries_index, best] = np.inf
            order = np.argsort(squares, axis=1, kind="stable")[:, :2]
            index[:, :2] = np.take_along_axis(index, order, axis=1)
            squares[:, :2] = np.take_along_axis(squares, order, axis=1)
        return index[:, :2]


def nearness_auc(held_out: np.ndarray, generated: np.ndarray) -> Estimate:
    """P(g < h) + P(g = h)/2 of distances `generated` (n,) and `held_out` (m,), both at least 2, and its standard error.

    The Mann-Whitney statistic. The error is that of DeLong et al. 1988, eq. 5, from the variances over both samples of
    the shares of single examples.
    """
    held_out, generated = as_values("held_out", held_out, at_least=2), as_values("generated", generated, at_least=2)
    n, m = len(generated), len(held_out)
    generated_shares = 1 - _mid_ranks(generated, held_out) / m
    held_out_shares = _mid_ranks(held_out, generated) / n
    error = np.sqrt(generated_shares.var(ddof=1) / n + held_out_shares.var(ddof=1) / m)
    return Estimate(float(generated_shares.mean()), float(error), held_out_shares - held_out_shares.mean())


def _mid_ranks(values: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """The number of entries of `sample` below each value, plus half the number of equal ones."""
    sample = np.sort(sample)
    return (np.searchsorted(sample, values) + np.searchsorted(sample, values, side="right")) / 2


def share_below_quantile(held_out: np.ndarray, generated: np.ndarray, level: float) -> Estimate:
    """The share of `generated` (n,) below the `level`-quantile of `held_out` (m,), and its standard error.

    The height of a ROC curve at a false-alarm rate of `level`. Its expectation is `level` if both samples have the same
    distribution, for every distribution, n and m: the quantile has rank level·(m + 1), between two ranks the share is
    interpolated, and ties count as if broken at random. For m < 1/level - 1 it therefore stays below 1.

    The error combines the binomial one of n with half the range of the share over the ranks of the quantile ± one
    standard deviation sqrt(m·level·(1 - level)) for m (Woodruff 1952). `influence` (m,) distributes that half range
    over the held-out values: those up to the quantile lower it, and with it the share.
    """
    values, generated = as_values("held_out", held_out), np.sort(as_values("generated", generated))
    held_out = np.sort(values)
    n, m = len(generated), len(held_out)
    rank, deviation = level * (m + 1), np.sqrt(m * level * (1 - level))
    ranks = np.clip([rank, rank - deviation, rank + deviation], 0, m)
    lower = np.floor(ranks)
    below = _share_below_rank(held_out, generated, lower.astype(int))
    above = _share_below_rank(held_out, generated, np.ceil(ranks).astype(int))
    share, low, high = below + (ranks - lower) * (above - below)
    half_range = (high - low) / 2
    lowers = values <= held_out[max(int(np.ceil(ranks[0])), 1) - 1]
    spread = lowers.std(ddof=1) if m > 1 else 0.0
    influence = (lowers.mean() - lowers) * (half_range * np.sqrt(m) / spread if spread > 0 else 0.0)
    return Estimate(float(share), float(np.hypot(binomial_error(share, n), half_range)), influence)


def _share_below_rank(held_out: np.ndarray, generated: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The expected share of `generated` below the value of `held_out` at each rank 1 … m, 0 at rank 0; both sorted.

    Ties of a held-out and b generated values are broken at random: i·b/(a + 1) of the b are below the i-th of the a.
    """
    value = held_out[np.maximum(ranks, 1) - 1]
    first, last = (np.searchsorted(held_out, value, side=side) for side in ("left", "right"))
    below, up_to = (np.searchsorted(generated, value, side=side) for side in ("left", "right"))
    share = (below + (up_to - below) * (ranks - first) / (last - first + 1)) / len(generated)
    return np.where(ranks > 0, share, 0.0)


def p_value_of_copies(held_out: np.ndarray, generated: np.ndarray) -> float:
    """P-value of the number of `generated` values (n,) below the lowest 1 % of `held_out` (m,).

    It is the probability of at least as many if both are draws of one continuous distribution, and exact for each: the
    number of n values below the r-th of m others, r = max(⌊0.01 (m + 1)⌋, 1), is beta-binomial with parameters r and
    m + 1 - r. Equal values do not count as below, which can only increase the p-value.
    """
    from scipy.stats import betabinom

    held_out, generated = as_values("held_out", held_out), as_values("generated", generated)
    m = len(held_out)
    r = max(int(LEVEL * (m + 1)), 1)
    below = np.count_nonzero(generated < np.partition(held_out, r - 1)[r - 1])
    return float(betabinom.sf(below - 1, len(generated), r, m + 1 - r))


class MemorisationSettings(MetricSettings):
    n: int = Field(default=2000, ge=2, description="at most so many examples of each sample")


class Memorisation(MetricFamily[MemorisationSettings]):
    """nn_auc and copied, from Euclidean distances (of vectors or pixels) of samples and held-out data to training data.

    `nn_auc` is P(d(generated) < d(held out)) for the distance d to the nearest training example, the statistic of
    Meehan et al. 2020: 0.5 for a perfect model. Above 0.5 samples are nearer to training data than held-out data are,
    which holds for copies, but also for blurred samples and for models with too little variation.

    `copied` is the share of samples whose distance to the nearest training example, relative to that to the second
    nearest, is below the 1 % quantile of that ratio for held-out examples. Only samples close to a single example have
    such ratios, so 1 % is expected of a model that does not copy, and less with blur or too little variation. It is
    `suspect` above 5 % if a model that does not copy would reach it less than once in a thousand (`p_value_of_copies`).
    The power depends on the number of examples: in nine of ten cases exact copies are detected if they are 6 % of 1,000
    samples, 9 % of 200, 14 % of 100, a third of 40 and 60 % of 20, with as many held-out examples; with fewer than 7 of
    each they are never detected.
    """

    Settings = MemorisationSettings

    def __init__(self, settings: MemorisationSettings):
        super().__init__(settings)
        # cached with the arrays they belong to, because a job measures many samples against the same two
        self._train: tuple[np.ndarray, TrainingSet] | None = None
        self._held_out: tuple[np.ndarray, np.ndarray] | None = None

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """Measure the first n of `real`, held-out examples, and of `generated` against `context.train`, all as stored.

        n is the smallest of both and the setting, so that models and the oracle are measured on the same number.
        `seconds` is the search for neighbours, which both metrics share; that for held-out examples runs once.
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
                influence=estimate.influence if estimate else None,
            )

        try:
            x, y = as_pair(x, y, at_least=2)
            held_out = self._held_out_distances(real, x, context)
            distances = self._training_set(context).distances(y)
        except TooFewExamples as error:
            return [row(metric, None, "not_applicable", str(error)) for metric in ("nn_auc", "copied")]
        ratios = _ratio(held_out), _ratio(distances)
        copied = share_below_quantile(*ratios, LEVEL)
        suspect = copied.value > SUSPECT and p_value_of_copies(*ratios) < CHANCE
        reason = f"{copied.value:.0%} of samples are as close to one training example as {LEVEL:.0%} of held-out data"
        return [
            row("nn_auc", nearness_auc(held_out[:, 0], distances[:, 0]), "ok", ""),
            row("copied", copied, *(("suspect", reason) if suspect else ("ok", ""))),
        ]

    def _training_set(self, context: Context) -> TrainingSet:
        if self._train is None or self._train[0] is not context.train:
            self._train, self._held_out = (context.train, TrainingSet(context.train, context.spec)), None
        return self._train[1]

    def _held_out_distances(self, real: np.ndarray, points: np.ndarray, context: Context) -> np.ndarray:
        training_set = self._training_set(context)
        if self._held_out is None or self._held_out[0] is not real or len(self._held_out[1]) != len(points):
            self._held_out = (real, training_set.distances(points))
        return self._held_out[1]


def _ratio(distances: np.ndarray) -> np.ndarray:
    """Distance to the nearest over distance to the second nearest example, (n,): 0 for a copy."""
    first, second = distances.T
    return np.divide(first, second, out=np.zeros(len(first)), where=first > 0)
