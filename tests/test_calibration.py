"""Checks of estimators: correct estimators hold, deliberate mistakes fail, and the table shows what was unexpected."""

import json
import math
from pathlib import Path

import pytest

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.store import Store
from deepgen_bench.plugins import CHECKS
from deepgen_bench.report.tables.studies import write_study_table
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.study import measure_study
from deepgen_bench.studies.estimators.sensitivity import Sensitivity, SensitivitySettings
from deepgen_bench.studies.result import read_result
from deepgen_bench.studies.study import Context as StudyContext

CONFIG = Path(__file__).parents[1] / "configs" / "calibration.yaml"


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
def test_correct_estimators_hold(check, settings, tmp_path):
    store = store_with(tmp_path, here={"check": check, "tolerance": 0.1, "settings": settings})
    measure_study(store, "calibration", "here")
    rows = read_result(store.study("calibration", "here")).rows
    assert rows and {row.verdict for row in rows} == {"holds"}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_fail(mistake, tmp_path):
    check, settings = MISTAKES[mistake]
    store = store_with(tmp_path, here={"check": check, "tolerance": 0.05, "expect": "fail", "settings": settings})
    measure_study(store, "calibration", "here")
    rows = read_result(store.study("calibration", "here")).rows
    assert rows and {row.verdict for row in rows if row.expected == "fails"} == {"fails"}


def test_the_table_shows_what_was_not_as_expected(tmp_path):
    settings = {"check": "inception_one_hot", "settings": {"n": 1000}}
    store = store_with(
        tmp_path, right={**settings, "tolerance": 0.1}, odd={**settings, "tolerance": 0.1, "expect": "fail"}
    )
    for label in ("right", "odd"):
        measure_study(store, "calibration", label)
    summary = write_study_table("calibration", store.studies("calibration"), tmp_path)
    assert summary == "1 of 2 rows as expected; not: odd"
    text = (tmp_path / "calibration.md").read_text()
    assert "**holds (expected: fails)**" in text and summary in text
    assert len((tmp_path / "calibration.csv").read_text().splitlines()) == 3


def test_an_error_that_is_not_a_number_is_neither_exact_nor_a_failure(tmp_path):
    settings = {"check": "inception_one_hot", "settings": {"n": 1000}}
    store = store_with(tmp_path, odd={**settings, "tolerance": 0.1, "expect": "fail"})
    measure_study(store, "calibration", "odd")
    path = store.study("calibration", "odd")
    result = json.loads(path.read_text())
    rows = [row | {"prediction": 0, "measurement": 1, "std_error": math.nan} for row in result["rows"]]
    path.write_text(json.dumps(result | {"rows": rows}))
    summary = write_study_table("calibration", store.studies("calibration"), tmp_path)
    assert summary == "0 of 1 rows as expected; not: odd"
    assert "exact" not in (tmp_path / "calibration.md").read_text()
    path.write_text(json.dumps(result))
    write_study_table("calibration", store.studies("calibration"), tmp_path)
    assert "exact" in (tmp_path / "calibration.md").read_text()


def test_the_shipped_calibration_uses_every_check():
    experiment = load_experiment(CONFIG)
    assert {study.name for study in experiment.studies["calibration"].values()} == set(CHECKS)


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
            "calibration.here.settings: the model vae is not in this experiment; valid: gaussian, gan",
        ),
        (
            {
                "check": "true_density",
                "tolerance": 1,
                "settings": {"dataset": "sine_mixture", "model": "gan", "seed": 9},
            },
            "calibration.here.settings: the seed 9 is not in this experiment; valid: 0, 1, 2, 3, 4",
        ),
    ],
)
def test_wrong_entries_are_named(entry, message, tmp_path):
    with pytest.raises(UserError) as caught:
        store_with(tmp_path, here=entry)
    assert message in str(caught.value)


def test_no_ranked_metric_prefers_samples_that_vary_too_little():
    """N(0, 0.64 I) in 64 dimensions has more precision and coverage than the truth; no metric that is ranked does."""
    settings = SensitivitySettings(spaces=("gaussian_64",), n=300, n_transport=150, repetitions=5)
    shares = Sensitivity("here", settings, StudyContext(0)).measure().tables["shares"]
    shrunk = [line for line in shares if line["fault"] == "shrunk by 0.8"]
    preferred = {line["metric"] for line in shrunk if line["gaussian_64"] == 0}
    assert preferred >= {"precision", "density", "coverage", "w1", "w2"}
    ranked = {line["metric"]: line["gaussian_64"] for line in shrunk if line["ranked"]}
    assert {"sliced_w2", "mmd", "c2st", "kernel_distance"} <= set(ranked) and min(ranked.values()) >= 0.5
