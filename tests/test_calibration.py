"""Checks against known truth: how they are judged, that right estimators pass them, and that mistakes do not."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.store import Store
from deepgen_bench.plugins import CHECKS
from deepgen_bench.report.tables.calibration import write_calibration
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.calibrate import calibrate
from deepgen_bench.studies.estimators.check import Line, judge

CONFIG = Path(__file__).parents[1] / "configs" / "calibration.yaml"
finite = st.floats(-1e6, 1e6)
positive = st.floats(0, 1e6)


def line(truth, estimate, error, relation="equal"):
    return Line("estimator", "setting", truth, estimate, error, relation)


@pytest.mark.parametrize(
    ("estimate", "error", "relation", "verdict"),
    [
        (1.02, 0.01, "equal", "pass"),
        (0.98, 0.01, "equal", "pass"),
        (1.04, 0.01, "equal", "undecided"),
        (1.00, 0.03, "equal", "undecided"),
        (1.08, 0.01, "equal", "fail"),
        (0.92, 0.01, "equal", "fail"),
        (0.00, 0.01, "at most", "pass"),
        (1.08, 0.01, "at most", "fail"),
        (math.nan, 0.01, "equal", "undecided"),
        (1.0, math.nan, "equal", "undecided"),
    ],
)
def test_verdicts(estimate, error, relation, verdict):
    assert judge(line(1.0, estimate, error, relation), 0.05) == verdict


@given(finite, finite, positive, positive)
def test_noise_never_turns_a_fail_into_a_pass(truth, estimate, error, tolerance):
    verdict = judge(line(truth, estimate, error), tolerance)
    assert verdict == judge(line(-truth, -estimate, error), tolerance)
    if verdict == "pass":
        assert abs(estimate - truth) <= tolerance and 2 * error <= tolerance
    if verdict == "fail":
        assert abs(estimate - truth) > tolerance


def store_with(tmp_path, **calibration):
    experiment = {
        "name": "demo",
        "datasets": {"sine_mixture": {"budget": 1}},
        "models": {"gaussian": {}, "gan": {}},
        "calibration": calibration,
    }
    return Store(load_experiment(experiment), tmp_path)


SMALL = [
    ("linear_gaussian_vae", {"k": [1, 20, 400], "n": 100}),
    ("linear_gaussian_decoder", {"n": 60}),
    ("linear_gaussian_decoder", {"estimator": "ais", "latent_dim": 2, "n": 100}),
    ("linear_gaussian_decoder", {"estimator": "bounds", "latent_dim": 2, "n": 40}),
    ("wasserstein_1d", {"n": 20_000}),
    ("translation", {"n": 50, "dim": 3}),
    ("transport_solver", {"n": 200}),
    ("gaussian_transport", {"statistic": "centred", "n": [200], "shift": 0.3, "replications": 10}),
    ("frechet_gaussian", {"statistic": "infinity", "n": [800], "dim": 4}),
    ("kernel_null", {"n": 200, "dim": 4}),
    ("inception_one_hot", {"n": 1000}),
    ("precision_recall", {"fault": "collapsed", "n": 500}),
]
MISTAKES = {
    "constant": ("linear_gaussian_vae", {"mistake": "constant", "n": 50, "k": [1, 10]}),
    "k_off_by_one": ("linear_gaussian_vae", {"mistake": "k_off_by_one", "n": 50, "k": [5]}),
    "log_averaged": ("linear_gaussian_vae", {"mistake": "log_averaged", "encoder_sd": 1.5, "n": 50, "k": [1, 10]}),
    "stopped": ("transport_solver", {"n": 1000, "iterations": 500}),
    "biased": ("gaussian_transport", {"statistic": "oracle", "n": [50, 100], "replications": 5}),
    "finite": ("frechet_gaussian", {"statistic": "plug_in", "n": [100], "replications": 5}),
    "parzen": ("parzen_gaussian", {"dim": 16, "n": 200}),
    "misranked": ("parzen_gaussian", {"statistic": "ranking", "scale": 0.7, "dim": 16, "n": 200}),
    "swapped": ("precision_recall", {"fault": "collapsed", "n": 300, "swapped": True, "replications": 5}),
}


@pytest.mark.parametrize(("check", "settings"), SMALL)
def test_right_estimators_pass(check, settings, tmp_path):
    store = store_with(tmp_path, here={"check": check, "tolerance": 0.1, "settings": settings})
    calibrate(store, "here")
    rows = json.loads(store.calibration("here").read_text())
    assert rows and {row["verdict"] for row in rows} == {"pass"}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_caught(mistake, tmp_path):
    check, settings = MISTAKES[mistake]
    store = store_with(tmp_path, here={"check": check, "tolerance": 0.05, "expect": "fail", "settings": settings})
    calibrate(store, "here")
    rows = json.loads(store.calibration("here").read_text())
    assert rows and {row["verdict"] for row in rows if row["expected"] == "fail"} == {"fail"}


def test_the_table_says_what_was_not_as_expected(tmp_path):
    settings = {"check": "inception_one_hot", "settings": {"n": 1000}}
    store = store_with(
        tmp_path, right={**settings, "tolerance": 0.1}, odd={**settings, "tolerance": 0.1, "expect": "fail"}
    )
    for name in ("right", "odd"):
        calibrate(store, name)
    said = write_calibration([store.calibration(name) for name in ("right", "odd")], tmp_path)
    assert said == "1 of 2 lines as expected; not: odd"
    text = (tmp_path / "calibration.md").read_text()
    assert "**pass (fail expected)**" in text and said in text
    assert len((tmp_path / "calibration.csv").read_text().splitlines()) == 3


def test_what_is_not_a_number_is_neither_exact_nor_a_mistake_caught(tmp_path):
    settings = {"check": "inception_one_hot", "settings": {"n": 1000}}
    store = store_with(tmp_path, odd={**settings, "tolerance": 0.1, "expect": "fail"})
    calibrate(store, "odd")
    rows = json.loads(store.calibration("odd").read_text())
    spoilt = [row | {"std_error": math.nan, "verdict": judge(line(0, 1, math.nan), 0.1)} for row in rows]
    store.calibration("odd").write_text(json.dumps(spoilt))
    assert write_calibration([store.calibration("odd")], tmp_path) == "0 of 1 lines as expected; not: odd"
    assert "exact" not in (tmp_path / "calibration.md").read_text()
    store.calibration("odd").write_text(json.dumps(rows))
    write_calibration([store.calibration("odd")], tmp_path)
    assert "exact" in (tmp_path / "calibration.md").read_text()


def test_the_shipped_calibration_uses_every_check():
    experiment = load_experiment(CONFIG)
    assert {entry.check or name for name, entry in experiment.calibration.items()} == set(CHECKS)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"check": "no_such", "tolerance": 1}, "calibration.here.check: unknown check 'no_such'"),
        ({"check": "translation"}, "calibration.here.tolerance: field required"),
        ({"check": "translation", "tolerance": -1}, "calibration.here.tolerance: "),
        (
            {"check": "translation", "tolerance": 1, "settings": {"dims": 2}},
            "calibration.here.settings.dims: unknown key; valid: dim, n, offset, shift",
        ),
        (
            {"check": "trained_vae", "tolerance": 1, "settings": {"dataset": "sine_mixture", "model": "vae"}},
            "calibration.here.settings.model: vae: not in this experiment; valid: gaussian, gan",
        ),
    ],
)
def test_wrong_entries_are_named(entry, message, tmp_path):
    with pytest.raises(UserError) as caught:
        store_with(tmp_path, here=entry)
    assert message in str(caught.value)
