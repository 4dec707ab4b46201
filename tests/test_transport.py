"""The transport family: what it measures on which samples, and in which coordinates."""

import numpy as np
import pytest
from estimates import pair

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.context import Context
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.metrics.samples import transport
from deepgen_bench.metrics.samples.optimal_transport import centred_w2, wasserstein
from deepgen_bench.metrics.samples.transport import TransportDistances, TransportSettings, principal_components
from deepgen_bench.plugins import METRICS
from deepgen_bench.runtime.errors import UserError

DIGITS = DataSpec((1, 4, 4), "image", levels=17)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("n", "d"), [(300, 40), (20, 40), (100, 9)])
def test_principal_components(n: int, d: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((n, d)) @ (0.8 ** np.arange(d)[:, None] * rng.standard_normal((d, d))) + 5
    found = principal_components(x, 8, rng)
    np.testing.assert_allclose(found.T @ found, np.eye(8), atol=1e-10)
    expected = np.linalg.svd(x - x.mean(axis=0))[2][:8].T
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)


@pytest.mark.parametrize("rank", [0, 3])
def test_principal_components_of_constant_features(rank: int, rng: np.random.Generator) -> None:
    x = np.pad(rng.standard_normal((30, rank)), ((0, 0), (0, 20 - rank)), constant_values=2)
    found = principal_components(x, 8, rng)
    np.testing.assert_allclose(found.T @ found, np.eye(8), atol=1e-10)
    np.testing.assert_allclose(np.square(found[:rank]).sum(axis=1), 1)


def measure(n: int, real: np.ndarray, generated: np.ndarray, context: Context) -> dict[str, Measurement]:
    rows = TransportDistances(TransportSettings(n=n)).measure(real, generated, context)
    return {row.metric + (" pca" if "pca" in row.variant else ""): row for row in rows}


def test_family_on_images(rng: np.random.Generator) -> None:
    assert isinstance(METRICS["transport"](TransportSettings()), TransportDistances)
    train, real = rng.integers(0, 9, (2, 150, 1, 4, 4)).astype(np.uint8)
    context = Context(DIGITS, base_seed=1, dataset="digits", train=train)
    rows = measure(100, real, real + np.uint8(8), context)
    assert {name: (row.direction, row.n_real, row.n_generated) for name, row in rows.items()} == {
        "w1": ("none", 100, 100),
        "w2": ("none", 100, 100),
        "centred_w2": ("none", 75, 75),
        "centred_w2 pca": ("min", 75, 75),
        "sliced_w2": ("min", 100, 100),
    }
    assert rows["w2"].value == pytest.approx(0.5 * 4)  # half the range in each of 16 pixels
    assert rows["centred_w2"].variant == {} and rows["centred_w2 pca"].variant == {"pca": 8}
    x, centred_train = real.reshape(150, 16) / 16, train.reshape(150, 16) - train.reshape(150, 16).mean(axis=0)
    for name, basis in (("centred_w2", np.eye(16)), ("centred_w2 pca", np.linalg.svd(centred_train)[2][:8].T)):
        a, b = x @ basis, (x + 0.5) @ basis
        expected = centred_w2(a[:75], a[75:], b[:75], b[75:])
        assert (rows[name].value, rows[name].std_error) == pytest.approx(pair(expected))
    assert rows["sliced_w2"].variant == {"projections": 500}
    again = measure(100, real, real + np.uint8(8), context)
    assert {name: row.value for name, row in again.items()} == {name: row.value for name, row in rows.items()}
    for name, row in rows.items():
        assert row.std_error is not None and row.seconds is not None and row.status == "ok"
        assert (row.mc_error is not None) == (name == "sliced_w2")


def test_family_on_vectors(rng: np.random.Generator) -> None:
    context = Context(DataSpec((2,), "continuous"), base_seed=1, dataset="ring", train=np.zeros((0, 2)))
    real, generated = rng.standard_normal((80, 2)), rng.standard_normal((60, 2)) + 1
    rows = measure(100, real, generated, context)
    assert list(rows) == ["w1", "w2", "centred_w2", "sliced_w2"]
    assert [row.direction for row in rows.values()] == ["none", "none", "min", "min"]
    assert [row.n_real for row in rows.values()] == [row.n_generated for row in rows.values()] == [60, 60, 30, 60]
    halves = real[:30], real[30:60], generated[:30], generated[30:]
    centred = rows["centred_w2"]
    assert (centred.value, centred.std_error) == pytest.approx(pair(centred_w2(*halves)))
    few = measure(100, real, generated[:3], context)
    assert few["centred_w2"].status == "not_applicable" and "at least 4" in few["centred_w2"].reason
    assert few["w2"].status == few["sliced_w2"].status == "ok"
    with pytest.raises(UserError, match="generated: 1 of 60 examples hold NaN"):
        measure(100, real, np.where(generated == generated[50, 0], np.nan, generated), context)


def test_the_pair_of_the_data_is_solved_once(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for another view of the same array; the plug-in's transport is the centred one's where n is the same."""
    solved: list[int] = []

    def counted(x: np.ndarray, y: np.ndarray, p: int) -> object:
        solved.append(p)
        return wasserstein(x, y, p)

    monkeypatch.setattr(transport, "wasserstein", counted)
    context = Context(DIGITS, base_seed=1, dataset="digits", train=rng.integers(0, 17, (50, 1, 4, 4)).astype(np.uint8))
    real, *generated = rng.integers(0, 17, (3, 80, 1, 4, 4)).astype(np.uint8)
    family = TransportDistances(TransportSettings(n=40))
    for samples, solves in zip(generated, (6, 4), strict=True):
        solved.clear()
        family.measure(real[:], samples, context)
        assert solved.count(1) == 1 and solved.count(2) == solves


def test_family_says_when_it_did_not_converge(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepgen_bench.metrics.samples.transport.wasserstein.__defaults__", (10,))
    context = Context(DataSpec((2,), "continuous"), base_seed=1, dataset="ring", train=np.zeros((0, 2)))
    rows = measure(2000, *rng.standard_normal((2, 300, 2)), context)
    sliced = rows.pop("sliced_w2")
    assert sliced.status == "ok"
    for row in rows.values():
        assert row.status == "not_converged" and row.value is None and "limit 10" in row.reason
