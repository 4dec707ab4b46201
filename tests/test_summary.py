"""From the tidy table to the spread over seeds."""

import math
from statistics import mean, stdev

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t
from tidy_rows import row, seeds

from deepgen_bench.report.data.groups import spreads
from deepgen_bench.report.data.summary import summarise
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.results import COLUMNS


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6), lost=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_summary_is_the_sample_mean_and_deviation_of_what_has_a_value(values, lost):
    rows = pd.DataFrame(seeds([*values, *[None] * lost]))
    (line,) = summarise(rows.astype(COLUMNS)).itertuples()
    assert math.isclose(line.mean, mean(values), abs_tol=1e-6)
    assert math.isclose(line.sd, stdev(values), abs_tol=1e-6)
    assert (line.min, line.max) == (min(values), max(values))
    half = t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    assert math.isclose(line.ci_low, mean(values) - half, abs_tol=1e-5)
    assert math.isclose(line.ci_high, mean(values) + half, abs_tol=1e-5)
    assert (line.n_seeds, line.n_total, line.n_diverged) == (len(values), len(values) + lost, lost)
    assert line.statuses == f"ok={len(values)}" + (f";diverged={lost}" if lost else "")


@pytest.mark.parametrize(
    "other",
    [
        {"variant": "p=1"},
        {"n_real": 100},
        {"n_generated": 100},
        {"reference_split": "train"},
        {"checkpoint": "best"},
        {"unit": "pixels"},
        {"experiment": "b"},
    ],
)
def test_what_differs_in_more_than_the_seed_is_never_averaged(frame, other):
    summary = summarise(frame([row(seed=0), row(seed=1, value=9.0, **other)]))
    assert list(summary["mean"]) == [1.0, 9.0] and summary[["sd", "ci_low", "ci_high"]].isna().all(axis=None)


def test_a_doubtful_value_is_a_value_and_never_splits_a_group(frame):
    rows = [row(seed=0), row(seed=1, value=3.0, status="suspect"), row(seed=2, value=5.0, status="not_converged")]
    rows += [row(seed=3, value=None, status="not_converged"), row(seed=4, value=None, status="failed")]
    (line,) = summarise(frame(rows)).itertuples()
    assert (line.mean, line.sd, line.n_seeds, line.n_total) == (3.0, 2.0, 3, 5)
    assert line.statuses == "ok=1;suspect=1;not_converged=2;failed=1"


def test_a_summary_has_the_mean_errors_of_its_measurements(frame):
    rows = [row(seed=k, std_error=error, mc_error=None) for k, error in enumerate((0.1, 0.3))]
    (line,) = summarise(frame(rows)).itertuples()
    assert line.std_error == pytest.approx(0.2) and math.isnan(line.mc_error)


@pytest.mark.parametrize("value", [-3.54254, 0.1, 1e9])
def test_equal_numbers_have_no_deviation(frame, value):
    (line,) = summarise(frame([row(seed=k, value=value) for k in range(7)])).itertuples()
    assert line.sd == 0 and line.ci_low == line.mean == line.ci_high == pytest.approx(value, rel=1e-15)


def test_an_infinite_value_has_no_spread(frame):
    (line,) = summarise(frame([row(seed=0, value=-math.inf), row(seed=1)])).itertuples()
    assert line.mean == -math.inf and math.isnan(line.sd) and math.isnan(line.ci_low)


def test_a_diverged_seed_counts_wherever_it_does_not_contradict(frame):
    lost = {"seed": 1, "value": None, "status": "diverged", "n_generated": None}
    rows = [row(variant="p=1"), row(variant="p=2"), row(variant="", **lost)]
    assert list(summarise(frame(rows))["n_diverged"]) == [1, 1]
    rows[-1]["variant"] = "p=1"
    assert list(summarise(frame(rows))["n_diverged"]) == [1, 0]


def test_one_group_has_one_bound_and_one_value_per_seed(frame):
    with pytest.raises(UserError, match="column bound has several values"):
        summarise(frame([row(seed=0), row(seed=1, bound="lower")]))
    with pytest.raises(UserError, match="seed 0 appears twice"):
        summarise(frame([row(), row()]))


def test_likelihoods_show_the_error_over_test_examples_too(frame):
    """Seeds share the test examples, so the spread over seeds does not include the error over them."""
    values = [1.0, 1.2, 1.4]
    likelihood = seeds(values, metric="log_likelihood", variant="", std_error=0.3, n_real=50)
    (spread,) = spreads(frame(likelihood))
    assert spread.half_width == pytest.approx(t.ppf(0.975, 2) * 0.2 / math.sqrt(3))
    assert spread.margin == pytest.approx(math.hypot(spread.half_width, t.ppf(0.975, 49) * 0.3))
    (alone,) = spreads(frame(likelihood[:1]))
    assert alone.margin == pytest.approx(t.ppf(0.975, 49) * 0.3)
    (distance,) = spreads(frame(seeds(values, metric="w2", std_error=0.3)))
    assert distance.margin == distance.half_width
