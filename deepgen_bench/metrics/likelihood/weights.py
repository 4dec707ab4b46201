"""Functions of importance weights and posterior parameters, on numpy arrays: nats per example, in float64."""

from collections.abc import Sequence
from operator import index

import numpy as np

from deepgen_bench.metrics.arrays import as_points
from deepgen_bench.metrics.jackknife import group_of, jackknife_error
from deepgen_bench.runtime.errors import UserError


def log_mean_exp(a: np.ndarray, axis: int = -1) -> np.ndarray:
    """log of the mean of exp(a) along `axis`, without overflow; entries of -inf are zero weights.

    Raises `UserError` on NaN, +inf or an empty axis.
    """
    from scipy.special import logsumexp

    a = np.asarray(a, dtype=np.float64)
    if a.ndim == 0 or a.shape[axis] == 0:
        raise UserError(f"a: shape {a.shape} has nothing to average along axis {axis}")
    if np.isnan(a).any() or np.isposinf(a).any():
        raise UserError("a: holds NaN or +inf")
    return np.asarray(logsumexp(a, axis=axis)) - np.log(a.shape[axis])


def as_log_weights(log_weights: np.ndarray) -> np.ndarray:
    """`log_weights` as float64 (n, K), K >= 1; -inf is a zero weight. Raises `UserError` on NaN, +inf, other shapes."""
    log_weights = np.asarray(log_weights, dtype=np.float64)
    if log_weights.ndim != 2 or log_weights.shape[1] == 0:
        raise UserError(f"log_weights: shape {log_weights.shape}, expected (n, K) with K >= 1")
    bad = (np.isnan(log_weights) | np.isposinf(log_weights)).any(axis=1)
    if bad.any():
        raise UserError(f"log_weights: {bad.sum()} of {len(bad)} examples hold NaN or +inf")
    return log_weights


def effective_sample_size(log_weights: np.ndarray) -> np.ndarray:
    """(Σ w)² / Σ w² of each example's weights (Kong 1992), (n,): 1 … K, and 0 where all weights are zero."""
    log_weights = as_log_weights(log_weights)
    largest = log_weights.max(axis=1, keepdims=True)
    weights = np.exp(log_weights - np.where(np.isneginf(largest), 0, largest))
    return weights.sum(axis=1) ** 2 / np.maximum(np.square(weights).sum(axis=1), np.finfo(float).tiny)


def iw_elbo_curve(log_weights: np.ndarray, ks: Sequence[int]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Importance-weighted bounds L_K (Burda et al. 2015, eq. 8) for several K from the same weights, with their errors.

    `log_weights` (n, K_max): log p(x, z_k) - log q(z_k | x). Each K of `ks` must divide K_max, in ascending order.
    Returns for each K the bound and its Monte-Carlo standard error, (n,) each.

    L_K is the average of the log-mean-exp over the K_max / K disjoint blocks of K weights: unbiased for the expected
    bound, with a variance that falls with K. Where one K divides another, Jensen's inequality holds block by block, so
    L_K does not decrease with K for any single example (up to rounding).

    The error is about the expected bound. It comes from the spread of the blocks if there are several. For a single
    block it follows from the delta method: sqrt(1/ESS - 1/K) with the variance's K - 1. This is too small if the Pareto
    k of the weights is above 0.5 to 0.7, as their variance is then too small. NaN if K = K_max = 1, or if a weight is
    zero at K = 1.
    """
    log_weights = as_log_weights(log_weights)
    n, k_max = log_weights.shape
    try:
        ks = [index(k) for k in ks]
    except TypeError as wrong:
        raise UserError(f"ks: {ks}, expected integers") from wrong
    if not ks or any(k < 1 or k_max % k for k in ks) or ks != sorted(set(ks)):
        raise UserError(f"ks: {ks}, expected ascending divisors of K_max = {k_max}")
    curve = {}
    for k in ks:
        blocks = log_mean_exp(log_weights.reshape(n, k_max // k, k))
        with np.errstate(divide="ignore", invalid="ignore"):
            if k < k_max:
                error = blocks.std(axis=1, ddof=1) / np.sqrt(k_max // k)
            else:
                # clipped at zero, because rounding can put the ESS of equal weights above K
                error = np.sqrt(np.maximum(k / effective_sample_size(log_weights) - 1, 0) / (k - 1))
        curve[k] = blocks.mean(axis=1), error
    return curve


def finite(name: str, array: np.ndarray | float) -> np.ndarray:
    """`array` as float64. Raises `UserError` on NaN and infinity."""
    array = np.asarray(array, dtype=np.float64)
    if bad := array.size - np.isfinite(array).sum():
        raise UserError(f"{name}: {bad} of {array.size} numbers are NaN or infinite")
    return array


def kl_diagonal_gaussian(mean: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
    """KL(N(mean, diag(exp(log_variance))) || N(0, I)) summed over the last axis (Kingma and Welling 2014, app. B).

    Raises `UserError` on NaN and infinity.
    """
    mean, log_variance = finite("mean", mean), finite("log_variance", log_variance)
    return 0.5 * (mean**2 + np.expm1(log_variance) - log_variance).sum(axis=-1)


def active_units(posterior_means: np.ndarray, threshold: float = 1e-2) -> int:
    """Number of latent units u with Var_x(E_q(u|x)[u]) > `threshold` (Burda et al. 2015, section 5.2).

    `posterior_means` (n, z): the encoder's means over at least 2 examples.
    """
    return int((as_points("posterior_means", posterior_means, at_least=2).var(axis=0) > threshold).sum())


def active_units_error(posterior_means: np.ndarray) -> float | None:
    """Standard error of `active_units` over the examples by the group jackknife, None for n < 3.

    The count is a step function: the error is up to twice too large with units at the threshold, and 0 if leaving out a
    group moves none over it.
    """
    if len(posterior_means) < 3:
        return None
    group = group_of(len(posterior_means))
    return float(jackknife_error(np.array([active_units(posterior_means[group != g]) for g in range(group.max() + 1)])))


def median_error(values: np.ndarray) -> float | None:
    """Standard error of the median of (n,): half the distance of the quantiles 1/2 ± 1/(2 sqrt n) (Woodruff 1952).

    The jackknife error of a median varies too much. None for n < 3; from n = 60 on, ±2 errors cover 92 to 95 %.
    """
    if len(values) < 3:
        return None
    low, high = np.quantile(values, 0.5 + np.array([-0.5, 0.5]) / np.sqrt(len(values)))
    return float(high - low) / 2
