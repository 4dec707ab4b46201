"""Student's t over seeds: an interval for a mean, a test of a difference, and Holm's correction for many tests."""

from collections.abc import Sequence
from math import sqrt

import numpy as np

LEVEL = 0.05


def half_width(sd: float, n: int) -> float:
    """Half the 95 % t interval of the mean of `n` values with standard deviation `sd` (n - 1); NaN for one value."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - LEVEL / 2)) * sd / sqrt(n) if n > 1 else float("nan")


def t_test(difference: float, variances: Sequence[float], degrees: Sequence[float]) -> float:
    """Two-sided p of a difference whose variance is a sum of independent estimates.

    With `variances` s²/n of two samples and `degrees` n - 1, this is Welch's test (Welch 1947). The degrees of freedom
    of the sum are Satterthwaite's (1946): (Σ v)² / Σ (v² / f). A variance of two values is too uncertain for that; with
    one among them the sum gets one degree of freedom, which keeps the level (Hsu 1938). The variances must not all
    be 0. NaN if one is.
    """
    from scipy.special import stdtr

    v, f = np.asarray(variances, float), np.asarray(degrees, float)
    total = v.sum()
    degrees_of_sum = 1.0 if (f[v > 0] == 1).any() else 1 / np.sum((v / total) ** 2 / f)
    return float(2 * stdtr(degrees_of_sum, -abs(difference) / sqrt(total)))


def holm(p: Sequence[float]) -> np.ndarray:
    """Adjusted p-values of Holm's step-down procedure (Holm 1979), in the order given.

    If tests with an adjusted p of at most α are rejected, the probability of any false rejection is at most α, however
    the tests depend on each other.
    """
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return adjusted
