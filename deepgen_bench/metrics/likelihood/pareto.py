"""Pareto shape k of importance weights, a diagnostic of heavy tails (Vehtari et al. 2024, arXiv 1507.02646)."""

from math import sqrt

import numpy as np

from deepgen_bench.metrics.likelihood.weights import as_log_weights, effective_sample_size
from deepgen_bench.runtime.errors import UserError

MIN_TAIL = 20
"""Smallest tail from which k is estimated: with fewer weights (K < 100) its standard error is about 0.3 or more."""

THRESHOLD = 0.7
"""Pareto k above which the error of an importance-sampling estimate falls too slowly with K for any practical K."""

MAX_SHARE = 0.1
"""Share of examples with a Pareto k above the threshold beyond which a bound has not converged."""

MIN_EFFECTIVE_SAMPLE_SIZE = 5
"""Effective sample size below which k is at least 1: too few weights count to show a light tail."""


def tail_length(k: int) -> int:
    """Number of weights in the tail of `k` weights, the largest ones: min(k / 5, 3 sqrt(k)), rounded down."""
    return int(min(k / 5, 3 * sqrt(k)))


def pareto_k(log_weights: np.ndarray) -> np.ndarray:
    """Pareto shape k of each example's weights, (n,), from `log_weights` (n, K) with K >= 100.

    A generalised Pareto distribution is fitted to the excesses of the largest weights (`tail_length`) over the next
    one, with its shape shrunk towards 0.5 by ten pseudo-observations (Vehtari et al. 2024, appendix G). The r-th moment
    of the weights exists for k < 1/r; above 0.7 neither the estimate nor its error is reliable. k is at least 1 if the
    effective sample size is below `MIN_EFFECTIVE_SAMPLE_SIZE`, because ties below one dominant weight hide its tail;
    -inf if the largest weights are all equal, +inf if all weights are zero. Raises `UserError` on NaN, +inf or a
    smaller K.
    """
    log_weights = as_log_weights(log_weights)
    tail = tail_length(log_weights.shape[1])
    if tail < MIN_TAIL:
        raise UserError(f"log_weights: {log_weights.shape[1]} per example, at least 100 are needed for their tail")
    top = np.sort(np.partition(log_weights, -tail - 1, axis=1)[:, -tail - 1 :], axis=1)
    cutoff, top, largest = top[:, :1], top[:, 1:], top[:, -1:]
    with np.errstate(invalid="ignore"):  # -inf minus -inf, if no weight exceeds the cutoff
        excess = np.exp(top - largest) * -np.expm1(cutoff - top)
    # an excess that underflows, or a cutoff of zero, must not count as no excess: the tail is heavy, not light
    excess = np.where((top > cutoff) | np.isneginf(cutoff), np.fmax(excess, 1e-300), 0.0)
    zero = np.isneginf(largest[:, 0])
    shape = np.where(zero, np.inf, -np.inf)
    varied = ~zero & (excess[:, -1] > 0)
    shape[varied] = (tail * generalised_pareto_shape(excess[varied]) + 5) / (tail + 10)
    return np.where(effective_sample_size(log_weights) < MIN_EFFECTIVE_SAMPLE_SIZE, np.fmax(shape, 1), shape)


def generalised_pareto_shape(x: np.ndarray) -> np.ndarray:
    """Shape k of a generalised Pareto distribution for each row of `x` (n, m), ascending, >= 0, the last one > 0.

    The posterior mean of theta = -k / scale over a grid under the data-driven prior of Zhang and Stephens (2009,
    Technometrics 51), then k = mean log(1 - theta x). Here k > 0 is a heavy tail; their k has the opposite sign.
    """
    m = x.shape[1]
    size = 30 + int(sqrt(m))
    quartile = x[:, int(m / 4 + 0.5) - 1]
    smallest = np.where(x > 0, x, np.inf).min(axis=1)  # replaces a quartile of zero
    spread = (1 - np.sqrt(size / (np.arange(size) + 0.5))) / 3
    theta = 1 / x[:, -1:] + spread / np.where(quartile > 0, quartile, smallest)[:, None]
    shapes = np.stack([np.log1p(-one[:, None] * x).mean(axis=1) for one in theta.T], axis=1)
    log_profile = m * (np.log(-theta / shapes) - shapes - 1)
    weights = np.exp(log_profile - log_profile.max(axis=1, keepdims=True))
    best = (theta * weights).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    return np.log1p(-best * x).mean(axis=1)
