"""Fréchet distance against closed forms and two other implementations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgen_bench.errors import UserError
from deepgen_bench.metrics.frechet import frechet_distance, frechet_distance_from_moments, moments


def exact_sample(mean: np.ndarray, covariance: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """A sample whose own mean and covariance are exactly the given ones."""
    z = np.random.default_rng(seed).standard_normal((n, len(mean)))
    z -= z.mean(axis=0)
    z = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / (n - 1))).T
    return z @ np.linalg.cholesky(covariance).T + mean


def test_diagonal_gaussians_by_hand() -> None:
    """9 + (1-2)^2 + (2-2)^2 + (3-1)^2 = 14."""
    means = np.zeros(3), np.array([1.0, 2.0, 2.0])
    covariances = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    assert frechet_distance_from_moments(means[0], covariances[0], means[1], covariances[1]) == pytest.approx(14, 1e-12)
    samples = [exact_sample(m, c, 50, seed) for seed, (m, c) in enumerate(zip(means, covariances, strict=True))]
    assert frechet_distance(*samples) == pytest.approx(14, rel=1e-12)


def test_moments_are_the_unbiased_ones_in_float64() -> None:
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    mean, covariance = moments(x)
    assert mean.dtype == covariance.dtype == np.float64
    np.testing.assert_allclose(mean, x.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-12)


@pytest.mark.parametrize("n, d", [(200, 1), (200, 5), (20, 60), (7, 6), (6, 6)])
def test_agrees_with_torch_fidelity_and_pot(n: int, d: int) -> None:
    import torch
    from ot.gaussian import bures_wasserstein_distance
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rng = np.random.default_rng(d)
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    y = rng.standard_normal((n, d)) * 2 + 1
    value = frechet_distance(x, y)
    stored = frechet_distance_from_moments(*moments(x), *moments(y))
    assert stored == pytest.approx(value, rel=1e-6)
    if n > d:
        (mx, cx), (my, cy) = moments(x), moments(y)
        assert float(bures_wasserstein_distance(mx, my, cx, cy)) ** 2 == pytest.approx(value, rel=1e-8)
    if d > 1:  # torch-fidelity takes no single coordinate
        statistics = [fid_features_to_statistics(torch.from_numpy(a)) for a in (x, y)]
        assert fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"] == pytest.approx(
            value, rel=1e-5
        )


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 40), d=st.integers(1, 30), seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 10))
def test_invariants(n: int, d: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x, y, shift = rng.standard_normal((n, d)), rng.standard_normal((n + 3, d)) * 2, rng.standard_normal(d)
    value = frechet_distance(x, y)
    assert value >= 0
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-8)
    assert frechet_distance(x[rng.permutation(n)], y) == pytest.approx(value, rel=1e-8)
    assert frechet_distance(scale * x, scale * y) == pytest.approx(scale**2 * value, rel=1e-7)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(value, rel=1e-6)
    trace = x.var(axis=0, ddof=1).sum()
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12 * trace)
    assert frechet_distance(x, x + shift) == pytest.approx(shift @ shift, rel=1e-9)
    mean = x.mean(axis=0)
    assert frechet_distance(x, mean + scale * (x - mean)) == pytest.approx((scale - 1) ** 2 * trace, abs=1e-10 * trace)


def test_singular_and_nearly_singular_covariances() -> None:
    """Constant coordinates and copies of coordinates, as image borders give, change nothing."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 4)), rng.standard_normal((100, 4)) @ rng.standard_normal((4, 4))
    value = frechet_distance(x, y)
    padded = [np.hstack([a, np.full((100, 6), 3.0)]) for a in (x, y)]
    assert frechet_distance(*padded) == pytest.approx(value, rel=1e-9)
    assert frechet_distance_from_moments(*moments(padded[0]), *moments(padded[1])) == pytest.approx(value, rel=1e-9)
    assert frechet_distance(*(np.hstack([a, a]) for a in (x, y))) == pytest.approx(2 * value, rel=1e-7)
    noisy = [np.hstack([a, a + 1e-9 * rng.standard_normal(a.shape)]) for a in (x, y)]
    assert frechet_distance(*noisy) == pytest.approx(2 * value, rel=1e-6)


def test_constant_features() -> None:
    x = np.random.default_rng(0).standard_normal((50, 3))
    point = np.ones((20, 3))
    assert frechet_distance(point, point + 2) == pytest.approx(12)
    expected = ((x.mean(axis=0) - 1) ** 2).sum() + x.var(axis=0, ddof=1).sum()
    assert frechet_distance(x, point) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "real, generated, message",
    [
        (np.zeros((5, 2)), np.zeros((5, 3)), "generated: 3 coordinates, but real has 2"),
        (np.zeros((5, 2)), np.zeros((1, 2)), "generated: 1 examples"),
        (np.zeros(5), np.zeros((5, 2)), "real: shape"),
        (np.zeros((5, 2)), np.array([[0.0, np.nan], [0.0, 1.0], [np.inf, 0.0]]), "generated: 2 of 3 examples"),
        (np.array([["a"]]), np.zeros((5, 1)), "real: dtype"),
    ],
)
def test_wrong_input_is_named(real: np.ndarray, generated: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        frechet_distance(real, generated)


@pytest.mark.parametrize(
    "covariance, message",
    [
        (np.diag([1.0, -1.0]), "covariance2: not positive"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "covariance2: not symmetric"),
        (np.eye(3), "covariance2: shape"),
    ],
)
def test_stored_moments_are_checked(covariance: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        frechet_distance_from_moments(np.zeros(2), np.eye(2), np.zeros(2), covariance)
