"""The stage that trains a block: what it opens, what it trains anew and what it leaves, on real files."""

import shutil

import numpy as np
import pytest
from project import changed

from deepgen_bench.datasets.prepared import prepare
from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.store import Store
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.aggregate import aggregate, mend
from deepgen_bench.stages.figures import write_figures
from deepgen_bench.stages.measure import STAGES, Block, measure_likelihood, measure_samples
from deepgen_bench.stages.prepare import prepare_dataset
from deepgen_bench.stages.sample import sample_run
from deepgen_bench.stages.train import train_block
from deepgen_bench.storage.figure_data import read_figure_data
from deepgen_bench.storage.files import read_sealed
from deepgen_bench.storage.results import read_rows


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "a flipped bit": flip_a_bit,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}
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
    manifest = read_sealed(made.manifest("digits", "gan", 0))["replicates"]
    assert [(entry["seed"], entry["status"]) for entry in manifest] == [(0, "ok"), (1, "ok")]
    for entry in manifest:
        run = Replicate(root / "runs" / entry["run"])
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
    alone = Replicate(made.run_dir("digits", "gan", 2)).info["digest"]
    shutil.rmtree(root / "runs")
    train_block(made, "digits", "gan", 0)
    assert Replicate(made.run_dir("digits", "gan", 2)).info["digest"] == alone


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".npy", ".safetensors")}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
@pytest.mark.parametrize("file", ["samples_final.npy", "best.safetensors", "run.json"])
@pytest.mark.parametrize("stage", [train_block, measure_samples])
def test_what_is_damaged_in_a_replicate_is_named_and_made_anew(root, stage, file, damage, capsys):
    made = store(root)
    folder = made.run_dir("digits", "gan", 1)
    whole = (folder / file).read_bytes()
    before, files, weights = stamps(made), content(folder), (folder / "final.safetensors").stat().st_mtime_ns
    DAMAGES[damage](folder / file)
    stage(made, "digits", "gan", 0)
    assert (folder / file).is_file() and content(folder) == files
    assert stamps(made)[0] == before[0] and stamps(made)[1] != before[1]
    # lost samples are drawn again from what was trained
    assert ((folder / "final.safetensors").stat().st_mtime_ns == weights) == (file == "samples_final.npy")
    said = capsys.readouterr().err
    if damage == "gone":
        assert f"{folder / file}: no such file" in said or "seed 1: not trained yet" in said
    else:
        assert f"{folder / file}: " in said and ("damaged" in said or "not valid JSON" in said)
        assert whole


def test_other_data_under_the_same_name_are_trained_on_anew(root, capsys):
    made = store(root)
    before = stamps(made)
    prepare(made.experiment.dataset("digits"), 1, made.data_dir("digits"))
    train_block(made, "digits", "gan", 0)
    assert all(stamps(made)[seed] != before[seed] for seed in before)
    assert capsys.readouterr().err.count("data digest changed") == 2


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_damaged_data_are_named_and_prepared_anew(root, damage, capsys):
    made = store(root)
    prepare_dataset(made, "digits")  # with the test split
    folder = made.data_dir("digits")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in ("test.npy", "dataset.json"):
        DAMAGES[damage](folder / name)
        measure_samples(made, "digits", "gan", 0)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
        assert f"{folder / name}: " in capsys.readouterr().err


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_damaged_measurements_are_named_and_measured_anew(tmp_path, damage, capsys):
    made = store(tmp_path, "gaussian_ring", "vae", latent_dim=2)
    train_block(made, "gaussian_ring", "vae", 0)
    for measure in STAGES.values():
        measure(made, "gaussian_ring", "vae", 0)
    aggregate(made)
    tables = {name: (made.home / name).read_bytes() for name in ("metrics.csv", "summary.csv", "paired.csv")}
    # the experiment's own files first: they are made of those in the store
    kept = [*sorted(made.home.glob("measurements/**/*.*"))[::-1], *tmp_path.glob("runs/**/measurements/*")]
    assert {path.suffix for path in kept} == {".csv", ".json", ".npz"} and len(kept) == 11
    contents = {path: path.read_bytes() for path in kept}
    for path in kept:
        DAMAGES[damage](path)
        capsys.readouterr()
        if damage == "gone" and path.suffix == ".csv":
            with pytest.raises(UserError, match=f"{path}: no such file; --partial makes tables of what there is"):
                aggregate(made)
            STAGES[path.stem.split("_")[0]](made, "gaussian_ring", "vae", 0)
            continue
        if path.is_relative_to(made.home):
            aggregate(made)
        else:
            STAGES[path.name.split("-")[0].replace("transport", "sample")](made, "gaussian_ring", "vae", 0)
        said = capsys.readouterr().err
        # of what the store keeps to save work, what is gone is not there yet
        assert f"{path}: " in said or damage == "gone" and not path.is_relative_to(made.home)
        assert path.suffix == ".json" or path.read_bytes() == contents[path], path
    aggregate(made)
    rows = read_rows(made.home / "metrics.csv").drop(columns="seconds")
    (tmp_path / "before.csv").write_bytes(tables["metrics.csv"])
    assert rows.equals(read_rows(tmp_path / "before.csv").drop(columns="seconds"))
    assert (made.home / "paired.csv").read_bytes() == tables["paired.csv"]
    (made.home / "experiment.json").write_text(made.experiment.file.model_dump_json())
    tables = {path: path.read_bytes() for path in (made.home / name for name in [*tables, "aggregated.json"])}
    for path in tables if damage != "gone" else list(tables)[:3]:
        DAMAGES[damage](path)
        mend(made.home)
        assert f"{path}: " in capsys.readouterr().err
        assert {path: path.read_bytes() for path in tables} == tables


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
    write_figures(made, "gaussian_ring")
    info, _ = read_figure_data(made.figure_data("gaussian_ring"))
    columns = info["models"]["vae"]["curves"]["0"]
    assert all(np.isfinite(values).all() for values in columns.values())


def test_data_of_another_experiment_s_files_under_the_same_name_are_not_measured(tmp_path):
    """The folders are shared, as a file may be moved; what lies in them is not taken for one's own."""
    for name, low in (("a", 0), ("b", 200)):
        images = np.random.default_rng(0).integers(low, low + 50, (60, 1, 8, 8), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=images)
    stores = {}
    for name in "ab":
        experiment = store(tmp_path / "results", model="gaussian").experiment.file.model_dump(mode="json")
        data = {"mine": {"dataset": "npz", "budget": 1, "settings": {"path": str(tmp_path / f"{name}.npz")}}}
        changes = {"name": name, "datasets": data, "metrics": {"modes": {}}}
        changes |= {"models": {"gaussian": {"settings": {"ridge": 1.0e-3}}}}
        stores[name] = Store(load_experiment(experiment | changes), tmp_path / "results")
        prepare_dataset(stores[name], "mine")
        train_block(stores[name], "mine", "gaussian", 0)
    assert stores["a"].data_dir("mine") == stores["b"].data_dir("mine")
    for name, low in (("a", 0), ("b", 200)):
        block = Block(stores[name], "mine", "gaussian", 0)
        assert low <= block.prepared.split("test").mean() < low + 50
        assert low - 25 <= block.runs[0].samples("final", "").mean() < low + 75


def test_fewer_samples_are_measured_anew_although_nothing_is_trained(tmp_path):
    made = store(tmp_path, model="gaussian")
    prepare_dataset(made, "digits")
    train_block(made, "digits", "gaussian", 0)
    manifest = made.manifest("digits", "gaussian", 0)
    before = manifest.read_bytes()
    train_block(made, "digits", "gaussian", 0)
    assert manifest.read_bytes() == before
    fewer = Store(changed(made.experiment, {"samples": 30}), tmp_path)
    train_block(fewer, "digits", "gaussian", 0)
    assert manifest.read_bytes() != before


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


def test_a_last_checkpoint_that_is_the_best_is_annealed_too(tmp_path):
    made = store(tmp_path, model="vae", latent_dim=3)
    prepare_dataset(made, "digits")
    train_block(made, "digits", "vae", 0)
    digests = [Replicate(made.run_dir("digits", "vae", seed)).info["checkpoints"] for seed in (0, 1)]
    assert digests[0]["best"] == digests[0]["final"]
    measure_likelihood(made, "digits", "vae", 0)
    rows = read_rows(made.measurements("digits", "vae", 0, "likelihood"))
    annealed = rows[rows["metric"] == "ais"]
    assert sorted(zip(annealed["seed"], annealed["checkpoint"], strict=True)) == [(0, "best"), (0, "final")]


def test_the_width_of_real_data_s_parzen_window_is_not_chosen_on_its_own_kernels(tmp_path):
    """The oracle's samples are validation and test data, and score like as many training data."""
    experiment = store(tmp_path, model="oracle").experiment
    made = Store(changed(experiment, {"metrics": {"parzen": {}}, "samples": 360, "likelihood": None}), tmp_path)
    prepare_dataset(made, "digits")
    train_block(made, "digits", "oracle", 0)
    measure_samples(made, "digits", "oracle", 0)
    rows = read_rows(made.measurements("digits", "oracle", 0, "sample"))
    values = rows.groupby("metric")["value"].mean()
    assert abs(values["parzen"] - values["parzen_of_train"]) < 2
