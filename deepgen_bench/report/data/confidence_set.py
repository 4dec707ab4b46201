"""Model confidence sets: the models of a column that replicates do not tell from the best one."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb, pi

import numpy as np

ARRANGEMENTS = 1999
"""Random arrangements of the replicates; two models have all of theirs where there are no more than this."""

LEVEL = 0.03
"""Level of each test. Where models are as often better as worse than each other but their spreads differ by a factor of
four, a permutation test rejects up to 1.8 times as often as its level, so that 3 % keep 5 %."""

SHRINKAGE = 0.5
"""Chosen by simulation: with more, a model of wide spread hides differences between others; with less, models of
unequal spread are told apart more often."""


def confidence_set(values: Sequence[np.ndarray], test_variances: np.ndarray | None = None) -> np.ndarray:
    """p-values (k,) of k models; those above `LEVEL` form the confidence set. Smaller values are better.

    `values[i]` are the values of the replicates of model i, at least two. Equality of all models is tested; if it is
    rejected, the model with the largest mean rank is removed (several where they tie), and the others are tested again
    (Hansen, Lunde and Nason 2011). A removed model has the largest p up to its removal, a model of the set that of the
    last test. If the first test among equally good models has level α, the set holds all models that are as good as the
    best with probability 1 - α, without a correction for the number of models. `test_variances` (k, k) are the
    variances of the differences due to the test set that the models share, None if they are unknown or there is none.
    """
    models = list(range(len(values)))
    p_values = np.ones(len(values))
    p = 0.0
    while len(models) > 1:
        left = [values[i] for i in models]
        p = max(p, equality_p_value(left))
        if test_variances is not None and p <= LEVEL:
            p = max(p, location_p_value(left, test_variances[np.ix_(models, models)]))
        p_values[models] = p
        if p > LEVEL:
            return p_values
        mean_ranks = _mean_ranks(left)
        models = [i for i, mean_rank in zip(models, mean_ranks, strict=True) if mean_rank < mean_ranks.max()]
    p_values[models] = 1.0
    return p_values


def equality_p_value(values: Sequence[np.ndarray]) -> float:
    """p of the hypothesis that replicates of all models are exchangeable, from the ranks of all values together.

    The permutation distribution is exact for any distribution that the models share: skewed, with heavy tails, with a
    share of collapsed replicates. It depends on the order of the values alone, so not on their scale. The statistic is
    Welch's weighted sum of squares of the mean ranks (Welch 1951), with `SHRINKAGE` times the mean variance of the
    models added to each variance: separate variances of few ranks are too uncertain, and a common one makes models of
    unequal spread differ.
    """
    sizes = np.array([len(x) for x in values])
    ranks = _ranks(np.concatenate(values))
    null = _statistic(ranks[_arrangements(tuple(sizes.tolist()))], sizes)
    observed = _statistic(ranks, sizes)
    # ties up to rounding, which depends on the order of the sums
    return float((np.count_nonzero(null >= observed * (1 - 1e-9)) + 1) / (len(null) + 1))


def location_p_value(values: Sequence[np.ndarray], test_variances: np.ndarray) -> float:
    """p of the hypothesis that all models have the same median, apart from their replicates and the shared test set.

    χ² of the medians over replicates, whose covariance is the sum of the variance of a median of normal values, with a
    variance common to the models (the median of theirs, which a collapsed replicate does not change), and of that from
    the test set, given by the variances of differences `test_variances` (k, k).
    """
    from scipy.stats import chi2

    k = len(values)
    sizes = np.array([len(x) for x in values])
    spread = np.median([x.var(ddof=1) / (chi2.median(len(x) - 1) / (len(x) - 1)) for x in values])
    covariance = np.diag(pi / 2 * spread / sizes) - test_variances / 2
    centring = np.eye(k) - 1 / k
    variances, directions = np.linalg.eigh(centring @ covariance @ centring)
    projected = directions.T @ (centring @ np.array([np.median(x) for x in values]))
    scale = max(np.abs(x).max() for x in values)
    known = variances > 1e-9 * variances[-1]
    if np.any(np.abs(projected[~known]) > 1e-9 * scale):  # a difference in a direction without variance
        return 0.0
    return float(chi2.sf(np.sum(projected[known] ** 2 / variances[known]), max(np.count_nonzero(known), 1)))


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(values)


def _mean_ranks(values: Sequence[np.ndarray]) -> np.ndarray:
    ends = np.cumsum([len(x) for x in values])[:-1]
    return np.array([part.mean() for part in np.split(_ranks(np.concatenate(values)), ends)])


def _statistic(ranks: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The statistic of `equality_p_value` for ranks (..., N) of models of these `sizes` (k,), which follow in turn."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.add.reduceat(ranks, starts, axis=-1) / sizes
    squares = np.add.reduceat(ranks * ranks, starts, axis=-1)
    variances = np.maximum(squares - sizes * means * means, 0) / (sizes - 1)
    # a rank has steps of 1/2: the small number matters only where all variances are 0
    weights = sizes / (variances + SHRINKAGE * variances.mean(axis=-1, keepdims=True) + 1e-6)
    centre = np.sum(weights * means, axis=-1, keepdims=True) / weights.sum(axis=-1, keepdims=True)
    return np.sum(weights * (means - centre) ** 2, axis=-1)


@lru_cache(maxsize=64)
def _arrangements(sizes: tuple[int, ...]) -> np.ndarray:
    """Orders (B, N) of N replicates: all choices for the first of two models if they are few, else random ones."""
    n = sum(sizes)
    if len(sizes) == 2 and comb(n, sizes[0]) <= ARRANGEMENTS:
        first = np.array(list(combinations(range(n), sizes[0]))[1:])  # without the observed one
        others = np.array([np.setdiff1d(np.arange(n), chosen) for chosen in first])
        return np.concatenate([first, others], axis=1)
    return np.random.default_rng(n).permuted(np.tile(np.arange(n), (ARRANGEMENTS, 1)), axis=1)
