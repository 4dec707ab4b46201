"""Model confidence sets: the level under ugly noise, the power, exact p-values of small cases, and invariants."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deepgen_bench.report.data.confidence_set import LEVEL, confidence_set, equality_p_value, location_p_value


def kept(values, test_variances=None):
    return set(np.flatnonzero(confidence_set(values, test_variances) > LEVEL).tolist())


def normal(rng, k, seeds):
    return rng.standard_normal((k, seeds))


def heavy(rng, k, seeds):
    return rng.standard_t(3, (k, seeds))


def skewed(rng, k, seeds):
    return np.exp(rng.standard_normal((k, seeds)))


def skewed_unequal(rng, k, seeds):
    """Lognormal values with equal medians, the spread of whose logarithms differs by a factor of four."""
    return np.exp(unequal(rng, k, seeds) / 4)


def unequal(rng, k, seeds):
    return np.geomspace(1, 4, k)[:, None] * rng.standard_normal((k, seeds))


def collapsing(rng, k, seeds):
    return rng.standard_normal((k, seeds)) + 20 * (rng.random((k, seeds)) < 0.15)


def one_collapses(rng, k, seeds):
    """One model collapses in a fifth of its replicates and is better otherwise: as often better as worse."""
    values = rng.standard_normal((k, seeds))
    values[0] += np.where(rng.random(seeds) < 0.2, 20, -np.sqrt(2) * stats.norm.ppf(0.625))
    return values


NOISES = [normal, heavy, skewed, skewed_unequal, unequal, collapsing, one_collapses]
TABLES = 400


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("k", "seeds"), [(12, 3), (2, 5), (12, 5), (5, 10)])
def test_equal_models_are_told_apart_in_at_most_5_percent_of_columns(noise, k, seeds):
    rng = np.random.default_rng(0)
    # a model is removed if and only if the first test rejects
    rejected = np.mean([equality_p_value(noise(rng, k, seeds)) <= LEVEL for _ in range(TABLES)])
    # up to two standard errors of a share of 5 %
    assert rejected <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / TABLES)
    if noise is normal and k > 2:
        assert rejected >= 0.025 - 2 * np.sqrt(0.025 * 0.975 / TABLES)


@pytest.mark.parametrize(("seeds", "difference", "at_least"), [(5, 3, 0.5), (5, 4, 0.85), (10, 2, 0.65)])
def test_a_better_model_is_alone(seeds, difference, at_least):
    rng = np.random.default_rng(1)
    alone = 0
    for _ in range(60):
        values = normal(rng, 12, seeds)
        values[0] -= difference
        alone += kept(values) == {0}
    assert alone / 60 >= at_least


def test_a_collapsed_replicate_hides_neither_the_best_model_nor_the_others():
    rng = np.random.default_rng(2)
    values = 0.01 * rng.standard_normal((12, 5)) + np.arange(12)[:, None]
    values[5, 2] = 1e6
    assert kept(values) == {0}
    values = 0.01 * rng.standard_normal((12, 5)) + np.array([0.0, *[1.0] * 11])[:, None]
    values[0, 2] = 1e6  # four of five replicates are better than all others
    assert 0 in kept(values)


@pytest.mark.parametrize(("k", "seeds"), [(3, 4), (12, 3), (2, 4), (2, 5), (12, 5), (12, 10)])
def test_a_difference_that_never_varies_is_found(k, seeds):
    values = np.full((k, seeds), -25.0)
    values[0] = 0  # none of 25 modes, in every replicate
    assert kept(values) == set(range(1, k))
    values[1:] = 0
    values[0] = -25
    assert kept(values) == {0}


def test_two_models_of_three_seeds_cannot_be_told_apart():
    assert kept([np.array([1.0, 1.1, 1.2]), np.array([9.0, 9.1, 9.2])]) == {0, 1}


def test_the_p_of_two_models_is_that_of_all_permutations():
    rng = np.random.default_rng(3)
    for n, m in ((3, 3), (3, 4), (4, 2)):
        a, b = rng.standard_normal(n), rng.standard_normal(m) + 1
        pooled = np.concatenate([a, b])
        orders = np.array(list(permutations(range(n + m))))
        differences = np.abs(stats.rankdata(pooled)[orders][:, :n].sum(1) - n * (n + m + 1) / 2)
        exact = np.mean(differences >= differences[0])
        if n == m:  # a function of the rank sum alone where both models have as many replicates
            assert equality_p_value([a, b]) == pytest.approx(exact)
        assert 0 < equality_p_value([a, b]) <= 1


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(-20, 20), min_size=2, max_size=6), min_size=2, max_size=5),
    st.randoms(use_true_random=False),
)
def test_only_the_order_of_the_values_counts(values, random):
    arrays = [np.array(x, float) for x in values]
    p = confidence_set(arrays)
    assert (p > 0).all() and (p <= 1).all() and p.max() > LEVEL
    assert confidence_set([np.exp(x / 5) for x in arrays]) == pytest.approx(p)
    shuffled = [np.array(random.sample(x.tolist(), len(x))) for x in arrays]
    if len(arrays) == 2:  # all permutations: nothing is drawn
        assert confidence_set(shuffled) == pytest.approx(p)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("test_sd", [0.3, 1, 10])
def test_a_shared_test_set_tells_no_models_apart(seeds, test_sd):
    rng = np.random.default_rng(4)
    k, rejected, ignored = 8, 0, 0
    loadings = rng.standard_normal((k, k))
    covariance = test_sd**2 * loadings @ loadings.T / k
    variances = np.diag(covariance)[:, None] + np.diag(covariance) - 2 * covariance
    for _ in range(200):
        values = rng.standard_normal((k, seeds)) + test_sd * (loadings @ rng.standard_normal(k))[:, None] / np.sqrt(k)
        rejected += len(kept(values, variances)) < k
        ignored += equality_p_value(values) <= LEVEL
    assert rejected / 200 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
    assert ignored > 2 * rejected or test_sd == 0.3


def test_models_without_spread_are_told_apart_by_the_test_set_alone():
    values = [np.full(5, 1.0), np.full(5, 2.0)]
    variances = np.array([[0, 0.25], [0.25, 0]])
    assert location_p_value(values, variances) == pytest.approx(2 * stats.norm.sf(2))
    assert kept(values, variances / 9) == {0} and kept(values, variances * 9) == {0, 1}
    same = np.zeros((3, 3))
    same[2, :2] = same[:2, 2] = 0.01  # the first two have the same errors on every example
    assert kept([np.full(5, 1.0), np.full(5, 1.001), np.full(5, 1.0005)], same) == {0, 2}
