"""Values and errors of estimates for tests."""

import numpy as np

from deepgen_bench.metrics.estimate import Estimate
from deepgen_bench.metrics.samples.optimal_transport import SlicedTransport, Transport


def pair(estimate: Estimate | Transport | SlicedTransport) -> tuple[float, float]:
    """The value and its error, which must be there."""
    assert estimate.std_error is not None
    return estimate.value, estimate.std_error


def values_and_errors(estimates: list) -> tuple[np.ndarray, np.ndarray]:
    values, errors = np.array([pair(estimate) for estimate in estimates]).T
    return values, errors


def check_coverage(estimates: list, least: float, widest: float, most: float = 1.0) -> None:
    """±2 errors cover the mean of replications in a share from `least` to `most`, and are at most `widest` too wide."""
    values, errors = values_and_errors(estimates)
    coverage = np.mean(np.abs(values - values.mean()) <= 2 * errors)
    ratio = np.sqrt(np.square(errors).mean()) / values.std(ddof=1)
    assert least <= coverage <= most and 0.85 < ratio < widest, (coverage, ratio)
