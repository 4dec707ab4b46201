"""How many seeds would tell two models apart."""

from math import ceil, isfinite, nan, pi

from deepgen_bench.report.data.confidence_set import LEVEL
from deepgen_bench.report.data.groups import Spread

POWER = 0.8
"""Probability with which the difference is to be found."""

FEWEST = 4
"""Seeds of two models below which no permutation of their values is rare enough to tell them apart."""


def seeds_to_tell(a: Spread, b: Spread, test_variance: float = 0.0) -> float:
    """Seeds of each model at which a difference of this size is found with probability `POWER`.

    For normal values, whose rank test needs π/3 times the seeds of a t-test (Lehmann 1975):
    n = 1 + 2 π/3 s² / (Δ²/z² - v), with the difference Δ of the means, the mean variance s² over seeds, the variance v
    of the difference due to the shared test set, and z the sum of the normal quantiles of level and power; one more
    makes up for the coarse p-values of few seeds. ∞ where v is so large that no number of seeds is enough, NaN for
    equal means or unknown spreads.
    """
    from scipy.special import ndtri

    variance = (a.sd**2 + b.sd**2) / 2
    if a.mean == b.mean or not isfinite(variance):
        return nan
    z = float(ndtri(1 - LEVEL / 2) + ndtri(POWER))
    room = (a.mean - b.mean) ** 2 / z**2 - test_variance
    return max(FEWEST, 1 + ceil(2 * pi / 3 * variance / room)) if room > 0 else float("inf")
