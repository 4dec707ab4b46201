"""Closed forms for the pieces of likelihood evaluation."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deepgen_bench.metrics.likelihood.weights import (
    active_units,
    effective_sample_size,
    iw_elbo_curve,
    kl_diagonal_gaussian,
    log_mean_exp,
)
from deepgen_bench.runtime.errors import UserError


def gaussian_log_prob(x: np.ndarray, mean: np.ndarray | float, variance: np.ndarray | float) -> np.ndarray:
    """log N(x; mean, diag(variance)) summed over the last axis; the arguments broadcast."""
    return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(axis=-1)


def bounds_by_k(log_weights: np.ndarray, ks: Sequence[int]) -> dict[int, np.ndarray]:
    return {k: values for k, (values, _) in iw_elbo_curve(log_weights, ks).items()}


def test_log_mean_exp() -> None:
    assert log_mean_exp(np.log([1.0, 2.0, 6.0])) == pytest.approx(np.log(3))
    far = np.array([-1e5, -1e5 + np.log(3)], dtype=np.float32)
    assert log_mean_exp(far) == pytest.approx(float(far[0]) + np.log((1 + np.exp(float(far[1]) - float(far[0]))) / 2))
    assert log_mean_exp(np.array([0.0, -np.inf])) == pytest.approx(-np.log(2))
    assert log_mean_exp(np.full(3, -np.inf)) == -np.inf
    np.testing.assert_allclose(log_mean_exp(np.zeros((2, 3, 4)), axis=1), np.zeros((2, 4)))
    for bad in (np.array([0.0, np.nan]), np.array([np.inf]), np.zeros((3, 0))):
        with pytest.raises(UserError, match="a: "):
            log_mean_exp(bad)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.01, 50), offset=st.floats(-1e4, 1e4))
def test_nested_bounds_rise_for_every_example(seed: int, spread: float, offset: float) -> None:
    log_weights = np.random.default_rng(seed).standard_normal((5, 120)) * spread + offset
    bounds = bounds_by_k(log_weights, [1, 2, 6, 24, 120])
    np.testing.assert_allclose(bounds[1], log_weights.mean(axis=1))
    np.testing.assert_allclose(bounds[120], log_mean_exp(log_weights, axis=1))
    curve = np.stack(list(bounds.values()))
    assert (np.diff(curve, axis=0) >= -1e-11 * np.abs(curve).max()).all()


@pytest.mark.parametrize("ks", [[], [0, 1], [2, 1], [1, 1], [1, 7], [24]])
def test_invalid_ks(ks: list[int]) -> None:
    with pytest.raises(UserError, match="divisors of K_max = 12"):
        bounds_by_k(np.zeros((3, 12)), ks)


def test_ks_may_come_from_numpy() -> None:
    log_weights = np.random.default_rng(0).standard_normal((3, 12))
    found = bounds_by_k(log_weights, np.array([1, 4, 12]))  # type: ignore[arg-type]
    assert list(found) == [1, 4, 12] and {type(k) for k in found} == {int}
    with pytest.raises(UserError, match="ks: .*expected integers"):
        bounds_by_k(log_weights, [1.0, 12.0])  # type: ignore[list-item]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named(bad: float) -> None:
    for name in ("mean", "log_variance"):
        arrays = {each: np.ones((2, 3)) for each in ("mean", "log_variance")}
        arrays[name][1, 2] = bad
        with pytest.raises(UserError, match=f"^{name}: 1 of 6 numbers are NaN or infinite"):
            kl_diagonal_gaussian(**arrays)


def test_effective_sample_size() -> None:
    rows = np.array([[0.0] * 4, [0.0] + [-np.inf] * 3, [-1e5, -1e5, -np.inf, -np.inf], [-np.inf] * 4])
    np.testing.assert_allclose(effective_sample_size(rows), [4, 1, 2, 0])
    weights = np.random.default_rng(0).gamma(2.0, size=(3, 50))
    expected = weights.sum(1) ** 2 / (weights**2).sum(1)
    np.testing.assert_allclose(effective_sample_size(np.log(weights) - 700), expected)
    with pytest.raises(UserError, match="log_weights: 1 of 2 examples hold NaN"):
        effective_sample_size(np.array([[0.0, np.nan], [0.0, 1.0]]))


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_monte_carlo_errors_cover_the_expected_bound(spread: float) -> None:
    """500 replications of 30 examples: two errors of the mean hold its expectation in about 95 % of them."""
    log_weights = np.random.default_rng(0).standard_normal((500 * 30, 120)) * spread
    for values, errors in iw_elbo_curve(log_weights, [1, 10, 40, 120]).values():
        means = values.reshape(500, 30).mean(axis=1)
        error = np.sqrt((errors**2).reshape(500, 30).sum(axis=1)) / 30
        assert error.mean() == pytest.approx(means.std(), rel=0.1)
        assert 0.92 < (np.abs(means - values.mean()) <= 2 * error).mean() < 0.98


def test_errors_of_weights_without_spread() -> None:
    for values, errors in iw_elbo_curve(np.full((3, 12), -5.0), [1, 4, 12]).values():
        np.testing.assert_allclose(values, -5)
        np.testing.assert_allclose(errors, 0, atol=1e-7)
    assert np.isnan(iw_elbo_curve(np.zeros((3, 1)), [1])[1][1]).all()
    values, errors = iw_elbo_curve(np.array([[0.0, -np.inf]]), [1, 2])[2]
    assert values == pytest.approx(-np.log(2)) and errors == pytest.approx(1)


def test_linear_gaussian_model() -> None:
    """x = w z + noise: with the exact posterior every K gives log p(x); with a wider one the bounds rise towards it."""
    rng = np.random.default_rng(0)
    w, variance, n, k = np.array([1.5, -0.5, 0.3]), 0.2, 50, 4000
    x = rng.standard_normal((n, 1)) * w + np.sqrt(variance) * rng.standard_normal((n, 3))
    exact = stats.multivariate_normal(np.zeros(3), np.outer(w, w) + variance * np.eye(3)).logpdf(x)
    precision = 1 + w @ w / variance
    mean = (x @ w / variance / precision)[:, None]

    def bounds(inflation: float) -> dict[int, np.ndarray]:
        q_variance = inflation**2 / precision
        z = mean + np.sqrt(q_variance) * rng.standard_normal((n, k))
        joint = gaussian_log_prob(x[:, None], z[..., None] * w, variance) + gaussian_log_prob(z[..., None], 0, 1)
        return bounds_by_k(joint - gaussian_log_prob(z[..., None], mean[..., None], q_variance), [1, 10, k])

    for value in bounds(1.0).values():
        np.testing.assert_allclose(value, exact, rtol=0, atol=1e-10)
    wider = bounds(1.3)
    # at K = 1: minus KL of the two Gaussians
    gap = np.log(1.3) + (1 - 1.3**2) / 2
    np.testing.assert_allclose((wider[1] - exact).mean(), gap, atol=0.01)
    np.testing.assert_allclose(wider[k], exact, rtol=0, atol=0.05)


def test_kl_to_the_standard_normal() -> None:
    assert kl_diagonal_gaussian(np.zeros((2, 3)), np.zeros((2, 3))).tolist() == [0, 0]
    mean, log_variance = np.array([1.0, -2.0]), np.log([0.5, 3.0])
    expected = 0.5 * (0.5 + 3 + 1 + 4 - 2 - np.log(1.5))
    assert kl_diagonal_gaussian(mean, log_variance) == pytest.approx(expected)
    draws = mean + np.exp(log_variance / 2) * np.random.default_rng(0).standard_normal((200_000, 2))
    difference = gaussian_log_prob(draws, mean, np.exp(log_variance)) - gaussian_log_prob(draws, 0, 1)
    assert difference.mean() == pytest.approx(expected, abs=4 * difference.std() / np.sqrt(len(draws)))


def test_active_units() -> None:
    means = np.random.default_rng(0).standard_normal((5000, 4)) * np.array([1.0, 0.2, 0.05, 0.0]) + 7
    assert active_units(means) == 2
    assert active_units(means, threshold=1e-3) == 3
    with pytest.raises(UserError, match="posterior_means"):
        active_units(means[:1])
