"""The stage that trains a block: what it opens, what it trains anew and what it leaves, on real files."""

import json
import shutil

import numpy as np
import pytest

from deepgen_bench.config import load_experiment
from deepgen_bench.datasets.prepared import prepare
from deepgen_bench.errors import UserError
from deepgen_bench.results import read_rows
from deepgen_bench.runs import Run
from deepgen_bench.stages.measure import measure_likelihood, measure_samples
from deepgen_bench.stages.prepare import prepare_dataset
from deepgen_bench.stages.sample import sample_run
from deepgen_bench.stages.train import train_block
from deepgen_bench.store import Store

NETWORK = {"hidden": [16], "batch_size": 16}


def store(root, dataset="digits", model="gan", seeds=(0, 1), **settings):
    return Store(
        load_experiment(
            {
                "name": "small",
                "device": "cpu",
                "seeds": list(seeds),
                "samples": 40,
                "datasets": {dataset: {"budget": 160}},
                "models": {model: {"settings": {**NETWORK, **settings} if model not in ("gaussian", "oracle") else {}}},
                "metrics": {"transport": {"n": 40}},
                "likelihood": {"k": [1, 5], "n": 20},
            }
        ),
        root,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two replicates of a GAN on digits, trained without a test split."""
    root = tmp_path_factory.mktemp("trained")
    made = store(root)
    prepare_dataset(made, "digits")
    (made.data_dir("digits") / "test.npy").unlink()
    train_block(made, "digits", "gan", 0)
    return root


@pytest.fixture
def root(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "results")


def stamps(made):
    return {
        seed: (made.run_dir("digits", "gan", seed) / "run.json").stat().st_mtime_ns for seed in made.experiment.seeds
    }


def test_training_needs_no_test_split_and_leaves_what_it_says(root):
    made = store(root)
    assert not (made.data_dir("digits") / "test.npy").exists()
    manifest = json.loads(made.manifest("digits", "gan", 0).read_text())
    assert [(entry["seed"], entry["status"]) for entry in manifest] == [(0, "ok"), (1, "ok")]
    for entry in manifest:
        run = Run(root / "runs" / entry["run"])
        assert run.info["digest"] == entry["digest"] and run.info["seed"] == entry["seed"]
        assert (run.info["steps"], run.info["examples"]) == (10, 160)
        assert run.checkpoints == ["best", "final"] and run.samples("final", "").shape == (40, 1, 8, 8)
        assert len((run.directory / "curves.csv").read_text().splitlines()) == 11
        assert run.info["platform"]["threads"] == 1 and run.info["block_peak_memory_mb"]["host"] > 0
    with pytest.raises(UserError, match="no checkpoint 'first'; valid: best, final"):
        run.state("first")


def test_what_is_trained_is_not_trained_again(root):
    made = store(root)
    before = stamps(made)
    train_block(made, "digits", "gan", 0)
    assert stamps(made) == before


def test_a_seed_is_added_without_training_the_others(root):
    made, before = store(root, seeds=(0, 1, 2)), stamps(store(root))
    train_block(made, "digits", "gan", 0)
    after = stamps(made)
    assert {seed: after[seed] for seed in before} == before
    # and it is what it would have been from the start, beside the others
    alone = Run(made.run_dir("digits", "gan", 2)).info["digest"]
    shutil.rmtree(root / "runs")
    train_block(made, "digits", "gan", 0)
    assert Run(made.run_dir("digits", "gan", 2)).info["digest"] == alone


@pytest.mark.parametrize("file", ["samples_final.npy", "best.safetensors", "run.json"])
def test_a_replicate_that_lost_a_file_is_trained_anew(root, file, capsys):
    made = store(root)
    before, digest = stamps(made), Run(made.run_dir("digits", "gan", 1)).info["digest"]
    (made.run_dir("digits", "gan", 1) / file).unlink()
    train_block(made, "digits", "gan", 0)
    after = stamps(made)
    assert after[0] == before[0] and after[1] != before[1]
    assert Run(made.run_dir("digits", "gan", 1)).info["digest"] == digest
    assert ("not trained yet" if file == "run.json" else f"{file} is gone") in capsys.readouterr().err


def test_other_data_under_the_same_name_are_trained_on_anew(root, capsys):
    made = store(root)
    before = stamps(made)
    prepare(made.experiment.dataset("digits"), 1, made.data_dir("digits"))
    train_block(made, "digits", "gan", 0)
    assert all(stamps(made)[seed] != before[seed] for seed in before)
    assert capsys.readouterr().err.count("data digest changed") == 2


def test_damaged_samples_are_refused(root):
    made = store(root)
    path = made.run_dir("digits", "gan", 0) / "samples_best.npy"
    np.save(path, np.zeros((40, 1, 8, 8), np.uint8))
    with pytest.raises(UserError, match="samples_best.npy: does not match its sha256"):
        Run(path.parent).samples("best", "")


def test_a_diverged_replicate_stays_in_the_tables_without_a_value(tmp_path, capsys):
    made = store(tmp_path, "gaussian_ring", "vae", learning_rate=1e30)
    prepare_dataset(made, "gaussian_ring")
    train_block(made, "gaussian_ring", "vae", 0)
    stamp = (made.run_dir("gaussian_ring", "vae", 0) / "run.json").stat().st_mtime_ns
    train_block(made, "gaussian_ring", "vae", 0)
    assert (made.run_dir("gaussian_ring", "vae", 0) / "run.json").stat().st_mtime_ns == stamp
    assert "seed 0: diverged, loss not finite at step" in capsys.readouterr().err
    measure_samples(made, "gaussian_ring", "vae", 0)
    measure_likelihood(made, "gaussian_ring", "vae", 0)
    for kind in ("sample", "likelihood"):
        rows = read_rows(made.measurements("gaussian_ring", "vae", 0, kind))
        assert set(rows["seed"]) == {0, 1} and set(rows["checkpoint"]) == {"final", "best"}
        assert set(rows["status"]) == {"diverged"} and rows["value"].isna().all()
        assert rows["reason"].str.startswith("loss not finite at step").all()


@pytest.mark.parametrize("model", ["oracle", "gaussian", "vae"])
def test_a_block_is_measured_once(tmp_path, model):
    made = store(tmp_path, "gaussian_ring", model)
    prepare_dataset(made, "gaussian_ring")
    train_block(made, "gaussian_ring", model, 0)
    for measure, kind in ((measure_samples, "sample"), (measure_likelihood, "likelihood")):
        measure(made, "gaussian_ring", model, 0)
        path = made.measurements("gaussian_ring", model, 0, kind)
        first = path.read_bytes()
        rows = read_rows(path)
        assert set(rows["seed"]) == {0, 1} and set(rows["status"]) <= {"ok", "not_applicable"}
        assert rows.loc[rows["status"] == "ok", "value"].notna().all()
        kept = sorted(tmp_path.glob("runs/**/measurements/*"))
        times = [file.stat().st_mtime_ns for file in kept]
        path.unlink()
        measure(made, "gaussian_ring", model, 0)
        assert path.read_bytes() == first and [file.stat().st_mtime_ns for file in kept] == times


def test_samples_of_a_trained_replicate_as_picture_and_array(root, tmp_path):
    from PIL import Image

    directory = store(root).run_dir("digits", "gan", 0)
    said = sample_run(directory, 9, tmp_path / "grid.png", "final", 0, draw=False)
    assert said == f"{tmp_path / 'grid.png'}: 9 samples of {directory}, checkpoint final"
    assert Image.open(tmp_path / "grid.png").size[0] >= 256
    sample_run(directory, 9, tmp_path / "x.npy", "best", 0, draw=False)
    assert np.load(tmp_path / "x.npy").shape == (9, 1, 8, 8)
    with pytest.raises(UserError, match="--output: .*x.txt; valid: a name that ends in .png or .npy"):
        sample_run(directory, 9, tmp_path / "x.txt", "best", 0, draw=False)
