"""The tidy table: strict to read and to write, and safe to merge."""

import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidy_rows import INCEPTION, row, seeds

from deepgen_bench.report.data.summary import aggregate
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.results import COLUMNS, load_results, read_rows, write_rows

letters = st.characters(exclude_categories=("C", "Z"), exclude_characters="/\\.")
names = st.text(letters | st.just(" "), min_size=1, max_size=12)
floats = st.floats(allow_nan=False)
tidy_rows = st.builds(
    row,
    experiment=names,
    model=names,
    seed=st.integers(0, 2**62),
    variant=st.sampled_from(["", "p=2", INCEPTION, "K=5;output=mean"]),
    value=floats,
    std_error=st.none() | st.floats(0, 1e300),
    n_real=st.none() | st.integers(1, 2**62),
    reason=st.sampled_from(["", "a, \"quoted\" 'reason'; with — signs", "NA"]),
    seconds=st.none() | st.floats(0, 1e9),
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(tidy_rows, max_size=4))
def test_every_bit_survives_the_file(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("round_trip") / "metrics.csv"
    write_rows(path, rows)
    table = read_rows(path)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == COLUMNS
    for i, expected in enumerate(rows):
        for name, value in expected.items():
            found = table.at[i, name]
            assert pd.isna(found) if value is None else found == value
    assert path.read_text() == table.to_csv(index=False, lineterminator="\n")


def test_a_line_break_in_a_reason_becomes_a_space(frame):
    assert frame([row(reason="first\nsecond\r\nthird")]).at[0, "reason"] == "first second third"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"seed": -1}, "column seed, row 2: found .*-1.*valid: a whole number from 0"),
        ({"seed": None}, "column seed, row 2: found nothing"),
        ({"seed": 1.5}, "column seed, row 2: found 1.5, valid: a whole number"),
        ({"n_real": 0}, "column n_real, row 2"),
        ({"value": None}, "column value, row 2: found nothing, valid: a number where status is ok"),
        ({"value": "many"}, "column value, row 2: found 'many', valid: a number"),
        ({"std_error": -0.1}, "column std_error, row 2"),
        ({"status": "fine"}, "column status, row 2: found 'fine', valid: ok, diverged, not_applicable"),
        ({"checkpoint": ""}, "column checkpoint, row 2: found '', valid: final, best"),
        ({"model": ""}, "column model, row 2: found '', valid: a name"),
        ({"variant": "p=2;K=5"}, "column variant, row 2: found 'p=2;K=5', valid: key=value;… with sorted keys"),
        ({"variant": "p"}, "column variant, row 2"),
        ({"fid": 3}, "unknown column 'fid'; valid: experiment, dataset"),
    ],
)
def test_an_impossible_value_names_file_column_and_row(tmp_path, cells, message):
    path = tmp_path / "metrics.csv"
    with pytest.raises(UserError, match=f"{path}: {message}") as error:
        write_rows(path, [row(**dict.fromkeys(cells.keys() - COLUMNS.keys(), 1)), row(**cells)])
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace("std_error,", "", 1), "row 1 has 23 cells, the header has 22 columns"),
        (lambda text: text.replace("std_error", "error", 1), "column std_error is missing"),
        (lambda text: text.replace("std_error", "value", 1), "a column appears twice"),
        (lambda text: text.replace("demo", '"demo', 1), "not a readable CSV file"),
        (lambda text: text.replace("1.0", "1.0.0", 1), "column value, row 1: found '1.0.0', valid: a number"),
        (lambda text: text.replace(",0,w2", ",0.5,w2", 1), "column seed, row 1: found '0.5', valid: a whole number"),
        (lambda text: "", "column experiment is missing"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, edit, message):
    path = tmp_path / "metrics.csv"
    write_rows(path, [row()])
    assert edit(path.read_text()) != path.read_text()
    path.write_text(edit(path.read_text()))
    with pytest.raises(UserError, match=f"{path}: {message}"):
        read_rows(path)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(UserError, match="nothing.csv: no such file"):
        load_results(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="no metrics.csv in this folder"):
        load_results(tmp_path)
    with pytest.raises(UserError, match="no path given"):
        load_results()


def test_folders_of_two_machines_merge(tmp_path):
    write_rows(tmp_path / "a" / "demo" / "metrics.csv", [row(seed=0), row(seed=1, value=2.0)])
    write_rows(tmp_path / "a" / "other" / "metrics.csv", [row(experiment="other")])
    again = row(seed=1, value=2.0, seconds=9.0, device="cuda")
    write_rows(tmp_path / "b" / "metrics.csv", [again, row(seed=2, run_id="settings/seed_2")])
    merged = load_results(tmp_path / "a", str(tmp_path / "b"))
    assert list(zip(merged["experiment"], merged["seed"], strict=True)) == [
        *(("demo", 0), ("demo", 1), ("other", 0), ("demo", 2))
    ]
    assert merged.at[1, "seconds"] == 0.5  # of the same measurement the first is kept


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"value": 1.0000001, "device": "cuda"},
            "duplicate measurement: .*seed 0.* 1.0 .*a.csv and 1.0000001 .*b.csv",
        ),
        ({"value": None, "status": "diverged"}, "duplicate measurement: .*nan \\(diverged\\) in .*b.csv"),
        (
            {"seed": 1, "run_id": "changed"},
            "run_id of demo / digits / gan: 'settings' in .*a.csv and 'changed' in",
        ),
        (
            {"seed": 1, "protocol_version": "2"},
            "protocol_version of demo / digits / w2: '1' in .* and '2' in .*b.csv",
        ),
    ],
)
def test_results_that_contradict_each_other_do_not_merge(tmp_path, other, message):
    write_rows(tmp_path / "a.csv", [row()])
    write_rows(tmp_path / "b.csv", [row(**other)])
    with pytest.raises(UserError, match=message):
        load_results(tmp_path / "a.csv", tmp_path / "b.csv")


def test_aggregate_keeps_the_order_of_the_parts_and_refuses_repeats(tmp_path):
    parts = [tmp_path / "part_b.csv", tmp_path / "part_a.csv"]
    write_rows(parts[0], seeds([3.0, 1.0], model="wgan"))
    write_rows(parts[1], seeds([2.0, 0.1], model="gan"))
    aggregate(parts, tmp_path / "demo")
    assert list(load_results(tmp_path / "demo")["value"]) == [3.0, 1.0, 2.0, 0.1]
    summary = pd.read_csv(tmp_path / "demo" / "summary.csv")
    assert list(summary["model"]) == ["wgan", "gan"] and list(summary["mean"]) == [2.0, 1.05]
    with pytest.raises(UserError, match="duplicate measurement"):
        aggregate([parts[0], parts[0]], tmp_path / "twice")
    with pytest.raises(UserError, match="no measurement files"):
        aggregate([], tmp_path / "none")


def test_a_measuring_job_imports_no_pandas():
    """A third of a second; scikit-learn, which some need, imports it too."""
    script = "import sys, deepgen_bench.stages.measure; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
