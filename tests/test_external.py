"""Samples made elsewhere: the same numbers as for a trained model, and as honest a row."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from project import ROOT, Project

from deepgen_bench.datasets.user.files import random_subset, source_digest, source_stamp
from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.store import Store
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.models.external import ONE_SET
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.report.tables.comparison import comparison_tables
from deepgen_bench.stages.aggregate import aggregate
from deepgen_bench.stages.likelihood import measure_likelihood
from deepgen_bench.stages.measure import measure_samples
from deepgen_bench.stages.prepare import open_data, prepare_dataset
from deepgen_bench.stages.train import train_block
from deepgen_bench.storage.results import load_results

RING = {"dataset": "gaussian_ring", "budget": 9, "settings": {"n_train": 300, "n_validation": 100, "n_test": 120}}
DIGITS = {"budget": 9}
# what a measurement says, but for the model and how long it took
SAID = ["dataset", "seed", "metric", "variant", "value", "std_error", "mc_error", "bound", "unit", "direction"]
SAID += ["n_real", "n_generated", "reference_split", "checkpoint", "status", "reason"]


def store_of(folder: Path, datasets: dict[str, Any], models: dict[str, Any], **changes: Any) -> Store:
    """An experiment with its data prepared."""
    experiment = {"name": "mine", "seeds": [0, 1], "device": "cpu", "samples": 200, "likelihood": {"n": 100}}
    experiment |= {"datasets": datasets, "models": models, "metrics": {"fidelity": {"extractors": ["data"]}}}
    store = Store(load_experiment(experiment | changes), folder / "results")
    for dataset in datasets:
        prepare_dataset(store, dataset)
    return store


def run(store: Store, dataset: str, model: str) -> None:
    for stage in (train_block, measure_samples, measure_likelihood):
        stage(store, dataset, model, 0)


def external(samples: Any, **settings: Any) -> dict[str, Any]:
    return {"model": "external", "settings": {"samples": str(samples), **settings}}


def said(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    return rows.loc[rows["model"] == model, SAID].reset_index(drop=True)


# the same samples, the same numbers


def test_exported_samples_of_a_model_score_as_the_model_to_the_bit(tmp_path: Path) -> None:
    metrics = {"fidelity": {"extractors": ["data"]}, "transport": {"n": 100}, "two_sample": {}, "modes": {}}
    metrics |= {"memorisation": {}}
    models = {"flow": {"settings": {"hidden": [8], "transforms": 1}}, "copy": external(tmp_path / "copy_{seed}.npy")}
    likelihoods = {"log_likelihoods": str(tmp_path / "values_{seed}.npz"), "bound": "exact"}
    models["copy"]["settings"] |= likelihoods
    for seed in (0, 1):  # until there are true ones
        np.save(tmp_path / f"copy_{seed}.npy", np.full((9, 2), float(seed)))
        np.savez(tmp_path / f"values_{seed}.npz", np.arange(100.0) + seed)
    store = store_of(tmp_path, {"ring": RING}, models, metrics=metrics)
    run(store, "ring", "flow")
    vectors = np.load(store.measurements("ring", "flow", 0, "likelihood").with_suffix(".npz"))
    for seed in (0, 1):
        samples = np.load(store.run_dir("ring", "flow", seed) / "samples_final.npy")
        np.save(tmp_path / f"copy_{seed}.npy", samples[np.argsort(random_subset(len(samples)))])  # the order is undone
        values = vectors[f"{store.run_id('ring', 'flow', seed)}/log_likelihood_final"]
        np.savez(tmp_path / f"values_{seed}.npz", values)
    run(store, "ring", "copy")
    aggregate(store)
    rows = load_results(store.home)
    final = rows[rows["checkpoint"] == "final"]
    theirs, mine = said(final, "flow"), said(final, "copy")
    theirs["variant"] = theirs["variant"].str.replace("closed_form", "recorded")
    # of training examples nothing was said elsewhere
    on_training_data = (theirs["metric"] == "train_test_gap") | (
        (theirs["metric"] == "log_likelihood") & (theirs["reference_split"] == "train")
    )
    pd.testing.assert_frame_equal(mine, theirs[~on_training_data].reset_index(drop=True), check_exact=True)
    assert {"w2", "c2st", "mode_kl", "copied", "log_likelihood", "log_density_ratio"} <= set(mine["metric"])
    assert (mine["status"] == "ok").all() and mine["seed"].nunique() == 2
    run_of = Replicate(store.run_dir("ring", "copy", 1))
    assert [run_of.info[key] for key in ("steps", "examples", "parameters", "available")] == [None, None, None, 200]


def test_images_in_every_form_are_the_same_samples(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 17, (30, 1, 8, 8)).astype(np.uint8)
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(x):
        Image.fromarray(image[0]).save(tmp_path / "folder" / f"{i:03}.png")
    np.save(tmp_path / "first.npy", x)
    np.savez(tmp_path / "last.npz", x.transpose(0, 2, 3, 1))
    np.savez_compressed(tmp_path / "none.npz", images=x[:, 0])
    names = {"folder": "folder", "first": "first.npy", "last": "last.npz", "none": "none.npz"}
    models = {label: external(tmp_path / name) for label, name in names.items()}
    store = store_of(tmp_path, {"digits": DIGITS}, models, seeds=[0], likelihood=None)
    for label in names:
        train_block(store, "digits", label, 0)
        measure_samples(store, "digits", label, 0)
        kept = Replicate(store.run_dir("digits", label, 0))
        np.testing.assert_array_equal(kept.samples("final", ""), x[random_subset(30)])
        # fewer than the experiment wants: all that there are, and so it says
        assert kept.info["n_samples"] == kept.info["available"] == 30
        kept.check_samples(10**6)
    aggregate(store)
    rows = load_results(store.home)
    assert set(rows.loc[rows["metric"] == "precision", "n_generated"]) == {30}
    for label in names:
        pd.testing.assert_frame_equal(said(rows, label), said(rows, "folder"), check_exact=True)


def test_an_experiment_gets_random_samples_of_the_file_and_more_keep_the_first(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    few = store_of(tmp_path, {"ring": RING}, {"x": external(tmp_path / "x.npy")}, samples=50)
    many = store_of(tmp_path, {"ring": RING}, {"x": external(tmp_path / "x.npy")}, samples=250, name="more")
    for store, n in ((few, 50), (many, 250), (few, 250)):
        train_block(store, "ring", "x", 0)
        kept = Replicate(store.run_dir("ring", "x", 0))
        np.testing.assert_array_equal(kept.samples("final", ""), x[random_subset(300)[:n]].astype(np.float64))
        assert kept.info["n_samples"] == n
    drawn = kept.model("final", "cpu").sample(10, 5)[""]  # as `deepgen-bench sample` does
    np.testing.assert_array_equal(drawn, x[random_subset(300)[:10]].astype(np.float64))


# one set of samples is one replicate


def test_one_set_of_samples_is_one_replicate_and_no_spread(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((150, 2)))
    models = {"gaussian": {}, "gmm": {"settings": {"components": [2]}}, "x": external(tmp_path / "x.npy")}
    store = store_of(tmp_path, {"ring": RING}, models, seeds=[0, 1, 2])
    for model in models:
        run(store, "ring", model)
    aggregate(store)
    rows = load_results(store.home)
    mine = rows[rows["model"] == "x"]
    assert set(mine.loc[mine["value"].notna(), "seed"]) == {0}
    assert set(mine.loc[mine["seed"] > 0, "status"]) == {"not_applicable"}
    for checkpoint in ("final", "best"):
        tables = {table.name: table for table in comparison_tables(rows, checkpoint)}
        for name in ("ring", "ring_sample_size"):
            (row,) = (row for row in tables[name].rows if row[0].text == "x")
            assert [cell.text for cell in row[1:3]] == ["1", "0"]
            assert not any("±" in cell.text for cell in row[3:] if name == "ring_sample_size")
        notes = "\n".join(tables["ring"].notes)
        assert f"n/a (x): {ONE_SET}." in notes


# log-likelihoods


def test_values_of_the_true_density_are_the_oracle_s(tmp_path: Path, command: Any) -> None:
    np.save(tmp_path / "x.npy", np.zeros((9, 2)) + np.arange(9)[:, None])
    np.save(tmp_path / "values.npy", np.arange(100.0))
    given = external(tmp_path / "x.npy", log_likelihoods=str(tmp_path / "values.npy"), bound="estimate")
    store = store_of(tmp_path, {"ring": RING}, {"oracle": {}, "x": given}, seeds=[0])
    (tmp_path / "mine.yaml").write_text(store.experiment.file.model_dump_json())
    place = ("--dataset", "ring", "--results", store.root)
    code, out, _ = command("export", tmp_path / "mine.yaml", *place, "--output", tmp_path / "test.npy")
    assert code == 0 and "float64 (100, 2), ring, test, as stored" in out
    density = store.experiment.dataset("ring").log_prob
    np.save(tmp_path / "values.npy", density(np.load(tmp_path / "test.npy")))
    rows = {}
    for model in ("oracle", "x"):
        run(store, "ring", model)
        found = pd.read_csv(store.measurements("ring", model, 0, "likelihood"))
        rows[model] = found[(found["metric"] == "log_likelihood") & (found["reference_split"] == "test")].iloc[0]
    same = ["value", "std_error", "unit", "n_real", "direction", "status"]
    pd.testing.assert_series_equal(rows["x"][same], rows["oracle"][same], check_names=False)
    assert (rows["oracle"]["bound"], rows["x"]["bound"]) == ("exact", "estimate")
    # nobody knows more than the truth
    np.save(tmp_path / "values.npy", density(np.load(tmp_path / "test.npy")) + 1)
    run(store, "ring", "x")
    found = pd.read_csv(store.measurements("ring", "x", 0, "likelihood"))
    assert set(found["status"]) == {"suspect"}


@pytest.mark.parametrize(("bound", "bits"), [("exact", "exact"), ("lower", "upper"), ("estimate", "estimate")])
def test_of_images_the_representation_and_the_bound_are_said(
    bound: str, bits: str, tmp_path: Path, command: Any
) -> None:
    x = np.random.default_rng(0).integers(0, 17, (30, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    # in the mean as the uniform density on the unit cube: 0 nats, log2(17) bits
    np.save(tmp_path / "zeros.npy", np.tile([1.0, -1.0], 180))
    given = {"log_likelihoods": str(tmp_path / "zeros.npy"), "representation": "dequantised", "bound": bound}
    store = store_of(tmp_path, {"digits": DIGITS}, {"x": external(tmp_path / "x.npy", **given)}, seeds=[0])
    run(store, "digits", "x")
    found = pd.read_csv(store.measurements("digits", "x", 0, "likelihood")).set_index("metric")
    assert list(found.index) == ["log_likelihood", "bits_per_dim"] and set(found["n_real"]) == {100}
    (variant,) = set(found["variant"])
    assert variant == "estimator=recorded;representation=dequantised"
    assert list(found["bound"]) == [bound, bits]
    assert found["value"].tolist() == pytest.approx([0, np.log2(17)])


def test_the_exported_examples_are_those_that_are_measured(tmp_path: Path, command: Any) -> None:
    store = store_of(tmp_path, {"digits": DIGITS}, {"gaussian": {"settings": {"ridge": 1e-3}}}, seeds=[0])
    (tmp_path / "mine.yaml").write_text(store.experiment.file.model_dump_json())
    export = ("export", tmp_path / "mine.yaml", "--dataset", "digits", "--results", store.root)
    export += ("--output", tmp_path / "x.npy")
    assert command(*export)[0] == 0
    test, stored = open_data(store, "digits").split("test"), np.load(tmp_path / "x.npy")
    np.testing.assert_array_equal(stored, test[:100])
    assert command(*export, "--split", "train")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), open_data(store, "digits").split("train"))
    code, _, err = command(*export, "--split", "train", "--representation", "binarised")
    assert (code, err) == (2, "error: --representation: binarised; valid for test images only, not digits, train\n")
    assert command(*export, "--representation", "dequantised")[0] == 0
    x = np.load(tmp_path / "x.npy")
    np.testing.assert_array_equal(np.floor(x * 17).reshape(stored.shape), stored)
    # a model's own values, found again at these points
    run(store, "digits", "gaussian")
    gaussian = Replicate(store.run_dir("digits", "gaussian", 0)).model("final", "cpu")
    vectors = np.load(store.measurements("digits", "gaussian", 0, "likelihood").with_suffix(".npz"))
    (values,) = (vectors[name] for name in vectors if name.endswith("/log_likelihood_final"))
    np.testing.assert_array_equal(gaussian.log_prob(x), values)
    # with more of them, the first have the same noise
    spec = open_data(store, "digits").spec
    for representation in ("dequantised", "binarised"):
        few, many = (HeldOut(test[:n], spec, 0, "digits").represent(representation)[1] for n in (100, 360))
        np.testing.assert_array_equal(few, many[:100])


# what is in the files is what a replicate is


def test_a_replicate_follows_the_content_of_its_files(tmp_path: Path, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "a").mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 17, (8, 8)).astype(np.uint8)).save(tmp_path / "a" / f"{i:02}.png")

    def trained(folder: str) -> tuple[int, int]:
        """When the replicate, and what was measured of it, were written."""
        store = store_of(tmp_path, {"digits": DIGITS}, {"x": external(tmp_path / folder)}, seeds=[0], likelihood=None)
        train_block(store, "digits", "x", 0)
        measure_samples(store, "digits", "x", 0)
        home = store.run_dir("digits", "x", 0)
        (measured,) = (home / "measurements").glob("fidelity-*.json")
        return (home / "run.json").stat().st_mtime_ns, measured.stat().st_mtime_ns

    before, stamp, content = trained("a"), source_stamp(tmp_path / "a"), source_digest(tmp_path / "a")
    for file in (tmp_path / "a").iterdir():
        os.utime(file)
    assert source_stamp(tmp_path / "a") != stamp and source_digest(tmp_path / "a") == content
    assert trained("a") == before
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert trained("b") == before
    capsys.readouterr()
    (tmp_path / "b" / "00.png").rename(tmp_path / "b" / "99.png")  # now the last one
    after = trained("b")
    assert after[0] > before[0] and after[1] > before[1]
    assert "digits/x seed 0: sources changed" in capsys.readouterr().err


def test_the_workflow_reads_changed_files_again_and_no_others(empty: Project) -> None:
    folder = empty.folder
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        np.save(folder / f"{name}.npy", rng.standard_normal((60, 2)))
    ring = RING | {"models": {"x": {"samples": "x.npy"}, "y": {"samples": "y.npy"}}}
    changes = {"name": "mine", "seeds": [0], "datasets": {"ring": ring}, "metrics": {"modes": {}}, "likelihood": None}
    config = empty.variant(**changes, models={"x": {"model": "external"}, "y": {"model": "external"}})
    empty.run(config=config)
    assert empty.plan(config=config)[0] == {}
    runs = empty.files("runs/*/*/*/*/run.json")
    np.save(folder / "x.npy", rng.standard_normal((60, 2)))
    jobs, output = empty.plan(config=config)
    assert jobs == {"train": 1, "measure": 1, "figures": 1, "aggregate": 1, "tables": 1, "report": 1}
    assert re.findall(r"output: results/mine/train/ring/(\w)/", output) == ["x"]
    empty.run(config=config)
    changed = {path.parts[3] for path, time in empty.files("runs/*/*/*/*/run.json").items() if runs[path] != time}
    assert changed == {"x"}
    (folder / "y.npy").unlink()
    done = empty.snakemake("--dry-run", "--configfile", config)
    assert done.stdout.splitlines()[-1] == "error: models.y on datasets.ring: samples: y.npy: no such file or folder"


def test_it_needs_no_torch(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((60, 2)))
    store = store_of(tmp_path, {"ring": RING}, {"x": external(tmp_path / "x.npy")}, device="auto")
    (tmp_path / "mine.yaml").write_text(store.experiment.file.model_dump_json())
    code = f"""
        import sys
        from pathlib import Path
        from deepgen_bench.experiment.load import load_experiment
        from deepgen_bench.stages.likelihood import measure_likelihood
        from deepgen_bench.stages.train import train_block
        from deepgen_bench.experiment.store import Store

        store = Store(load_experiment(Path({str(tmp_path / "mine.yaml")!r})), Path({str(store.root)!r}))
        train_block(store, "ring", "x", 0)
        measure_likelihood(store, "ring", "x", 0)
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    assert Replicate(store.run_dir("ring", "x", 0)).info["platform"]["device"] == "cpu"


# the document


def test_the_example_in_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "external.md").read_text()
    for name, content in re.findall(r"```\w+\n# (\S+\.\w+)\n(.*?)```", text, re.DOTALL):
        Path(name).write_text(content)
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    (commands,) = (block for block in blocks if "deepgen-bench export" in block)
    for line in commands.splitlines():
        if line.startswith("snakemake"):
            continue
        words = line.split("#")[0].split()
        arguments = words[1:] if words[0] == "python" else ["-m", "deepgen_bench", *words[1:]]
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stderr)
    store = Store(load_experiment(Path("mine.yaml")))
    run(store, "gaussian_ring", "mine")
    rows = pd.read_csv(store.measurements("gaussian_ring", "mine", 0, "likelihood"))
    assert set(rows["status"]) == {"ok"} and set(rows["seed"]) == {0, 1, 2}
