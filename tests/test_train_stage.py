"""The stage that trains a block: what it opens, what it trains again and what it leaves, on real files."""

import shutil

import numpy as np
import pytest
from engine import rules, run_rules
from project import changed

from deepgen_bench.datasets.prepared import Prepared, prepare
from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.store import Store
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.aggregate import aggregate
from deepgen_bench.stages.block import Block
from deepgen_bench.stages.figures import write_figures
from deepgen_bench.stages.jobs import job
from deepgen_bench.stages.likelihood import measure_likelihood
from deepgen_bench.stages.measure import measure_samples
from deepgen_bench.stages.prepare import prepare_dataset
from deepgen_bench.stages.sample import sample_run
from deepgen_bench.stages.train import train_block
from deepgen_bench.storage.figure_data import read_figure_data
from deepgen_bench.storage.files import Damaged, read_sealed
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
def test_training_names_and_rebuilds_what_is_damaged_in_a_replicate(root, file, damage, capsys):
    made = store(root)
    folder = made.run_dir("digits", "gan", 1)
    before, files, weights = stamps(made), content(folder), (folder / "final.safetensors").stat().st_mtime_ns
    DAMAGES[damage](folder / file)
    train_block(made, "digits", "gan", 0)
    assert (folder / file).is_file() and content(folder) == files
    assert stamps(made)[0] == before[0] and stamps(made)[1] != before[1]
    # lost samples are drawn again from what was trained
    assert ((folder / "final.safetensors").stat().st_mtime_ns == weights) == (file == "samples_final.npy")
    said = capsys.readouterr().err
    if damage == "gone":
        assert f"{folder / file}: no such file" in said or "seed 1: not trained yet" in said
    else:
        assert f"{folder / file}: " in said and ("damaged" in said or "not valid JSON" in said)


def test_other_data_under_the_same_name_are_trained_on_again(root, capsys):
    made = store(root)
    before = stamps(made)
    prepare(made.experiment.dataset("digits"), 1, made.data_dir("digits"))
    with pytest.raises(Damaged, match="not the data of this experiment"):
        train_block(made, "digits", "gan", 0)
    assert stamps(made) == before
    made.write_manifest(made.data_manifest("digits"), {"digest": Prepared(made.data_dir("digits")).digest})
    train_block(made, "digits", "gan", 0)
    assert all(stamps(made)[seed] != before[seed] for seed in before)
    assert capsys.readouterr().err.count("data digest changed") == 2


# files of other rules that a job finds damaged


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A small experiment that all rules have run on."""
    root = tmp_path_factory.mktemp("complete")
    run_rules(store(root, model="vae", latent_dim=2))
    return root


@pytest.fixture
def whole(complete, tmp_path):
    return store(shutil.copytree(complete, tmp_path / "results"), model="vae", latent_dim=2)


def numbers(made):
    """The tidy table without the time that measuring took, and the paired comparisons."""
    return read_rows(made.home / "metrics.csv").drop(columns="seconds"), (made.home / "paired.csv").read_bytes()


def files_of(root):
    """All files of a results folder but records of failures and locks."""
    paths = {path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"}
    return {path for path in paths if "failures" not in path.relative_to(root).parts}


def check_rebuilt(made, damaged, damage, target, manifest):
    """The job that writes `target` names the damaged file, invalidates `manifest` alone, and the next call rebuilds."""
    before, files, content = numbers(made), files_of(made.root), damaged.read_bytes()
    (rule,) = (rule for rule in rules(made) if target in rule.outputs)
    DAMAGES[damage](damaged)
    target.unlink()
    with pytest.raises(UserError, match=f"^{damaged}: .*; run snakemake again to rebuild it$"):
        run_rules(made, target)
    # the outputs of a job that failed are no results
    gone = {manifest, *rule.outputs} | (set() if damaged.exists() else {damaged})
    assert files - files_of(made.root) == gone
    run_rules(made, target, *tables(made))
    assert files_of(made.root) == files
    assert damaged.suffix == ".json" or damaged.read_bytes() == content
    after = numbers(made)
    assert after[0].equals(before[0]) and after[1] == before[1]


def tables(made):
    return [made.home / "metrics.csv", made.aggregated]


@pytest.mark.parametrize("damage", sorted(DAMAGES))
@pytest.mark.parametrize("file", ["samples_final_draw.npy", "best.safetensors", "run.json"])
@pytest.mark.parametrize("kind", ["sample", "likelihood"])
def test_a_damaged_replicate_stops_measuring_and_is_rebuilt_by_the_next_call(whole, kind, file, damage):
    damaged, manifest = whole.run_dir("digits", "vae", 1) / file, whole.manifest("digits", "vae", 0)
    check_rebuilt(whole, damaged, damage, whole.measurements("digits", "vae", 0, kind), manifest)


@pytest.mark.parametrize("damage", sorted(DAMAGES))
@pytest.mark.parametrize("file", ["test.npy", "dataset.json"])
@pytest.mark.parametrize("kind", ["sample", "likelihood"])
def test_damaged_data_stop_measuring_and_are_rebuilt_by_the_next_call(whole, kind, file, damage):
    damaged, manifest = whole.data_dir("digits") / file, whole.data_manifest("digits")
    check_rebuilt(whole, damaged, damage, whole.measurements("digits", "vae", 0, kind), manifest)


@pytest.mark.parametrize("damage", sorted(set(DAMAGES) - {"gone"}))
@pytest.mark.parametrize("name", ["sample_0.csv", "sample_0.json", "likelihood_0.csv", "likelihood_0.npz"])
def test_damaged_measurements_stop_aggregating_and_are_rebuilt_by_the_next_call(whole, name, damage):
    damaged = whole.measurements("digits", "vae", 0, "sample").with_name(name)
    check_rebuilt(whole, damaged, damage, whole.home / "metrics.csv", damaged.with_suffix(".json"))


def test_measurements_that_are_gone_are_measured_before_they_are_aggregated(whole):
    before, path = numbers(whole), whole.measurements("digits", "vae", 0, "sample")
    path.unlink()
    with pytest.raises(UserError, match=f"{path}: no such file; --partial writes tables of the finished measurements"):
        aggregate(whole)
    (whole.home / "metrics.csv").unlink()
    assert run_rules(whole, *tables(whole)) == ["measure", "aggregate"]
    after = numbers(whole)
    assert after[0].equals(before[0]) and after[1] == before[1]


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_damaged_measurements_beside_a_replicate_are_measured_again_at_once(whole, damage):
    before = numbers(whole)
    paths = sorted(whole.root.glob("runs/**/measurements/*"))
    assert {path.suffix for path in paths} == {".json", ".npz"} and len(paths) == 8
    for path in paths:
        content = path.read_bytes()
        DAMAGES[damage](path)
        kind = "likelihood" if path.name.startswith("likelihood") else "sample"
        whole.measurements("digits", "vae", 0, kind).unlink()
        (whole.home / "metrics.csv").unlink()
        assert run_rules(whole, *tables(whole)) == ["likelihood" if kind == "likelihood" else "measure", "aggregate"]
        assert path.read_bytes() == content or path.suffix == ".json" and path.is_file()
    after = numbers(whole)
    assert after[0].equals(before[0]) and after[1] == before[1]


@pytest.mark.parametrize("damage", sorted(DAMAGES))
@pytest.mark.parametrize("name", ["metrics.csv", "summary.csv", "paired.csv", "aggregated.json"])
def test_damaged_tables_are_refused_and_aggregated_by_the_next_call(whole, name, damage, command):
    (whole.home / "experiment.json").write_text(whole.experiment.file.model_dump_json())
    contents = {path: path.read_bytes() for path in whole.home.glob("*.*") if path.name != "experiment.json"}
    DAMAGES[damage](whole.home / name)
    code, _, err = command("tables", whole.home)
    if (name, damage) == ("aggregated.json", "gone"):
        assert code == 0
    else:
        assert code == 2 and f"error: {whole.home / name}: " in err and "Traceback" not in err
    assert not whole.aggregated.exists()
    assert run_rules(whole, *tables(whole)) == ["aggregate"]
    assert {path: path.read_bytes() for path in contents} == contents


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
    """The folders are shared, because a file may be moved; each experiment checks that they hold its own data."""
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
        run_rules(stores[name], stores[name].manifest("mine", "gaussian", 0))
    assert stores["a"].data_dir("mine") == stores["b"].data_dir("mine")
    # the experiment that prepared last owns the shared folder; then the other one takes its turn
    for name, low, other in (("b", 200, "a"), ("a", 0, "b")):
        with pytest.raises(UserError, match="not the data of this experiment"), job(stores[other], "measure", "mine"):
            Block(stores[other], "mine", "gaussian", 0)
        assert not stores[other].data_manifest("mine").exists()
        block = Block(stores[name], "mine", "gaussian", 0)
        assert low <= block.prepared.split("test").mean() < low + 50
        assert low - 25 <= next(block.replicates()).samples("final", "").mean() < low + 75
        targets = [stores[other].data_manifest("mine"), stores[other].manifest("mine", "gaussian", 0)]
        assert run_rules(stores[other], *targets) == ["prepare", "train"]


def test_fewer_samples_are_measured_again_although_nothing_is_trained(tmp_path):
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
