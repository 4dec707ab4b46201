"""Studies: verdicts, rows, the results file, and independence of their code from experiments and reports."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgen_bench.experiment.identity import closure
from deepgen_bench.plugins import STUDIES
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.studies.result import Result, Words, read_result, write_result
from deepgen_bench.studies.study import Row, mean_row, paired_row

finite = st.floats(-1e6, 1e6)
positive = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("prediction", "measurement", "error", "relation", "verdict"),
    [
        (1.0, 1.02, 0.01, "equal", "holds"),
        (1.0, 0.98, 0.01, "equal", "holds"),
        (1.0, 1.04, 0.01, "equal", "undecided"),
        (1.0, 1.00, 0.03, "equal", "undecided"),
        (1.0, 1.08, 0.01, "equal", "fails"),
        (1.0, 0.92, 0.01, "equal", "fails"),
        (1.0, 0.00, 0.01, "at most", "holds"),
        (1.0, 1.08, 0.01, "at most", "fails"),
        (1.0, 5.00, 0.01, "at least", "holds"),
        (1.0, 0.80, 0.01, "at least", "fails"),
        (1.0, math.nan, 0.01, "equal", "undecided"),
        (1.0, math.nan, 0.0, "at most", "undecided"),
        (1.0, 1.0, math.nan, "equal", "undecided"),
        (1.0, math.inf, 0.0, "at most", "undecided"),
        (None, 3.0, 0.1, "equal", "context"),
    ],
)
def test_verdicts(prediction, measurement, error, relation, verdict):
    assert Row("quantity", "setting", prediction, measurement, error, 0.05, relation).verdict == verdict


@given(finite, finite, positive, positive)
def test_noise_never_turns_a_failure_into_a_success(prediction, measurement, error, tolerance):
    row = Row("quantity", "setting", prediction, measurement, error, tolerance)
    assert row.verdict == Row("quantity", "setting", -prediction, -measurement, error, tolerance).verdict
    if row.verdict == "holds":
        assert abs(measurement - prediction) <= tolerance and 2 * error <= tolerance
    if row.verdict == "fails":
        assert abs(measurement - prediction) > tolerance


def test_a_mean_has_the_error_of_its_replicates():
    row = mean_row("x", "", 2.0, np.array([1.0, 2.0, 3.0]), 0.5)
    assert row.measurement == 2 and row.std_error == pytest.approx(1 / np.sqrt(3)) and row.tolerance == 0.5


def test_paired_values_have_the_error_of_their_difference():
    row = paired_row("x", "", np.array([1.0, 20.0, 300.0]), np.array([2.0, 22.0, 303.0]), "at most")
    assert row.deviation == pytest.approx(2) and row.std_error == pytest.approx(1 / np.sqrt(3))
    assert row.relation == "at most"


def test_a_result_is_read_as_it_was_written(tmp_path):
    rows = [Row("q", "s", None, 0.1, 0.2), Row("q", "s", 1 / 3, 2.0, 1e-17, 0.1, "at least", "fails")]
    words = Words("title", "statement", "source", r"\frac{1}{2}", "text")
    for result in (Result("study", rows, {"t": [{"x": 1.5, "name": "a"}]}, words), Result("study", rows)):
        write_result(tmp_path / "x.json", result)
        assert read_result(tmp_path / "x.json") == result


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"study": "x", "rows": [{"quantity": "q"}]}', "{"])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=r"x\.json: "):
        read_result(tmp_path / "x.json")


def imported_modules(module):
    return {name.removeprefix("deepgen_bench.") for name in closure(module)}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in STUDIES for name in STUDIES[kind]])
def test_the_code_of_a_study_does_not_include_experiments_and_reports(kind, name):
    modules = imported_modules(STUDIES[kind][name].__module__)
    assert {"studies.study", "runtime.seeds"} <= modules
    assert not [module for module in modules if module.split(".")[0] in ("experiment", "report", "stages", "cli")]


def test_no_name_is_both_a_check_and_a_claim():
    assert not set(STUDIES["calibration"]) & set(STUDIES["theory"])
