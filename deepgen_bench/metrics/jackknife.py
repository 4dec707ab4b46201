"""Sampling errors by the delete-a-group jackknife."""

import numpy as np

GROUPS = 20
"""Number of groups G: the relative error of a standard error from G groups is about 1/sqrt(2 (G - 1)), so 16 %."""


def group_of(n: int, groups: int = GROUPS) -> np.ndarray:
    """The group 0 … min(n, groups) - 1 of each of `n` examples, (n,): assigned in turn, whatever their order."""
    return np.arange(n) % min(n, groups)


def jackknife_error(left_out: np.ndarray) -> np.ndarray:
    """Standard error of a statistic from its values with each of G >= 2 groups left out, (G,) or (G, k).

    sqrt((G - 1)/G Σ (θ_g - mean θ)²) (Tukey 1958; Kott 2001 for groups). Conservative in expectation (Efron and Stein
    1981), by a factor of about 1.5 if the first-order term of a U-statistic vanishes, as for distances at zero, and by
    more for discontinuous statistics. It is the error about the expectation of the statistic at this n and does not
    include its bias.
    """
    left_out = np.asarray(left_out, np.float64)
    g = len(left_out)
    return np.sqrt((g - 1) / g * np.square(left_out - left_out.mean(axis=0)).sum(axis=0))
