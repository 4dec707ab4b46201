"""Precision, recall, density and coverage against the definitions, torch-fidelity, closed forms and replications."""

import numpy as np
import pytest
from estimates import check_coverage, pair
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgen_bench.metrics.estimate import Estimate, binomial_error
from deepgen_bench.metrics.features.neighbours import density_coverage, precision_recall
from deepgen_bench.runtime.errors import UserError

NAMES = ("precision", "recall", "density", "coverage")


def all_four(real: np.ndarray, generated: np.ndarray, k: int = 5) -> list[Estimate]:
    return [*precision_recall(real, generated, k), *density_coverage(real, generated, k)]


def values(real: np.ndarray, generated: np.ndarray, k: int = 5) -> list[float]:
    return [estimate.value for estimate in all_four(real, generated, k)]


def by_definition(real: np.ndarray, generated: np.ndarray, k: int) -> list[float]:
    def radii(points: np.ndarray) -> np.ndarray:
        return np.sort(np.linalg.norm(points[:, None] - points, axis=2), axis=1)[:, k]

    distances = np.linalg.norm(real[:, None] - generated, axis=2)
    in_real_ball, in_generated_ball = distances <= radii(real)[:, None], distances <= radii(generated)
    return [
        in_real_ball.any(axis=0).mean(),
        in_generated_ball.any(axis=1).mean(),
        in_real_ball.sum() / (k * len(generated)),
        in_real_ball.any(axis=1).mean(),
    ]


def changes_by_definition(balls: np.ndarray, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What leaving out each of `balls` (n, d) does to `points` (m, d) being inside, (n, m); and which are inside."""

    def inside(others: np.ndarray) -> np.ndarray:
        radii = np.sort(np.linalg.norm(others[:, None] - others, axis=2), axis=1)[:, k]
        return np.linalg.norm(others[:, None] - points, axis=2) <= radii[:, None]

    whole = inside(balls)
    left_out = [inside(np.delete(balls, i, axis=0)).any(axis=0) for i in range(len(balls))]
    return np.array(left_out).astype(int) - whole.any(axis=0), whole


def check_share(found: Estimate, of_balls: bool, balls: np.ndarray, points: np.ndarray, k: int) -> None:
    change, whole = changes_by_definition(balls, points, k)
    (n, m), total, covers = change.shape, change.sum(axis=1), whole.sum(axis=0)
    two, one = np.count_nonzero(covers == 2) + 0.25, np.count_nonzero(covers == 1) + 0.5
    overcounting = (2 * two / one) / (1 - np.exp(-2 * two / one))
    squares = np.square(total - total.mean()).sum()
    variance = min(squares / overcounting, max(squares - np.square(change).sum(), 0)) / m**2
    assert found.std_error == pytest.approx(np.hypot(binomial_error(found.value, m), np.sqrt(variance)))
    raw = -(n - 1) / m * total / np.sqrt(overcounting) if of_balls else (covers > 0).astype(float)
    np.testing.assert_allclose(found.influence, raw - raw.mean(), atol=1e-9)


def check_definition(x: np.ndarray, y: np.ndarray, k: int) -> None:
    """Values, and influences and errors from every example left out with everything recomputed."""
    found = all_four(x, y, k)
    assert [estimate.value for estimate in found] == pytest.approx(by_definition(x, y, k), abs=1e-12)
    precision, recall, density, coverage = found
    check_share(precision, True, x, y, k)
    check_share(recall, False, y, x, k)
    n, m = len(x), len(y)
    ordered = np.sort(np.linalg.norm(x[:, None] - x, axis=2), axis=1)
    distances = np.linalg.norm(x[:, None] - y, axis=2)
    hits = distances <= ordered[:, k, None]
    contained, around = hits.sum(axis=1), hits.sum(axis=0)
    without = [by_definition(np.delete(x, i, axis=0), y, k)[2] * k * m for i in range(n)]
    grown = np.array(without) - contained.sum() + contained
    raw = (n - 1) * (contained - 0.75 * grown) / (k * m)
    np.testing.assert_allclose(density.influence, raw - raw.mean(), atol=1e-9)
    squares = max(np.square(grown - contained - np.mean(grown - contained)).sum() - (grown + contained).sum(), 0)
    assert density.std_error == pytest.approx(np.sqrt(squares / (k * m) ** 2 + around.var(ddof=1) / (k**2 * m)))
    newly = [np.round(by_definition(np.delete(x, i, axis=0), y, k)[3] * (n - 1)) for i in range(n)]
    covered = contained > 0
    raw = covered - 0.5 * (np.array(newly) - covered.sum() + covered)
    np.testing.assert_allclose(coverage.influence, raw - raw.mean(), atol=1e-9)


@pytest.mark.parametrize(
    ("n", "m", "d", "k"),
    [(83, 71, 2, 1), (83, 71, 2, 3), (60, 130, 30, 5), (20, 21, 1, 4), (25, 8, 3, 3), (9, 40, 2, 5)],
)
def test_values_and_errors_by_definition(n: int, m: int, d: int, k: int) -> None:
    """Far from the origin, where distances from the Gram matrix of the raw features would be rounding noise."""
    rng = np.random.default_rng(n)
    check_definition(rng.standard_normal((n, d)) + 1e6, 1.2 * rng.standard_normal((m, d)) + 1e6, k)


@pytest.mark.parametrize("levels", [2, 4])
def test_ties_on_a_grid(levels: int) -> None:
    """Whatever the rounding, a point as far as the k-th neighbour is inside: also with copies, and radii of zero."""
    rng = np.random.default_rng(levels)
    x, y = rng.integers(levels, size=(2, 90, 2)) * 0.1 + 0.7
    exact = [np.round((sample - 0.7) / 0.1) for sample in (x, y)]
    assert values(x, y, 3) == by_definition(*exact, 3)
    constant = np.full((40, 3), 0.1)
    whole = (1, binomial_error(1, 40))
    found = [pair(estimate) for estimate in all_four(constant, constant)]
    assert np.array(found) == pytest.approx(np.array([whole, whole, (8, 0), whole]))
    assert values(constant, constant + 1) == [0, 0, 0, 0]


def test_collapsed_noisy_and_equal_generators() -> None:
    rng = np.random.default_rng(0)
    real, equal = rng.standard_normal((2, 500, 4))
    precision, recall, density, coverage = values(real, 0.1 * equal)
    # collapsed on the middle: faithful, not diverse
    assert precision > 0.95 and recall < 0.1 and density > 1.3 and coverage < 0.5
    precision, recall, density, coverage = values(real, 5 * equal)
    # spread too far: not faithful, and wide balls of the generated cover everything, where density and coverage ask
    # the balls of the real data
    assert precision < 0.2 and recall > 0.9 and density < 0.2 and coverage < 0.5
    assert min(values(real, equal)) > 0.7
    assert values(real, real[rng.permutation(500)])[:2] == [1, 1]
    assert values(real, real + 100) == [0, 0, 0, 0]
    all_alike = values(real, np.tile(real[:1], (500, 1)))
    assert all_alike[1] < 0.05 and all_alike[3] < 0.05
    # one sample far away must not cost the others their digits
    outlier = np.vstack([equal, np.full((1, 4), 1e9)])
    assert values(real, outlier)[0] == pytest.approx(values(real, equal)[0] * 500 / 501)


@pytest.mark.parametrize("sample", [0, 1])
def test_one_point_far_out_costs_the_others_no_digits(sample: int) -> None:
    """Whichever sample it is in: real ones may hold it too."""
    samples = np.random.default_rng(3).standard_normal((2, 120, 3))
    samples[sample, 5] = 1e8
    assert values(*samples) == pytest.approx(by_definition(*samples, 5), abs=1e-12)


@pytest.mark.parametrize("distance", [0, 100])
def test_a_share_of_all_or_none_has_an_error(distance: float) -> None:
    """That of a share which may be one or two examples less, as nothing of it changes when a group is left out."""
    x = np.random.default_rng(0).standard_normal((300, 2))
    precision, recall, _, coverage = all_four(x, x + distance)
    for share in (precision, recall, coverage):
        assert pair(share) == (distance == 0, pytest.approx(np.sqrt(301) / 302 / np.sqrt(300)))


def test_agree_with_torch_fidelity() -> None:
    import torch
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    rng = np.random.default_rng(4)
    real, generated = rng.standard_normal((1200, 16)), 0.9 * rng.standard_normal((1100, 16)) + 0.1
    tensors = torch.from_numpy(generated), torch.from_numpy(real)
    result = prc_features_to_metric(*tensors, prc_neighborhood=3, save_cpu_ram=True, verbose=False)
    # it averages in float32
    expected = result[KEY_METRIC_PRECISION], result[KEY_METRIC_RECALL]
    assert [e.value for e in precision_recall(real, generated)] == pytest.approx(expected, abs=1e-6)


def test_expectations_for_equal_distributions() -> None:
    """Density 1; coverage 1 - Π (n - i)/(n + m - i) (Naeem et al. 2020, eq. 9), whatever the distribution."""
    rng = np.random.default_rng(1)
    n, m, k = 60, 90, 5
    found = np.array(
        [[e.value for e in density_coverage(*np.split(rng.gumbel(size=(n + m, 3)), [n]), k)] for _ in range(300)]
    )
    error = found.std(axis=0, ddof=1) / np.sqrt(300)
    i = np.arange(1, k + 1)
    assert found.mean(axis=0) == pytest.approx([1, 1 - np.prod((n - i) / (n + m - i))], abs=3.5 * error.max())


def mixture(n: int, weights: list[float], rng: np.random.Generator) -> np.ndarray:
    angle = np.pi / 2 * rng.choice(4, n, p=weights)
    return 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.3 * rng.standard_normal((n, 2))


@pytest.mark.parametrize("weights", [[0.25] * 4, [0.5, 0.3, 0.2, 0], [1, 0, 0, 0]])
def test_errors_are_honest(weights: list[float]) -> None:
    """±2 errors cover at least 91 %; too wide, by at most 1.5, only where nearly all examples are covered."""
    rng = np.random.default_rng(2)
    found = [all_four(mixture(300, [0.25] * 4, rng), mixture(300, weights, rng)) for _ in range(200)]
    for name, estimates in zip(NAMES, zip(*found, strict=True), strict=True):
        share = np.mean([estimate.value for estimate in estimates])
        check_coverage(estimates, least=0.91, widest=1.9 if name == "density" else 1.5 if share > 0.9 else 1.3)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(6, 60), m=st.integers(6, 60), d=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_invariants(n: int, m: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    found = all_four(x, y)
    precision, recall, _, coverage = (estimate.value for estimate in found)
    assert all(0 <= share <= 1 for share in (precision, recall, coverage))
    for estimate in found:
        # without one, five neighbours of six examples are not left
        assert (estimate.std_error is None) == (min(n, m) == 6)
    assert values(x[rng.permutation(n)], y[rng.permutation(m)]) == values(x, y)
    assert values(3 * x + 1, 3 * y + 1) == values(x, y)
    assert [e.value for e in precision_recall(y, x, 5)] == [recall, precision]


def test_wrong_input_is_named() -> None:
    x = np.zeros((5, 2))
    with pytest.raises(UserError, match="real: 3 examples, at least 4"):
        precision_recall(x[:3], x)
    with pytest.raises(UserError, match="generated: 5 examples, at least 6"):
        density_coverage(np.zeros((6, 2)), x)
    with pytest.raises(UserError, match="k: 0, must be at least 1"):
        density_coverage(x, x, k=0)
    with pytest.raises(UserError, match="generated: 1 of 5 examples hold NaN"):
        precision_recall(x, np.vstack([x[:4], [[np.nan, 0]]]))
