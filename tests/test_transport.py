"""Wasserstein distances against closed forms, another solver and the brute force of small cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.errors import UserError
from deepgen_bench.metrics import METRICS
from deepgen_bench.metrics.features import Context
from deepgen_bench.metrics.transport import (
    NotConverged,
    TransportDistances,
    TransportSettings,
    random_projections,
    sliced_wasserstein,
    wasserstein,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


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
    for p, metric in ((1, "euclidean"), (2, "sqeuclidean")):
        costs = cdist(x, y, metric)
        expected = costs[linear_sum_assignment(costs)].mean() ** (1 / p)
        result = wasserstein(x, y, p)
        assert result.value == pytest.approx(expected, rel=1e-10)
        assert result.duality_gap < 1e-10


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
        assert (line.n, line.m) == (n, m)
    assert wasserstein(x, y, 1).value == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("d", [1, 2])
def test_standard_error_is_the_spread_over_samples(d: int, rng: np.random.Generator) -> None:
    """The mean of the errors lies within a quarter of the spread, which 150 repetitions give to 6 %."""
    results = [wasserstein(rng.standard_normal((150, d)), rng.standard_normal((100, d)) + 1.0, p=2) for _ in range(150)]
    errors = [result.std_error for result in results if result.std_error is not None]
    assert np.mean(errors) == pytest.approx(np.std([result.value for result in results]), rel=0.25)


def test_normal_shift(rng: np.random.Generator) -> None:
    for p in (1, 2):
        result = wasserstein(rng.standard_normal((20_000, 1)), rng.standard_normal((10_000, 1)) + 0.5, p)
        assert result.std_error is not None
        assert result.value == pytest.approx(0.5, abs=4 * result.std_error)


def test_a_solver_that_stops_early_raises(rng: np.random.Generator) -> None:
    with pytest.raises(NotConverged, match="iteration limit 10"):
        wasserstein(rng.standard_normal((300, 2)), rng.standard_normal((300, 2)), 2, max_iterations=10)


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


def test_projections_are_uniform_unit_vectors(rng: np.random.Generator) -> None:
    directions = random_projections(3, 20_000, rng)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(directions.T @ directions / 20_000, np.eye(3) / 3, atol=0.01)


def test_sliced_distance_of_a_translation(rng: np.random.Generator) -> None:
    """Each slice moves by the shift's projection, so SW2^2 is the mean of its square, |shift|^2 / d in expectation."""
    x, shift, projections = rng.standard_normal((500, 10)), np.full(10, 0.3), random_projections(10, 2000, rng)
    value, std_error = sliced_wasserstein(x, x + shift, projections)
    assert value**2 == pytest.approx(np.mean((projections @ shift) ** 2), rel=1e-10)
    assert std_error is not None
    assert value == pytest.approx(np.sqrt(shift @ shift / 10), abs=4 * std_error)


def test_sliced_distance_in_one_dimension_and_of_itself(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((40, 1)), rng.standard_normal((25, 1)) + 1
    for p in (1, 2):
        value, std_error = sliced_wasserstein(x, y, random_projections(1, 20, rng), p)
        assert value == pytest.approx(wasserstein(x, y, p).value)
        assert std_error == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein(x, x, random_projections(1, 20, rng)) == (0, None)


def test_sliced_distance_agrees_with_pot(rng: np.random.Generator) -> None:
    from ot.sliced import sliced_wasserstein_distance

    x, y = rng.standard_normal((60, 5)), rng.standard_normal((45, 5)) * 2
    projections = random_projections(5, 30, rng)
    for p in (1, 2):
        expected = sliced_wasserstein_distance(x, y, projections=projections.T, p=p)
        assert sliced_wasserstein(x, y, projections, p)[0] == pytest.approx(float(expected))


def test_family_on_images_and_vectors(rng: np.random.Generator) -> None:
    family = METRICS["transport"](TransportSettings(n=100))
    assert isinstance(family, TransportDistances)
    image_context = Context(DataSpec((1, 4, 4), "image", levels=17), base_seed=1, dataset="digits", train=np.zeros((0, 1, 4, 4)))
    real = rng.integers(0, 9, (150, 1, 4, 4)).astype(np.uint8)
    rows = {row.metric: row for row in family.measure(real, real + np.uint8(8), image_context)}
    assert {name: (row.direction, row.n_real, row.n_generated) for name, row in rows.items()} == {
        "w1": ("none", 100, 100),
        "w2": ("none", 100, 100),
        "sliced_w2": ("min", 100, 100),
    }
    assert rows["w2"].value == pytest.approx(0.5 * 4)  # half the range in each of 16 pixels
    assert rows["sliced_w2"].variant == {"projections": 500}
    again = {row.metric: row.value for row in family.measure(real, real + np.uint8(8), image_context)}
    assert again == {name: row.value for name, row in rows.items()}

    context = Context(DataSpec((2,), "continuous"), base_seed=1, dataset="ring", train=np.zeros((0, 2)))
    vectors = rng.standard_normal((80, 2))
    rows = {row.metric: row for row in family.measure(vectors, vectors[:60] + 1, context)}
    assert rows["w2"].direction == "min" and rows["w2"].n_real == rows["w2"].n_generated == 60
    assert all(row.seconds is not None for row in rows.values())


def test_family_says_when_it_did_not_converge(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepgen_bench.metrics.transport.wasserstein.__defaults__", (10,))
    context = Context(DataSpec((2,), "continuous"), base_seed=1, dataset="ring", train=np.zeros((0, 2)))
    x, y = rng.standard_normal((2, 300, 2))
    w1, w2, sliced = TransportDistances(TransportSettings()).measure(x, y, context)
    assert w1.status == w2.status == "not_converged" and w1.value is None and "limit 10" in w2.reason
    assert sliced.status == "ok"
