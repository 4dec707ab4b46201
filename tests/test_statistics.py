"""Intervals, tests of a difference and Holm's correction, against scipy, published numbers and exact enumeration."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from deepgen_bench.report.data.statistics import half_width, holm, t_test


def test_the_interval_is_scipys_and_covers_the_mean():
    rng = np.random.default_rng(0)
    for n in (2, 3, 10):
        x = rng.normal(3, 2, (4000, n))
        half = np.array([half_width(sd, n) for sd in x.std(1, ddof=1)])
        low, high = stats.t.interval(0.95, n - 1, x[0].mean(), stats.sem(x[0]))
        assert half[0] == pytest.approx((high - low) / 2) and x[0].mean() - half[0] == pytest.approx(low)
        assert abs(np.mean(abs(x.mean(1) - 3) <= half) - 0.95) < 3.5 * math.sqrt(0.95 * 0.05 / 4000)
    assert math.isnan(half_width(math.nan, 1)) and half_width(0.0, 5) == 0


@given(
    a=arrays(float, st.integers(3, 8), elements=st.floats(-9, 9), unique=True),
    b=arrays(float, st.integers(3, 8), elements=st.floats(-9, 9), unique=True),
)
def test_two_components_are_welchs_test(a, b):
    variances = [a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)]
    if min(variances) < 1e-12:
        return
    p = t_test(a.mean() - b.mean(), variances, [len(a) - 1, len(b) - 1])
    assert p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, rel=1e-6, abs=1e-12)


def test_two_values_give_one_degree_of_freedom():
    for variances, degrees in (([0.1, 0.2], [1, 1]), ([0.1, 0.2, 0.3], [1, 9, 999])):
        assert t_test(3.0, variances, degrees) == pytest.approx(2 * stats.t.sf(3 / math.sqrt(sum(variances)), 1))
    assert t_test(3.0, [0.0, 0.2, 0.0], [1, 9, 999]) == pytest.approx(2 * stats.t.sf(3 / math.sqrt(0.2), 9))


def test_a_component_without_variance_takes_no_part():
    a = np.array([1.0, 2.0, 4.0])
    expected = stats.ttest_1samp(a, 0.5).pvalue
    assert t_test(a.mean() - 0.5, [a.var(ddof=1) / 3, 0.0, 0.0], [2, 4, 999]) == pytest.approx(expected)
    assert math.isnan(t_test(1.0, [0.1, math.nan], [4, 9]))


def test_holm_on_published_examples():
    # Wikipedia, "Holm-Bonferroni method", example: at 5 % the first and the last are rejected, the others are not
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # Benjamini and Hochberg (1995), section 4.1: control of the family-wise error rejects the first three of 15
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719]
    p += [0.6528, 0.7590, 1.0000]
    adjusted = holm(p)
    assert (adjusted <= 0.05).sum() == 3
    assert adjusted[:4] == pytest.approx([0.0015, 0.0056, 0.0247, 0.114])
    assert holm([]).shape == (0,)


@given(p=arrays(float, st.integers(1, 12), elements=st.floats(0, 1)))
def test_holm_rejects_step_by_step(p):
    adjusted = holm(p)
    assert (adjusted >= p).all() and (adjusted <= np.minimum(1, len(p) * p) + 1e-12).all()
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for step, i in enumerate(np.argsort(p, kind="stable")):
            if p[i] * (len(p) - step) > level:
                break
            rejected.add(i)
        assert set(np.flatnonzero(adjusted <= level)) == rejected
