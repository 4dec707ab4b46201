"""Jobs of the workflow: the records of why they failed, and the manifests that a damaged file invalidates."""

import json
import time

import pytest

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.plan import Plan
from deepgen_bench.experiment.store import Store
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.jobs import folder_job, job
from deepgen_bench.storage.failures import failures_since, read_failure, recorded_failure
from deepgen_bench.storage.files import Damaged, write_digests


@pytest.fixture
def store(tmp_path):
    experiment = {
        "name": "trial",
        "seeds": [0, 7],
        "datasets": {"gaussian_ring": {"budget": 1}, "digits": {"budget": 1}},
        "models": {"gaussian": {}, "vae": {}},
    }
    return Store(load_experiment(experiment), tmp_path / "results")


# records of failures


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("x.yaml: found 3; valid: 1, 2"), "x.yaml: found 3; valid: 1, 2"),
        (ZeroDivisionError("division\n  by zero \x1b[31m"), "ZeroDivisionError: division by zero \\x1b[31m"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(128 + 15), "stopped by SIGTERM"),
        (SystemExit(3), "exit status 3"),
        (SystemExit(255), "exit status 255"),
    ],
)
def test_a_failed_job_records_the_reason_in_one_line(error, reason, store):
    began = time.time() - 1
    with pytest.raises(type(error)), job(store, "measure", "digits", "vae", 1):
        raise error
    path = store.home / "failures" / "measure" / "digits" / "vae_1.json"
    assert json.loads(path.read_text()) == {"reason": reason} and read_failure(path) == reason
    assert list(failures_since(store.home / "failures", began)) == [(path, reason)]
    assert list(failures_since(store.home / "failures", time.time() + 1)) == []


@pytest.mark.parametrize("end", [None, SystemExit(0), SystemExit()])
def test_a_job_that_ends_well_leaves_no_record(end, store):
    record = store.failure("prepare", "digits")
    record.parent.mkdir(parents=True)
    record.write_text('{"reason": "an earlier failure"}')
    try:
        with job(store, "prepare", "digits"):
            # removed at the start, so that a killed job does not seem to have failed for an earlier reason
            assert not record.exists()
            if end:
                raise end
    except SystemExit as error:
        assert error is end
    assert not record.exists() and read_failure(record) == ""


def test_a_record_that_cannot_be_written_does_not_hide_the_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ZeroDivisionError), recorded_failure(tmp_path / "folder" / "record.json"):
        (tmp_path / "folder").write_text("")
        raise ZeroDivisionError


def test_a_file_in_place_of_the_results_folder_is_named_by_the_job(tmp_path):
    (tmp_path / "file").write_text("")
    with recorded_failure(tmp_path / "file" / "failures" / "prepare.json"):
        pass
    with pytest.raises(UserError, match="no folder"), recorded_failure(tmp_path / "file" / "failures" / "prepare.json"):
        raise UserError("no folder")


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"reason"'])
def test_what_is_no_record_has_no_reason(content, tmp_path):
    (tmp_path / "record.json").write_text(content)
    assert read_failure(tmp_path / "record.json") == ""
    assert list(failures_since(tmp_path, 0)) == []


def test_the_workflow_names_each_failed_job_with_its_log(tmp_path, store):
    plan = Plan(store.experiment, store.root)
    plan.begin()
    for labels in (("train", "digits", "vae", 0), ("figures", "digits"), ("aggregate",)):
        with pytest.raises(UserError), job(store, *labels):
            raise UserError(f"{labels[0]} went wrong")
    logs = store.home / "logs"
    assert plan.failures() == [
        f"error: aggregate went wrong ({logs / 'aggregate.log'})\n",
        f"error: figures went wrong ({logs / 'figures' / 'digits.log'})\n",
        f"error: train went wrong ({logs / 'train' / 'digits' / 'vae_0.log'})\n",
    ]


# damaged files


def manifests_and_seals(store):
    """All files that a damaged file may invalidate."""
    paths = [store.data_manifest(dataset) for dataset in store.experiment.datasets]
    paths += [store.extractor_manifest("digits"), store.aggregated, store.home / "metrics.csv"]
    for dataset, model, block, kind in store.parts():
        measurements = store.measurements(dataset, model, block, kind)
        paths += [store.manifest(dataset, model, block), measurements, measurements.with_suffix(".json")]
    paths += [store.figure_data(dataset).with_suffix(suffix) for dataset in ("digits",) for suffix in (".npz", ".json")]
    return sorted(set(paths))


# the damaged file, and what is removed
OWNERS = {
    "data": (lambda s: s.data_dir("digits") / "test.npy", lambda s: s.data_manifest("digits")),
    "a folder of data": (lambda s: s.data_dir("digits"), lambda s: s.data_manifest("digits")),
    "an extractor": (lambda s: s.extractor_dir("digits") / "x.safetensors", lambda s: s.extractor_manifest("digits")),
    "a replicate": (lambda s: s.run_dir("digits", "vae", 7) / "run.json", lambda s: s.manifest("digits", "vae", 1)),
    "a manifest of data": (lambda s: s.data_manifest("digits"), lambda s: s.data_manifest("digits")),
    "a manifest": (lambda s: s.manifest("digits", "vae", 0), lambda s: s.manifest("digits", "vae", 0)),
    "measurements": (
        lambda s: s.measurements("digits", "vae", 1, "sample"),
        lambda s: s.measurements("digits", "vae", 1, "sample").with_suffix(".json"),
    ),
    "vectors": (
        lambda s: s.measurements("digits", "vae", 1, "likelihood").with_suffix(".npz"),
        lambda s: s.measurements("digits", "vae", 1, "likelihood").with_suffix(".json"),
    ),
    "a table": (lambda s: s.home / "metrics.csv", lambda s: s.aggregated),
    "digests of tables": (lambda s: s.aggregated, lambda s: s.aggregated),
    # the rule `report` needs the JSON file alone
    "figure data": (lambda s: s.figure_data("digits").with_suffix(".npz"), lambda s: s.figure_data("digits")),
    "a replicate of other seeds": (lambda s: s.run_dir("digits", "vae", 3) / "run.json", lambda s: None),
    "a file elsewhere": (lambda s: s.root.parent / "weights.pth", lambda s: None),
    "another experiment's table": (lambda s: s.root / "other" / "metrics.csv", lambda s: None),
}


@pytest.mark.parametrize(("damaged", "owner"), OWNERS.values(), ids=OWNERS)
def test_a_damaged_file_invalidates_its_manifest_and_nothing_else(damaged, owner, store):
    every = manifests_and_seals(store)
    for path in every:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    path, removed = damaged(store), owner(store)
    with pytest.raises(UserError) as caught, job(store, "report"):
        raise Damaged(path, "no such file")
    hint = "; run snakemake again to rebuild it" if removed else ""
    assert str(caught.value) == f"{path}: no such file{hint}" == read_failure(store.failure("report"))
    assert [path for path in every if not path.exists()] == ([removed] if removed else [])
    # what is gone already is no other error
    assert store.invalidate(path) == bool(removed)


def test_a_job_of_folders_invalidates_what_is_damaged_in_any_of_them(tmp_path, store):
    Plan(store.experiment, store.root).begin()
    other = tmp_path / "copied"
    other.mkdir()
    for home in (store.home, other):
        (home / "metrics.csv").write_text("a table")
        write_digests(home / "aggregated.json", [home / "metrics.csv"])
    (store.home / "metrics.csv").write_text("something else")
    with pytest.raises(UserError) as caught, folder_job("tables", [store.home, other]):
        pytest.fail("the job ran on a damaged table")
    assert str(caught.value).startswith(f"{store.home / 'metrics.csv'}: ")
    assert str(caught.value).endswith("; run snakemake again to rebuild it")
    assert read_failure(store.home / "failures" / "tables.json") == str(caught.value)
    assert not store.aggregated.exists()
    # a copied folder without its experiment file is of no workflow here: nothing is removed from it
    (other / "metrics.csv").write_text("something else")
    with pytest.raises(Damaged), folder_job("tables", [other]):
        pytest.fail("the job ran on a damaged table")
    assert (other / "aggregated.json").exists()


def test_a_job_of_folders_invalidates_damaged_figure_data(store):
    Plan(store.experiment, store.root).begin()
    figure_data = store.figure_data("digits")
    figure_data.parent.mkdir(parents=True)
    figure_data.touch()
    with pytest.raises(UserError, match="run snakemake again to rebuild it$"), folder_job("report", [store.home]):
        raise Damaged(figure_data.with_suffix(".npz"), "no such file")
    assert not figure_data.exists()
