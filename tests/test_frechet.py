"""Fréchet distance against closed forms, two other implementations and replications."""

import warnings

import numpy as np
import pytest
from estimates import pair
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgen_bench.metrics.arrays import TooFewExamples
from deepgen_bench.metrics.estimate import Estimate, error_of_means
from deepgen_bench.metrics.features import frechet
from deepgen_bench.metrics.features.frechet import (
    frechet_curve,
    frechet_distance,
    frechet_distance_from_moments,
    frechet_distance_infinity,
    moments,
)
from deepgen_bench.runtime.errors import UserError


def distance(real: np.ndarray, generated: np.ndarray) -> float:
    return frechet_distance(real, generated).value


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
    assert distance(*samples) == pytest.approx(14, rel=1e-12)


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
    value = distance(x, y)
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
    value = distance(x, y)
    assert value >= 0
    assert distance(y, x) == pytest.approx(value, rel=1e-8)
    assert distance(x[rng.permutation(n)], y) == pytest.approx(value, rel=1e-8)
    assert distance(scale * x, scale * y) == pytest.approx(scale**2 * value, rel=1e-7)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    assert distance(x @ rotation, y @ rotation) == pytest.approx(value, rel=1e-6)
    trace = x.var(axis=0, ddof=1).sum()
    assert distance(x, x) == pytest.approx(0, abs=1e-12 * trace)
    assert distance(x, x + shift) == pytest.approx(shift @ shift, rel=1e-9)
    mean = x.mean(axis=0)
    assert distance(x, mean + scale * (x - mean)) == pytest.approx((scale - 1) ** 2 * trace, abs=1e-10 * trace)


def test_singular_and_nearly_singular_covariances() -> None:
    """Constant coordinates and copies of coordinates, as image borders give, change nothing."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 4)), rng.standard_normal((100, 4)) @ rng.standard_normal((4, 4))
    value = distance(x, y)
    padded = [np.hstack([a, np.full((100, 6), 3.0)]) for a in (x, y)]
    assert distance(*padded) == pytest.approx(value, rel=1e-9)
    assert frechet_distance_from_moments(*moments(padded[0]), *moments(padded[1])) == pytest.approx(value, rel=1e-9)
    assert distance(*(np.hstack([a, a]) for a in (x, y))) == pytest.approx(2 * value, rel=1e-7)
    noisy = [np.hstack([a, a + 1e-9 * rng.standard_normal(a.shape)]) for a in (x, y)]
    assert distance(*noisy) == pytest.approx(2 * value, rel=1e-6)


def test_constant_features() -> None:
    x = np.random.default_rng(0).standard_normal((50, 3))
    point = np.ones((20, 3))
    assert distance(point, point + 2) == pytest.approx(12)
    expected = ((x.mean(axis=0) - 1) ** 2).sum() + x.var(axis=0, ddof=1).sum()
    assert distance(x, point) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "real, generated, message",
    [
        (np.zeros((5, 2)), np.zeros((5, 3)), "generated: 3 coordinates, but real has 2"),
        (np.zeros((5, 2)), np.zeros((1, 2)), "generated: 1 examples"),
        (np.zeros(5), np.zeros((5, 2)), "real: shape"),
        (np.zeros((5, 2)), np.array([[0.0, np.nan], [0.0, 1.0], [np.inf, 0.0]]), "generated: 2 of 3 examples"),
        (np.array([["a"]]), np.zeros((5, 1)), "real: dtype"),
        (np.zeros((5, 1)), np.array([[0.0], [-2e150], [2e150]]), "generated: 2 of 3 examples hold values beyond 1e150"),
    ],
)
def test_wrong_input_is_named(real: np.ndarray, generated: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        frechet_distance(real, generated)
    with pytest.raises(UserError, match=message):
        frechet_curve(real, generated)


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


# errors, sizes and the extrapolation


def weighted_distance(x: np.ndarray, y: np.ndarray, of_x: np.ndarray, of_y: np.ndarray) -> float:
    """The distance between the Gaussians with moments weighted by `of_x` (n,) and `of_y` (m,), whose sums are 1."""
    factors, means = [], []
    for points, weights in ((x, of_x), (y, of_y)):
        means.append(weights @ points)
        scale = len(points) / (len(points) - 1)
        factors.append(np.sqrt(scale * weights)[:, None] * (points - means[-1]))
    cross = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    return float(np.square(means[0] - means[1]).sum() + sum((f**2).sum() for f in factors) - 2 * cross)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 45, 5), (45, 60, 1), (30, 20, 50), (60, 20, 30), (20, 60, 30)])
def test_influences_are_derivatives_in_the_weights(n: int, m: int, d: int) -> None:
    """Also with constant and equal coordinates, and where one or both covariances are singular."""
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((n, d)) + 50, 1.5 * rng.standard_normal((m, d)) + 50
    x, y = (np.hstack([sample, np.full((len(sample), 1), 3.0), sample[:, :1]]) for sample in (x, y))
    found = frechet_distance(x, y)
    even, step = (np.full(n, 1 / n), np.full(m, 1 / m)), 1e-5

    def derivative(i: int) -> float:
        ends = [weighted_distance(x, y, (1 - e) * even[0] + e * np.eye(n)[i], even[1]) for e in (step, -step)]
        return (ends[0] - ends[1]) / (2 * step)

    expected = np.array([derivative(i) for i in range(n)])
    assert found.influence is not None and found.influence.mean() == pytest.approx(0, abs=1e-9 * found.value)
    np.testing.assert_allclose(found.influence, expected, atol=2e-4 * np.abs(expected).max())
    other = frechet_distance(y, x)
    assert other.influence is not None and found.std_error is not None
    assert found.std_error == pytest.approx(error_of_means(found.influence, other.influence), rel=1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(200, 200, 5), (203, 151, 5), (41, 60, 1), (90, 80, 30), (25, 40, 60)])
def test_curve_by_definition(n: int, m: int, d: int) -> None:
    """Sizes are means over disjoint subsets, and the extrapolation is the intercept of a line through them."""
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((n, d)) + 50, 1.5 * rng.standard_normal((m, d)) + 50
    curve = frechet_curve(x, y)
    assert [(size.n, size.m) for size in curve.sizes] == [(n, m), (n // 2, m // 2), (n // 4, m // 4)]
    assert curve.sizes[0].estimate == frechet_distance(x, y)
    abscissae, values, influences = [], [], []
    for parts, size in zip((1, 2, 4), curve.sizes, strict=True):
        subsets = [(x[s::parts], y[s::parts]) for s in range(parts)]
        found = [frechet_distance(a, b) for a, b in subsets]
        assert size.estimate.value == pytest.approx(np.mean([e.value for e in found]), rel=1e-12)
        own = np.empty(n)
        for s, estimate in enumerate(found):
            assert estimate.influence is not None
            own[s::parts] = estimate.influence * n / (parts * len(subsets[s][0]))
        np.testing.assert_allclose(size.estimate.influence, own)
        if min(n, m) // parts > d:
            abscissae.append(np.mean([1 / len(a) + 1 / len(b) for a, b in subsets]) / 2)
            values.append(size.estimate.value)
            influences.append(own)
    if min(n, m) // 2 > d:
        assert isinstance(curve.infinity, Estimate)
        assert curve.infinity.value == pytest.approx(np.polyfit(abscissae, values, 1)[1], rel=1e-9)
        expected = np.polyfit(abscissae, np.stack(influences), 1)[1]
        np.testing.assert_allclose(curve.infinity.influence, expected, atol=1e-9 * np.abs(expected).max())
        assert frechet_distance_infinity(x, y) == curve.infinity
    else:
        assert str(curve.infinity) == f"{min(n, m)} examples, a line in 1/n needs {2 * d + 2} in {d} dimensions"
        with pytest.raises(TooFewExamples, match="a line in 1/n needs"):
            frechet_distance_infinity(x, y)


def test_few_examples() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 20, 2))
    assert frechet_distance(x[:2], y) == Estimate(distance(x[:2], y), None)
    assert frechet_distance(x[:3], y).std_error is not None
    # two on a line: the smallest that a curve has, and without an error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line = frechet_curve(x[:2, :1], y[:2, :1])
    assert [size.estimate.std_error for size in line.sizes] == [None] and "a line in 1/n" in str(line.infinity)
    short = frechet_curve(x[:19], y)
    assert len(short.sizes) == 1 and "needs 20 in 2 dimensions" in str(short.infinity)
    assert isinstance(frechet_curve(x, y).infinity, Estimate)


def test_an_outlier_is_its_own_error() -> None:
    """Of 400 examples one is 1e9 away: its square over n is the distance, and the error is as large."""
    x, y = np.random.default_rng(0).standard_normal((2, 400, 3))
    y[7] = 1e9
    found = pair(frechet_distance(x, y))
    assert found == pytest.approx((3e18 / 400, 1.5 * 3e18 / 400), rel=0.01)
    assert isinstance(frechet_curve(np.hstack([x, x]), np.hstack([y, y])).infinity, Estimate)


def test_errors_of_constant_samples_and_translations() -> None:
    """Nothing varies between copies of one point; of a translation only the distance of the means does."""
    rng = np.random.default_rng(0)
    x = exact_sample(np.zeros(3), np.eye(3), 60)
    assert pair(frechet_distance(np.ones((30, 3)), np.ones((40, 3)) + 2)) == pytest.approx((12, 0), abs=1e-12)
    for found in (frechet_distance(x, x + 1), frechet_distance_infinity(x, x + 1)):
        assert found.influence is not None
        assert found.value == pytest.approx(3, abs=1e-10)
    plug_in = frechet_distance(x, x + 1)
    np.testing.assert_allclose(plug_in.influence, -2 * x.sum(axis=1), atol=1e-9)
    assert plug_in.std_error == pytest.approx(2 * np.sqrt(3 * 2 / 60), rel=0.05)
    padded = np.hstack([x, np.full((60, 5), 0.1), x[:, :1]]) + rng.standard_normal(1)
    assert np.isfinite(pair(frechet_distance_infinity(padded, 2 * padded))).all()


@pytest.mark.parametrize(("n", "d", "equal"), [(200, 2, True), (200, 2, False), (320, 16, True), (320, 16, False)])
def test_errors_are_honest_and_infinity_is_unbiased(n: int, d: int, equal: bool) -> None:
    """±2 errors cover at least 92 %, the extrapolation's about the truth, its bias being below a tenth.

    For equal distributions the first-order term vanishes, and errors are conservative.
    """
    rng = np.random.default_rng(d)
    scale, shift = (1.0, 0.0) if equal else (1.2, 0.5)
    truth = d * (scale - 1) ** 2 + shift**2
    plug_in, infinity = [], []
    for _ in range(250):
        x, y = rng.standard_normal((n, d)), scale * rng.standard_normal((n, d)) + shift * np.eye(1, d)
        curve = frechet_curve(x, y)
        assert isinstance(curve.infinity, Estimate)
        plug_in.append(pair(curve.sizes[0].estimate))
        infinity.append(pair(curve.infinity))
    for found, centre in ((np.array(plug_in), None), (np.array(infinity), truth)):
        value, error = found.T
        coverage = np.mean(np.abs(value - (value.mean() if centre is None else centre)) <= 2 * error)
        ratio = np.sqrt(np.square(error).mean()) / value.std(ddof=1)
        assert coverage >= 0.92 and 0.95 < ratio < (1.65 if equal else 1.4), (coverage, ratio)
    bias, sd = np.mean(infinity, axis=0)[0] - truth, np.std(infinity, axis=0)[0]
    assert abs(bias) < 0.1 * (np.mean(plug_in, axis=0)[0] - truth) + 3 * sd / np.sqrt(250)


@pytest.mark.parametrize(("n", "d"), [(1000, 64), (600, 256)])
def test_extrapolation_in_many_dimensions(n: int, d: int) -> None:
    """Spectrum 1/i, as features have: the plug-in is mostly bias, the extrapolation is within its error."""
    rng = np.random.default_rng(d)
    sd = 1 / np.sqrt(np.arange(1, d + 1))
    truth = 0.04 + np.square(0.1 * sd).sum()
    x, y = sd * rng.standard_normal((n, d)), 1.1 * sd * rng.standard_normal((n, d)) + 0.2 * np.eye(1, d)
    found = frechet_distance_infinity(x, y)
    assert found.std_error is not None and abs(found.value - truth) < 3 * found.std_error < 0.15
    assert distance(x, y) - truth > 0.05


@pytest.mark.parametrize("opposed", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("n", [150, 900])
def test_a_gram_matrix_gives_the_singular_values_within_its_bound(n: int, decay: float, opposed: bool) -> None:
    """Also where one varies most in the directions in which the other varies least: rounding is that of the larger."""
    rng = np.random.default_rng(0)
    scale = np.arange(1, 301) ** -decay
    rotation = np.linalg.qr(rng.standard_normal((300, 300)))[0]
    scales = scale, scale[::-1] if opposed else scale
    first, second = (frechet._Gaussian.of(rng.standard_normal((n, 300)) * each @ rotation) for each in scales)
    total, bound = frechet._by_gram_matrix(first, second)
    exact = np.linalg.svd(first.factor @ second.factor.T, compute_uv=False).sum()
    assert bound == np.inf or abs(total - exact) <= bound


def test_a_matrix_that_is_no_covariance_is_named_whichever_it_is() -> None:
    """In few dimensions and in many, where only one of the two is factorised."""
    for d in (2, 300):
        good, bad = np.eye(d), np.eye(d)
        bad[0, 0] = -1e-3
        for first, second, name in ((good, bad, "covariance2"), (bad, good, "covariance1")):
            with pytest.raises(UserError, match=f"{name}: not positive semi-definite, smallest eigenvalue -0.001"):
                frechet_distance_from_moments(np.zeros(d), first, np.zeros(d), second)


@pytest.mark.parametrize("shift", [0.0, 1e-12, 1e-3, 1.0])
@pytest.mark.parametrize("decay", [0.0, 1.0, 3.0])
def test_a_gram_matrix_is_used_where_it_costs_no_accuracy(
    monkeypatch: pytest.MonkeyPatch, decay: float, shift: float
) -> None:
    """Also where the distance is nearly 0, which is the difference of two sums of the size of the traces."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 300)) * np.arange(1, 301) ** -decay
    y = x * (1 + shift)
    found = distance(x, y)
    monkeypatch.setattr(frechet, "SMALL", 1000)
    assert found == pytest.approx(distance(x, y), rel=frechet.GRAM_TOLERANCE, abs=1e-12)
