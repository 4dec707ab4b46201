"""Kernel distances against the definition, torch-fidelity, closed forms and replications."""

import numpy as np
import pytest
from estimates import pair, values_and_errors
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgen_bench.metrics.estimate import Estimate, error_of_means
from deepgen_bench.metrics.features.kernel import gaussian_mmd, kernel_curve, kernel_distance
from deepgen_bench.runtime.errors import UserError

WIDTH = 1.3


def cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def gaussian(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = np.square(a[:, None] - b).sum(axis=2)
    return np.mean([np.exp(-squares / (2 * (WIDTH * s) ** 2)) for s in (1 / 8, 1 / 4, 1 / 2, 1, 2)], axis=0)


def u_statistic(x: np.ndarray, y: np.ndarray, kernel) -> float:
    """Squared MMD, written out."""
    n, m = len(x), len(y)
    within = kernel(x, x).sum() - np.trace(kernel(x, x)), kernel(y, y).sum() - np.trace(kernel(y, y))
    return within[0] / (n * (n - 1)) + within[1] / (m * (m - 1)) - 2 * kernel(x, y).mean()


def second_order(x: np.ndarray, y: np.ndarray, kernel) -> float:
    """Variance of the second-order term of the statistic, from kernels centred over the other examples."""

    def mean_square(k: np.ndarray, pairs: np.ndarray) -> float:
        rows, columns = ((k * pairs).sum(axis=axis) / pairs.sum(axis=axis) for axis in (1, 0))
        mean = (k * pairs).sum() / pairs.sum()
        return float((((k - rows[:, None] - columns + mean) * pairs) ** 2).sum() / pairs.sum())

    n, m = len(x), len(y)
    within = [mean_square(kernel(a, a), 1 - np.eye(len(a))) for a in (x, y)]
    across = mean_square(kernel(x, y), np.ones((n, m)))
    return 2 * within[0] / (n * (n - 1)) + 2 * within[1] / (m * (m - 1)) + 4 * across / (n * m)


def estimates(kernel, x: np.ndarray, y: np.ndarray) -> Estimate:
    return kernel_distance(x, y) if kernel is cubic else gaussian_mmd(x, y, WIDTH)


@pytest.mark.parametrize("kernel", [cubic, gaussian])
@pytest.mark.parametrize(("n", "m", "d"), [(83, 71, 5), (40, 40, 1), (21, 120, 2), (5, 4, 3), (3, 50, 40)])
def test_value_and_error_by_definition(kernel, n: int, m: int, d: int) -> None:
    """The influences from sums are what leaving each example out and recomputing everything changes."""
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((m, d)) + 0.3
    found = estimates(kernel, x, y)
    assert found.value == pytest.approx(u_statistic(x, y, kernel), rel=1e-9)
    without_x = np.array([u_statistic(np.delete(x, i, axis=0), y, kernel) for i in range(n)])
    without_y = np.array([u_statistic(x, np.delete(y, i, axis=0), kernel) for i in range(m)])
    u, v = (n - 1) * (without_x.mean() - without_x), (m - 1) * (without_y.mean() - without_y)
    np.testing.assert_allclose(found.influence, u, atol=1e-9 * np.abs(u).max())
    assert found.std_error is not None and found.std_error >= error_of_means(u, v) * (1 - 1e-8)
    assert found.std_error == pytest.approx(error_of_means(u, v, least=np.sqrt(second_order(x, y, kernel))), rel=1e-8)


def test_curve_is_the_mean_over_disjoint_subsets() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((83, 3)), rng.standard_normal((71, 3)) + 0.3
    curve = kernel_curve(x, y)
    assert [(size.n, size.m) for size in curve] == [(83, 71), (41, 35), (20, 17)]
    assert curve[0].estimate == kernel_distance(x, y)
    for parts, size in zip((1, 2, 4), curve, strict=True):
        expected = np.mean([u_statistic(x[s::parts], y[s::parts], cubic) for s in range(parts)])
        assert size.estimate.value == pytest.approx(expected, rel=1e-9)
        own = np.empty(83)
        for s in range(parts):
            subset = kernel_distance(x[s::parts], y[s::parts]).influence
            assert subset is not None
            own[s::parts] = subset * 83 / (parts * len(subset))
        np.testing.assert_allclose(size.estimate.influence, own - own.mean(), atol=1e-9 * np.abs(own).max())
    assert len(kernel_curve(x[:19], y)) == 1 and len(kernel_curve(x[:20], y)) == 3


def test_agrees_with_torch_fidelity() -> None:
    import torch
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((1500, 16)), rng.standard_normal((1500, 16)) * 1.2 + 0.1
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_coef0": 1, "rng_seed": 0, "verbose": False}
    tensors = torch.from_numpy(y), torch.from_numpy(x)
    whole = kid_features_to_metric(*tensors, kid_subsets=1, kid_subset_size=1500, **options)
    assert kernel_distance(x, y).value == pytest.approx(whole[KEY_METRIC_KID_MEAN], rel=1e-9)
    # the usual mean over random subsets estimates the same number
    subsets = kid_features_to_metric(*tensors, kid_subsets=30, kid_subset_size=300, **options)
    assert kernel_distance(x, y).value == pytest.approx(subsets[KEY_METRIC_KID_MEAN], rel=0.1)


def gaussian_truth(d: int, shift: float, scale: float) -> float:
    """Squared MMD between N(0, I) and N(shift e1, scale² I): E exp(-|z|²/2w²) for z ~ N(m, v I) in closed form."""

    def mean_kernel(m: float, v: float, w: float) -> float:
        return (w * w / (w * w + v)) ** (d / 2) * np.exp(-m * m / (2 * (w * w + v)))

    widths = [WIDTH * s for s in (1 / 8, 1 / 4, 1 / 2, 1, 2)]
    one, other = 2.0, 2 * scale**2
    return float(
        np.mean(
            [
                mean_kernel(0, one, w) + mean_kernel(0, other, w) - 2 * mean_kernel(shift, 1 + scale**2, w)
                for w in widths
            ]
        )
    )


@pytest.mark.parametrize(("d", "shift", "scale"), [(1, 0.6, 1.0), (4, 0.4, 1.3), (8, 0.0, 1.0)])
@pytest.mark.parametrize("kernel", [cubic, gaussian])
def test_unbiased_with_an_honest_error(kernel, d: int, shift: float, scale: float) -> None:
    """±2 errors cover about 95 % of replications; more at the null, where the error is conservative.

    Somewhat fewer with the cubic kernel in one dimension, whose sixth powers make small samples skewed.
    """
    rng = np.random.default_rng(5)
    found = [
        estimates(kernel, rng.standard_normal((150, d)), scale * rng.standard_normal((120, d)) + shift * np.eye(1, d))
        for _ in range(300)
    ]
    values, errors = values_and_errors(found)
    sd = values.std(ddof=1)
    null = shift == 0 and scale == 1
    if kernel is gaussian:
        truth = gaussian_truth(d, shift, scale)
    else:
        large = rng.standard_normal((2, 4000, d))
        truth = 0.0 if null else kernel_distance(large[0], scale * large[1] + shift * np.eye(1, d)).value
    assert values.mean() == pytest.approx(truth, abs=3 * sd / np.sqrt(300) + (0 if kernel is gaussian else 0.4 * sd))
    coverage = np.mean(np.abs(values - values.mean()) <= 2 * errors)
    ratio = np.sqrt(np.square(errors).mean()) / sd
    assert coverage >= 0.88 and 0.9 < ratio < (1.8 if null else 1.35), (coverage, ratio)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(3, 60), m=st.integers(3, 60), d=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_invariants(n: int, m: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    found = gaussian_mmd(x, y, WIDTH)
    assert -2 <= found.value <= 2 and found.std_error is not None and found.std_error >= 0
    assert pair(gaussian_mmd(y, x, WIDTH)) == pytest.approx(pair(found), rel=1e-9, abs=1e-12)
    assert pair(gaussian_mmd(7 * x + 100, 7 * y + 100, 7 * WIDTH)) == pytest.approx(pair(found), rel=1e-7, abs=1e-8)
    assert pair(kernel_distance(y, x)) == pytest.approx(pair(kernel_distance(x, y)), rel=1e-8, abs=1e-10)
    order = rng.permutation(n)
    assert gaussian_mmd(x[order], y, WIDTH).value == pytest.approx(found.value, rel=1e-9, abs=1e-12)


def test_edge_cases() -> None:
    x = np.random.default_rng(0).standard_normal((30, 2))
    # without one of two examples no pair is left
    assert kernel_distance(x[:2], x[2:4]).std_error is None
    # constant features: nothing varies
    assert pair(kernel_distance(np.ones((25, 3)), np.ones((30, 3)))) == (0, 0)
    assert pair(gaussian_mmd(np.ones((25, 3)), np.ones((30, 3)), 1.0)) == pytest.approx((0, 0), abs=1e-8)
    # far apart: every pair within is alone or at 1, none across
    far = gaussian_mmd(np.zeros((25, 3)), np.full((30, 3), 1e6), 1.0)
    assert pair(far) == pytest.approx((2, 0), abs=1e-8)
    # without rounding noise far from the origin
    assert gaussian_mmd(x + 1e6, x[::-1] + 1e6, 1.0).value == pytest.approx(
        gaussian_mmd(x, x[::-1], 1.0).value, rel=1e-6
    )


@pytest.mark.parametrize("sample", [0, 1])
def test_one_point_far_out_costs_the_others_no_digits(sample: int) -> None:
    """Whichever sample it is in."""
    samples = np.random.default_rng(0).standard_normal((2, 90, 3))
    samples[sample, 7] = 1e10
    found = gaussian_mmd(*samples, WIDTH)
    assert found.value == pytest.approx(u_statistic(*samples, gaussian), rel=1e-9)
    left_out = [u_statistic(np.delete(samples[0], i, axis=0), samples[1], gaussian) for i in range(90)]
    np.testing.assert_allclose(found.influence, 89 * (np.mean(left_out) - left_out), atol=1e-9)


def test_wrong_input_is_named() -> None:
    x = np.zeros((5, 2))
    with pytest.raises(UserError, match="real: 1 examples, at least 2"):
        kernel_distance(x[:1], x)
    with pytest.raises(UserError, match="y: 3 coordinates, but x has 2"):
        gaussian_mmd(x, np.zeros((5, 3)), 1.0)
    with pytest.raises(UserError, match="x: 5 of 5 examples hold NaN"):
        gaussian_mmd(x * np.nan, x, 1.0)
    for width in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(UserError, match="width: .*, must be positive"):
            gaussian_mmd(x, x, width)
