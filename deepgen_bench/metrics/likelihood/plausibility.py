"""Tests that tell a mistake in a log-likelihood from chance and rounding."""

import numpy as np

SUSPECT = 4
"""Standard errors above the true density from which a likelihood is suspect."""

CHANCE = 1e-4
"""The largest accepted probability of a false alarm."""

ROUNDING = 1e-5
"""Rounding error that float32 networks may add to a log-likelihood: nats per example, and the share of its magnitude
above 1."""


def rounding_error(values: np.ndarray) -> np.ndarray:
    """Possible rounding errors of log-likelihoods (n,), in nats, (n,)."""
    return ROUNDING * np.maximum(1, np.abs(values))


def beyond_chance(log_ratios: np.ndarray) -> bool:
    """Whether independent log ratios (n,), each with E[ratio] <= 1, have a sum that chance does not explain.

    E[Π ratio] <= 1, so by Markov's inequality the sum exceeds log(1 / CHANCE) with probability CHANCE at most. This
    holds for every n and for skewed ratios, so few examples, or rare events that did not occur, raise no false alarm.
    """
    return bool(log_ratios.sum() > -np.log(CHANCE))


def below_bound(values: np.ndarray, errors: np.ndarray, bound: np.ndarray) -> str:
    """The reason why log p(x), (n,) with errors (n,), contradicts a `bound` (n,); empty if it does not.

    `bound` is an importance-weighted one. The mean of its K weights has the expectation p(x) exactly, for every encoder
    and K, so it exceeds the true value by chance alone, and `beyond_chance` limits that for weights with any tail: for
    the sum over all examples and, by the union bound, for the example with the largest excess. Quadrature that misses a
    spike of the decoder is detected here.
    """
    with np.errstate(invalid="ignore"):  # values of -inf, for which the row fails by itself
        excess = bound - values - errors - rounding_error(values)
    if not beyond_chance(excess) and not beyond_chance(excess.max(keepdims=True) - np.log(len(excess))):
        return ""
    above = bound - values
    return f"iw_elbo is up to {above.max():.2g} nats above, {above.mean():.2g} in the mean, which no bound can be"
