"""Wasserstein distances against closed forms, another solver and small cases by brute force; errors by replication."""

from collections.abc import Callable

import numpy as np
import pytest
from estimates import pair
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from deepgen_bench.metrics.estimate import Estimate, error_of_means
from deepgen_bench.metrics.samples.optimal_transport import (
    NotConverged,
    SlicedTransport,
    centred_w2,
    random_projections,
    sliced_wasserstein,
    wasserstein,
)
from deepgen_bench.runtime.errors import UserError

METRIC = {1: "euclidean", 2: "sqeuclidean"}
Sampler = Callable[[int], np.ndarray]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def normal(rng: np.random.Generator, d: int, shift: float = 0, scale: float = 1) -> Sampler:
    """N(shift e_1, scale² I) in d dimensions."""
    return lambda n: scale * rng.standard_normal((n, d)) + shift * np.eye(d)[0]


# plug-in


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("d", [1, 3])
def test_translation_permutation_and_identity(p: int, d: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((200, d)) + 1e6
    assert wasserstein(x, x[rng.permutation(200)], p).value == 0
    assert wasserstein(x, x, p).std_error is None
    shift = np.array([3.0, 0.0, 4.0])[:d]
    moved = wasserstein(x, x + shift, p)
    assert moved.value == pytest.approx(np.linalg.norm(shift), rel=1e-9)
    assert moved.duality_gap < 1e-9


@pytest.mark.parametrize("d", [2, 64])
def test_agrees_with_linear_assignment(d: int, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((150, d)), rng.standard_normal((150, d)) * 1.2 + 0.5
    for p, metric in METRIC.items():
        costs = cdist(x, y, metric)
        expected = costs[linear_sum_assignment(costs)].mean() ** (1 / p)
        result = wasserstein(x, y, p)
        assert result.value == pytest.approx(expected, rel=1e-10)
        assert result.duality_gap < 1e-10


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    d=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
)
def test_potentials_are_optimal(n: int, m: int, d: int, seed: int, ties: bool) -> None:
    """u_i + v_j <= c_ij with equality in the mean under the plan, in the order of the points; n != m and ties."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    if ties:
        x, y = x.round(), y.round()
    for p, metric in METRIC.items():
        result = wasserstein(x, y, p)
        assert result.u.shape == (n,) and result.v.shape == (m,)
        assert result.u.mean() == pytest.approx(0, abs=1e-12) and result.v.mean() == pytest.approx(0, abs=1e-12)
        assert np.all(result.u[:, None] + result.v + result.value**p <= cdist(x, y, metric) + 1e-9)
        assert (result.std_error is None) == (result.value == 0 or min(n, m) == 1)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 12), m=st.integers(1, 12), seed=st.integers(0, 2**32 - 1), ties=st.booleans())
def test_one_dimension_equals_the_simplex(n: int, m: int, seed: int, ties: bool) -> None:
    """Sorting with unequal n and ties, against the general solver on the same points in a plane."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, 1)), rng.standard_normal((m, 1))
    if ties:
        x, y = x.round(), y.round()
    for p in (1, 2):
        line = wasserstein(x, y, p)
        plane = wasserstein(np.pad(x, ((0, 0), (0, 1))), np.pad(y, ((0, 0), (0, 1))), p)
        assert line.value == pytest.approx(plane.value, rel=1e-10, abs=1e-12)
        assert line.duality_gap < 1e-10
    assert wasserstein(x, y, 1).value == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-10, abs=1e-12)


def test_normal_shift(rng: np.random.Generator) -> None:
    for p in (1, 2):
        result = wasserstein(rng.standard_normal((20_000, 1)), rng.standard_normal((10_000, 1)) + 0.5, p)
        assert result.std_error is not None
        assert result.value == pytest.approx(0.5, abs=4 * result.std_error)


def test_a_solver_that_stops_early_raises(rng: np.random.Generator) -> None:
    with pytest.raises(NotConverged, match="iteration limit 10"):
        wasserstein(rng.standard_normal((300, 2)), rng.standard_normal((300, 2)), 2, max_iterations=10)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("scale", [1e-100, 1e-12, 1e-7, 1e7, 1e100])
def test_any_unit_is_solved_to_optimality(p: int, scale: float, rng: np.random.Generator) -> None:
    """The simplex has absolute tolerances: W_p, its error and its potentials must be those of the unit scale."""
    x, y = rng.standard_normal((100, 2)), rng.standard_normal((80, 2)) + 1
    unit, scaled = wasserstein(x, y, p), wasserstein(scale * x, scale * y, p)
    assert scaled.value / scale == pytest.approx(unit.value, rel=1e-9)
    assert scaled.std_error is not None and scaled.std_error / scale == pytest.approx(unit.std_error, rel=1e-6)
    assert scaled.duality_gap < 1e-9
    np.testing.assert_allclose(scaled.u / scale**p, unit.u, atol=1e-9)
    np.testing.assert_allclose(scaled.v / scale**p, unit.v, atol=1e-9)


def test_costs_beyond_the_digits_of_a_float_are_not_solved(rng: np.random.Generator) -> None:
    """Two outliers side by side, 1e7 away: their squared distances to the rest drown what the optimum costs."""
    x, y = rng.standard_normal((2, 100, 2))
    x[0], y[0] = 1e7, 1e7
    with pytest.raises(NotConverged, match="100 x 100 points did not converge: relative duality gap"):
        wasserstein(x, y, 2)
    costs = cdist(x, y)
    assert wasserstein(x, y, 1).value == pytest.approx(costs[linear_sum_assignment(costs)].mean(), rel=1e-6)


def test_wrong_input_is_named(rng: np.random.Generator) -> None:
    x = rng.standard_normal((10, 2))
    with pytest.raises(UserError, match="y: 1 of 10 examples hold NaN"):
        wasserstein(x, np.where(x == x[0, 0], np.nan, x), 2)
    with pytest.raises(UserError, match="p: 3"):
        wasserstein(x, x, 3)
    with pytest.raises(UserError, match="y: 5001 points"):
        wasserstein(x, np.zeros((5001, 2)), 2)
    with pytest.raises(UserError, match="x: 2 coordinates, but projections has 3"):
        sliced_wasserstein(x, x, random_projections(3, 10, rng))
    with pytest.raises(UserError, match="y2: 9 points, but x has 10"):
        centred_w2(x, x, x, x[:9])
    with pytest.raises(UserError, match="x2: 1 of 10 examples hold NaN"):
        centred_w2(x, np.where(x == x[0, 0], np.nan, x), x, x)
    with pytest.raises(UserError, match="y: 3 coordinates, but x has 2"):
        centred_w2(x, x, np.zeros((10, 3)), np.zeros((10, 3)))


# centred


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 20),
    d=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(0.1, 10),
    offset=st.sampled_from([0.0, 1e4]),
)
def test_centred_of_a_translation(n: int, d: int, seed: int, scale: float, offset: float) -> None:
    """W_2²(x, x2 + m) = W_2²(x, x2) + |m|² + 2 m·(mean x2 - mean x), so that all but |m|² and the means cancels."""
    rng = np.random.default_rng(seed)
    x, x2, shift = *(scale * rng.standard_normal((2, n, d)) + offset), scale * rng.standard_normal(d)
    expected = shift @ shift + 2 * shift @ (x2.mean(axis=0) - x.mean(axis=0))
    value = centred_w2(x, x2, x2 + shift, x + shift).value
    assert value == pytest.approx(expected, rel=1e-7, abs=1e-7 * scale**2)


def test_centred_is_symmetric_and_of_squared_units(rng: np.random.Generator) -> None:
    x, x2, y, y2 = rng.standard_normal((4, 50, 3)) * np.array([1, 1, 2, 2])[:, None, None]
    first = centred_w2(x, x2, y, y2)
    assert centred_w2(y, y2, x, x2).value == pytest.approx(first.value)
    scaled = centred_w2(3 * x, 3 * x2, 3 * y, 3 * y2)
    assert (scaled.value, scaled.std_error) == pytest.approx((9 * first.value, 9 * first.std_error))
    assert centred_w2(*np.zeros((4, 5, 3))) == Estimate(0, 0)


def test_shrinking_wins_the_plug_in_and_loses_the_centred(rng: np.random.Generator) -> None:
    """N(0, 0.64 I) in 64 dimensions is nearer to a sample of N(0, I) than another sample of N(0, I) is."""
    oracle, shrunken = normal(rng, 64), normal(rng, 64, scale=0.8)
    plug_in = {made: wasserstein(oracle(150), made(150), 2).value for made in (oracle, shrunken)}
    assert plug_in[shrunken] < 0.95 * plug_in[oracle]
    centred = {
        made: np.array([centred_w2(*(half(150) for half in (oracle, oracle, made, made))).value for _ in range(40)])
        for made in (oracle, shrunken)
    }
    assert abs(centred[oracle].mean()) < 3 * centred[oracle].std() / np.sqrt(40)
    assert centred[shrunken].mean() > 5 * centred[shrunken].std() / np.sqrt(40)


def test_centred_sees_what_generators_get_wrong(rng: np.random.Generator) -> None:
    """Against the oracle's own mean, over 20 measurements at n = 200: a lost mode, noise, copies of few examples."""
    angles = np.arange(8) * np.pi / 4
    modes = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def ring(n: int, of: int = 8) -> np.ndarray:
        return modes[rng.integers(of, size=n)] + 0.1 * rng.standard_normal((n, 2))

    train = ring(20)
    generators: dict[str, Sampler] = {
        "exact": ring,
        "lost mode": lambda n: ring(n, of=7),
        "noise": lambda n: ring(n) + 0.4 * rng.standard_normal((n, 2)),
        "copies": lambda n: train[rng.integers(20, size=n)],
    }
    means = {
        name: np.mean([centred_w2(ring(200), ring(200), made(200), made(200)).value for _ in range(20)])
        for name, made in generators.items()
    }
    assert abs(means.pop("exact")) < 0.02
    assert min(means.values()) > 0.04, means


# errors, by replication


def coverage(results: list[tuple[float, float]], truth: float | None = None) -> tuple[float, float]:
    """Share of values within two errors of `truth` (by default their own mean), and mean error over actual spread."""
    values, errors = np.array(results).T
    within = np.abs(values - (values.mean() if truth is None else truth)) <= 2 * errors
    return within.mean(), errors.mean() / values.std(ddof=1)


def check(results: list[tuple[float, float]], truth: float | None = None) -> None:
    """200 replications give a coverage of 0.95 to 0.015 and the spread to 5 %."""
    share, ratio = coverage(results, truth)
    assert share >= 0.91 and 0.88 <= ratio <= 1.4, (share, ratio)


def solved(x: np.ndarray, y: np.ndarray, p: int) -> tuple[float, float]:
    return pair(wasserstein(x, y, p))


def centred(x: Sampler, y: Sampler, n: int) -> tuple[float, float]:
    return pair(centred_w2(x(n), x(n), y(n), y(n)))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("d", [1, 2, 10])
@pytest.mark.parametrize(("shift", "scale"), [(1, 1), (0, 1.5)])
def test_plug_in_error(p: int, d: int, shift: float, scale: float, rng: np.random.Generator) -> None:
    x, y = normal(rng, d), normal(rng, d, shift, scale)
    check([solved(x(120), y(80), p) for _ in range(200)])


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize(("shift", "scale"), [(1, 1), (0, 1.5)])
def test_centred_error_about_the_truth(d: int, shift: float, scale: float, rng: np.random.Generator) -> None:
    x, y = normal(rng, d), normal(rng, d, shift, scale)
    check([centred(x, y, 150) for _ in range(200)], shift**2 + d * (scale - 1) ** 2)


@pytest.mark.parametrize(("shift", "scale"), [(1, 1), (0, 1.5)])
def test_centred_error_in_ten_dimensions(shift: float, scale: float, rng: np.random.Generator) -> None:
    """About its expectation: a translation's is exact, a scale's is lower than the truth and clearly above 0."""
    x, y = normal(rng, 10), normal(rng, 10, shift, scale)
    results = [centred(x, y, 100) for _ in range(200)]
    check(results, shift**2 if shift else None)
    mean = np.mean([value for value, _ in results])
    assert mean == pytest.approx(1, abs=0.15) if shift else 1 < mean < 2.5


@pytest.mark.parametrize("d", [2, 10])
@pytest.mark.parametrize(("shift", "scale"), [(1, 1), (0, 1.5)])
def test_sliced_sampling_error(d: int, shift: float, scale: float, rng: np.random.Generator) -> None:
    x, y, directions = normal(rng, d), normal(rng, d, shift, scale), random_projections(d, 50, rng)
    found = [sliced_wasserstein(x(120), y(80), directions) for _ in range(200)]
    check([(one.value, one.std_error or 0) for one in found])


def test_sliced_error_over_directions(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((60, 5)), rng.standard_normal((80, 5)) + np.eye(5)[0]
    found = [sliced_wasserstein(x, y, random_projections(5, 40, rng)) for _ in range(300)]
    check([(one.value, one.mc_error or 0) for one in found])


@pytest.mark.parametrize("d", [1, 2, 10])
def test_errors_are_conservative_for_equal_distributions(d: int, rng: np.random.Generator) -> None:
    """The first-order term of the limit is 0 there; what the potentials still show is up to twice the spread."""
    x, directions = normal(rng, d), random_projections(d, 50, rng)
    of_equal = [centred(x, x, 100) for _ in range(200)]
    sliced = [sliced_wasserstein(x(100), x(100), directions) for _ in range(200)]
    for results, truth in (
        ([solved(x(100), x(100), 2) for _ in range(200)], None),
        ([(one.value, one.std_error or 0) for one in sliced], None),
        (of_equal, 0.0),
    ):
        share, ratio = coverage(results, truth)
        assert share >= 0.95 and 1.05 < ratio < 2
    values = np.array([value for value, _ in of_equal])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(200)
    assert 0.35 < np.mean(values < 0) < 0.7


# sliced


def test_projections_are_uniform_unit_vectors(rng: np.random.Generator) -> None:
    directions = random_projections(3, 20_000, rng)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(directions.T @ directions / 20_000, np.eye(3) / 3, atol=0.01)


def test_sliced_distance_of_a_translation(rng: np.random.Generator) -> None:
    """Each slice moves by the shift's projection, so SW2^2 is the mean of its square, |shift|^2 / d in expectation."""
    x, shift, projections = rng.standard_normal((500, 10)), np.full(10, 0.3), random_projections(10, 2000, rng)
    found = sliced_wasserstein(x, x + shift, projections)
    value, mc_error = found.value, found.mc_error
    assert value**2 == pytest.approx(np.mean((projections @ shift) ** 2), rel=1e-10)
    assert mc_error is not None
    assert value == pytest.approx(np.sqrt(shift @ shift / 10), abs=4 * mc_error)


def test_sliced_distance_in_one_dimension_and_of_itself(rng: np.random.Generator) -> None:
    """On a line every slice is the same but for its sign, which turns the ties of the coupling round."""
    x, y = rng.standard_normal((40, 1)), rng.standard_normal((25, 1)) + 1
    for p in (1, 2):
        line = wasserstein(x, y, p)
        sliced = sliced_wasserstein(x, y, random_projections(1, 20, rng), p)
        assert sliced.value == pytest.approx(line.value)
        assert sliced.std_error == pytest.approx(line.std_error, rel=0.02)
        assert sliced.mc_error == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein(x, x, random_projections(1, 20, rng)) == SlicedTransport(0, None, None)
    assert sliced_wasserstein(x, y, np.ones((1, 1))).mc_error is None
    assert sliced_wasserstein(x[:1], y, np.ones((2, 1))).std_error is None


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 15),
    m=st.integers(2, 15),
    count=st.integers(2, 50),
    p=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_slices_one_by_one(n: int, m: int, count: int, p: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, directions = rng.standard_normal((n, 4)), rng.standard_normal((m, 4)) + 1, random_projections(4, count, rng)
    slices = [wasserstein(x @ one[:, None], y @ one[:, None], p) for one in directions]
    costs = np.array([one.value**p for one in slices])
    u, v = np.mean([one.u for one in slices], axis=0), np.mean([one.v for one in slices], axis=0)
    sliced = sliced_wasserstein(x, y, directions, p)
    slope = p * sliced.value ** (p - 1)
    assert sliced.value**p == pytest.approx(costs.mean())
    assert sliced.std_error == pytest.approx(error_of_means(u, v) / slope)
    np.testing.assert_allclose(sliced.influence, u / slope, atol=1e-9)
    assert sliced.mc_error == pytest.approx(error_of_means(costs) / slope)


def test_sliced_distance_agrees_with_pot(rng: np.random.Generator) -> None:
    from ot.sliced import sliced_wasserstein_distance

    x, y = rng.standard_normal((60, 5)), rng.standard_normal((45, 5)) * 2
    projections = random_projections(5, 30, rng)
    for p in (1, 2):
        expected = sliced_wasserstein_distance(x, y, projections=projections.T, p=p)
        assert sliced_wasserstein(x, y, projections, p).value == pytest.approx(float(expected))
