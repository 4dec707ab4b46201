"""Inception score from class predictions."""

import numpy as np

from deepgen_bench.metrics.arrays import as_points
from deepgen_bench.metrics.estimate import Estimate
from deepgen_bench.metrics.jackknife import jackknife_error
from deepgen_bench.runtime.errors import UserError

SPLITS = 10
"""Number of parts of the sample, as in all published scores: more parts give lower values."""

FEWEST = 10
"""Smallest number of examples of a part for which an error is computed."""


def inception_score(logits: np.ndarray, splits: int = SPLITS) -> Estimate:
    """exp(mean KL(p(y|x) || p(y))) of `logits` (n, classes), n >= `splits`, averaged over `splits` parts.

    Salimans et al. 2016, section 4. Part s holds examples s, s + splits, …; samples are independent, so no shuffling is
    needed. The score is between 1 and the number of classes, and biased downwards if the parts are small. The error is
    that of the delete-one jackknife within each part, None if a part has fewer than 10 examples, for which it would be
    too small. The spread over parts that papers report after the score is not a standard error.
    """
    if splits < 1:
        raise UserError(f"splits: {splits}, must be at least 1")
    logits = as_points("logits", logits, at_least=splits)
    parts = [_score(logits[s::splits]) for s in range(splits)]
    errors = [part.std_error for part in parts if part.std_error is not None]
    return Estimate(
        float(np.mean([part.value for part in parts])),
        float(np.linalg.norm(errors)) / splits if len(errors) == splits else None,
    )


def _score(logits: np.ndarray) -> Estimate:
    """The score of one part: exp(H(mean p) - mean H(p))."""
    n = len(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    negative_entropy = (p * log_p).sum(axis=1)
    total, total_entropy = p.sum(axis=0), negative_entropy.sum()
    value = float(np.exp(total_entropy / n + _entropy(total / n)))
    if n < FEWEST:
        return Estimate(value, None)
    means = np.maximum(total - p, 0) / (n - 1)  # the mean prediction without each example
    left_out = np.exp((total_entropy - negative_entropy) / (n - 1) + _entropy(means))
    return Estimate(value, float(jackknife_error(left_out)))


def _entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in nats over the last axis, with 0 log 0 = 0."""
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)
