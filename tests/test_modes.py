"""Coverage of known modes against closed forms, brute force and replications."""

from math import exp, log

import numpy as np
import pytest
from estimates import values_and_errors
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import binom, chi2

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.arrays import TooFewExamples
from deepgen_bench.metrics.context import Context, Modes
from deepgen_bench.metrics.estimate import Estimate
from deepgen_bench.metrics.samples.modes import (
    ModeCoverage,
    ModeSettings,
    mode_kl,
    modes_covered,
    nearest_modes,
    uniform_kl,
)
from deepgen_bench.plugins import METRICS
from deepgen_bench.runtime.errors import UserError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def ring(m: int, sd: float = 0.1) -> Modes:
    angle = 2 * np.pi * np.arange(m) / m
    return Modes(2 * np.stack([np.cos(angle), np.sin(angle)], axis=1), sd)


def context(modes: Modes | None, d: int = 2) -> Context:
    return Context(DataSpec((d,), "continuous"), 0, "ring", np.zeros((0, d)), modes=modes)


def measure(samples: np.ndarray, modes: Modes, **wanted):
    rows = ModeCoverage(ModeSettings(**wanted)).measure(samples[:3], samples, context(modes, samples.shape[1]))
    return {row.metric: row for row in rows}


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(1, 30),
    m=st.integers(1, 6),
    d=st.integers(1, 4),
    sd=st.sampled_from([0.1, 1.0, 50.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_nearest_mode_is_that_of_brute_force(n: int, m: int, d: int, sd: float, seed: int) -> None:
    """Also where modes overlap, so that several are within 3 sd."""
    rng = np.random.default_rng(seed)
    samples, means = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    distances = cdist(samples, means)
    expected = np.where(distances.min(axis=1) <= 3 * sd, distances.argmin(axis=1), m)
    assert np.array_equal(nearest_modes(samples, Modes(means, sd)), expected)


def test_three_sd_is_within_and_more_is_not() -> None:
    samples = np.array([[3.0, 0.0], [np.nextafter(3.0, 4.0), 0.0], [100.0, 0.0]])
    assert nearest_modes(samples, Modes(np.zeros((1, 2)), 1.0)).tolist() == [0, 1, 1]


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_truth_has_the_quality_of_a_chi_squared(d: int, rng: np.random.Generator) -> None:
    means = 100 * np.eye(d)[:1] * np.arange(4)[:, None]
    samples = means[rng.integers(4, size=10_000)] + 0.5 * rng.standard_normal((10_000, d))
    row = measure(samples, Modes(means, 0.5))["high_quality"]
    truth = chi2(d).cdf(9)
    assert d != 2 or truth == pytest.approx(1 - exp(-4.5))
    assert row.value == pytest.approx(truth, abs=4 * row.std_error)
    assert row.std_error == pytest.approx(np.sqrt(truth * (1 - truth) / 10_000), rel=0.2)


def test_quality_lies_within_two_errors_as_often_as_it_says(rng: np.random.Generator) -> None:
    modes, truth, hits = ring(8), 0.8 * (1 - exp(-4.5)), []
    for _ in range(400):
        samples = modes.means[rng.integers(8, size=500)] + 0.1 * rng.standard_normal((500, 2))
        samples[rng.random(500) < 0.2] = 10.0
        row = measure(samples, modes)["high_quality"]
        hits.append(abs(row.value - truth) <= 2 * row.std_error)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_error_of_modes_covered_is_its_spread(rng: np.random.Generator) -> None:
    """Modes of very different weight, some with about as many samples as it takes, some with none."""
    weights = np.concatenate([0.7 ** np.arange(20), np.zeros(5)])
    n, least = 2000, 8
    found = [modes_covered(rng.multinomial(n, weights / weights.sum()), n, least) for _ in range(1000)]
    values, errors = values_and_errors(found)
    expected = binom.sf(least - 1, n, weights / weights.sum()).sum()
    assert values.mean() == pytest.approx(expected, abs=4 * values.std() / np.sqrt(1000))
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.15)


@pytest.mark.parametrize(
    ("counts", "n", "least", "value", "error"),
    [
        ([25, 24, 0], 200, 25, 1, None),
        ([200, 0, 0], 200, 1, 1, 0),  # certain: all samples are there, or none
        ([100, 100], 200, 201, 0, 0),  # more than there are
        ([1], 1, 1, 1, 0),
    ],
)
def test_modes_covered_by_hand(counts: list[int], n: int, least: int, value: int, error: float | None) -> None:
    estimate = modes_covered(np.array(counts), n, least)
    assert estimate.value == value
    shares = binom.sf(least - 1, n, np.array(counts) / n)
    assert estimate.std_error == pytest.approx(np.sqrt((shares * (1 - shares)).sum()), abs=1e-12)
    assert error is None or estimate.std_error == error


def test_divergence_of_known_histograms() -> None:
    assert uniform_kl(np.full(7, 3)) == pytest.approx(0, abs=1e-15)
    assert uniform_kl(np.array([0, 9, 0, 0])) == pytest.approx(log(4))
    assert uniform_kl(np.array([[1, 1, 0, 0], [3, 1, 0, 0]])) == pytest.approx([log(2), 0.75 * log(3) + 0.25 * log(1)])
    assert mode_kl(np.zeros(5, int), 1) == Estimate(0, 0)
    assert mode_kl(np.array([1]), 3) == Estimate(pytest.approx(log(3)), None)
    assert mode_kl(np.array([0, 1]), 2).value == pytest.approx(0)
    with pytest.raises(TooFewExamples, match="nearest: 0 samples, at least 1 is needed"):
        mode_kl(np.array([], int), 2)
    for wrong in (-1, 2):
        with pytest.raises(UserError, match=f"nearest: mode {wrong}, valid are 0 to 1"):
            mode_kl(np.array([0, wrong, 1]), 2)


def test_divergence_lies_within_two_errors_of_its_expectation(rng: np.random.Generator) -> None:
    """And the expectation is (m - 1)/(2n) above the truth. Coverage is of a t with 19 degrees of freedom: 94 %."""
    p, n = np.array([0.4, 0.3, 0.2, 0.1]), 1000
    truth = float((p * np.log(4 * p)).sum())
    values, errors = values_and_errors([mode_kl(rng.choice(4, size=n, p=p), 4) for _ in range(1000)])
    assert values.mean() == pytest.approx(truth + 3 / (2 * n), abs=4 * values.std() / np.sqrt(1000))
    assert 0.92 <= np.mean(np.abs(values - values.mean()) <= 2 * errors) <= 0.965


def test_error_of_the_divergence_of_a_perfect_model_is_conservative(rng: np.random.Generator) -> None:
    """2n KL is chi-squared with m - 1 degrees of freedom, which gives the bias and the spread in closed form."""
    m, n = 25, 2000
    values, errors = values_and_errors([mode_kl(rng.integers(m, size=n), m) for _ in range(400)])
    spread = np.sqrt(2 * (m - 1)) / (2 * n)
    assert values.mean() == pytest.approx((m - 1) / (2 * n), rel=0.1)
    assert values.std() == pytest.approx(spread, rel=0.15)
    assert 1 <= np.sqrt(np.mean(errors**2)) / spread <= np.sqrt(2) * 1.1


def test_family_on_a_perfect_and_a_dropping_model(rng: np.random.Generator) -> None:
    modes = ring(8)
    rows = measure(modes.means[rng.integers(8, size=2000)] + 0.1 * rng.standard_normal((2000, 2)), modes)
    assert {name: (row.direction, row.unit) for name, row in rows.items()} == {
        "modes_covered": ("max", ""),
        "high_quality": ("none", ""),
        "mode_kl": ("min", "nats"),
    }
    assert rows["modes_covered"].value == 8 and rows["modes_covered"].std_error < 1e-6
    assert rows["mode_kl"].value < 0.01
    assert all((row.n_real, row.n_generated, row.reference_split) == (None, 2000, "density") for row in rows.values())
    assert rows["modes_covered"].variant == {"min_share": 0.1}

    # six modes, a seventh with a single sample: it takes 25 of 2000
    dropping = modes.means[np.append(rng.integers(6, size=1999), 6)]
    rows = measure(dropping, modes)
    assert rows["modes_covered"].value == 6
    assert measure(dropping, modes, min_share=1e-6)["modes_covered"].value == 7
    assert rows["mode_kl"].value == pytest.approx(log(8 / 6), abs=0.01)
    assert rows["high_quality"].value == 1 and 0 < rows["high_quality"].std_error < 1e-3
    assert measure(dropping, modes, n=100)["mode_kl"].n_generated == 100


def test_exactly_a_tenth_of_the_even_share_is_enough() -> None:
    modes = ring(7)
    for n in (70, 210, 2100):
        samples = modes.means[np.repeat(np.arange(7), n // 7)]
        samples[: n // 7 - n // 70] = modes.means[1]  # n / 70 are left
        assert measure(samples, modes)["modes_covered"].value == 7
        samples[n // 7 - 1] = modes.means[1]
        assert measure(samples, modes)["modes_covered"].value == 6


def test_samples_far_from_every_mode() -> None:
    rows = measure(np.full((50, 2), 100.0), ring(8))
    assert rows["modes_covered"].value == rows["high_quality"].value == 0
    assert rows["high_quality"].std_error > 0 and rows["modes_covered"].std_error == 0
    kl = rows["mode_kl"]
    assert (kl.value, kl.status, kl.reason) == (None, "not_applicable", "none of 50 samples within 3 sd of a mode")


def test_other_data_have_no_modes_and_wrong_input_is_named(rng: np.random.Generator) -> None:
    family = METRICS["modes"](ModeSettings())
    samples = rng.standard_normal((10, 2))
    assert family.measure(samples, samples, context(None)) == []
    with pytest.raises(UserError, match="samples: 10 of 10 examples hold NaN"):
        family.measure(samples, samples * np.nan, context(ring(3)))
    with pytest.raises(UserError, match="modes: 2 coordinates, but samples has 3"):
        nearest_modes(np.zeros((4, 3)), ring(3))
