"""The command line: every stage by hand, samples and scores, and errors of one line."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
import yaml
from PIL import Image

from deepgen_bench.cli import app
from deepgen_bench.datasets.user.files import random_subset
from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.store import Store
from deepgen_bench.metrics.features.frechet import frechet_distance
from deepgen_bench.plugins import MODELS

EXPERIMENT = {
    "name": "trial",
    "seeds": [0, 1],
    "device": "cpu",
    "samples": 200,
    "datasets": {
        "gaussian_ring": {"budget": 256, "settings": {"n_train": 200, "n_validation": 100, "n_test": 200}},
        "sine_mixture": {"budget": 256, "settings": {"n_train": 200, "n_validation": 100, "n_test": 200}},
        "digits": {"budget": 256},
    },
    "models": {"oracle": {}, "gaussian": {}, "vae": {"settings": {"hidden": [8], "latent_dim": 2, "batch_size": 64}}},
    "metrics": {"transport": {"n": 100}},
    "likelihood": {"k": [1, 10], "n": 50},
}
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A Gaussian on vectors and a VAE on images, trained by the stages' functions in this process."""
    from deepgen_bench.stages.prepare import prepare_dataset
    from deepgen_bench.stages.train import train_block

    store = Store(load_experiment(EXPERIMENT), tmp_path_factory.mktemp("trained") / "results")
    for dataset, models in (
        ("gaussian_ring", ["oracle", "gaussian"]),
        ("sine_mixture", ["gaussian"]),
        ("digits", ["vae"]),
    ):
        prepare_dataset(store, dataset)
        for model in models:
            train_block(store, dataset, model, 0)
    return store


# help and errors


def test_help_names_every_command(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)
    assert {"prepare", "train", "measure", "likelihood", "aggregate", "tables", "sample", "score"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, command: Command) -> None:
    code, out, err = command(name, "--help")
    assert (code, err) == (0, "")
    assert "Usage" in out and name in out


def test_an_error_is_one_line_and_status_2_in_a_real_process(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("{name: x, datasets: {digits: {budget: 5}}, models: {vea: {}}}")
    done = subprocess.run(
        [Path(sys.executable).with_name("deepgen-bench"), "check", "bad.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: bad.yaml: models.vea.model: unknown model 'vea'; valid: diffusion, ")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["bad.yaml"]


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "trial.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--dataset", "ring", "--model", "vae", "--block", "0"], "--dataset: 'ring' is not in "),
        (["train", "--dataset", "digits", "--model", "gan", "--block", "0"], "--model: 'gan' is not in "),
        (["measure", "--dataset", "digits", "--model", "vae", "--block", "7"], "--block: 7; valid: 0\n"),
        (["likelihood", "--dataset", "digits", "--model", "vae", "--block", "-1"], "--block: -1; valid: 0\n"),
        (["aggregate"], "sample_0.csv: no such file; --partial writes tables of the finished measurements\n"),
        (["aggregate", "--partial"], "results/trial: nothing has been measured yet\n"),
    ],
)
def test_errors_of_stages(arguments: list[str], message: str, experiment: Path, command: Command) -> None:
    results = experiment.parent / "results"
    code, out, err = command(arguments[0], experiment, *arguments[1:], "--results", results)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_names_are_listed_with_what_they_are(command: Command) -> None:
    code, out, err = command("list", "models")
    lines = [line.split("\t") for line in out.splitlines()]
    assert (code, err) == (0, "") and len(lines) == len(list(MODELS))
    assert ["vae", "latent", "deepgen_bench.models.vae.settings:VAE", "built-in"] in lines
    code, out, _ = command("list", "datasets")
    assert code == 0 and "digits\timage\tdeepgen_bench.datasets.digits:Digits\tbuilt-in\n" in out
    code, out, _ = command("list", "metrics")
    assert code == 0 and "transport\tdeepgen_bench.metrics.samples.transport:TransportDistances\tbuilt-in\n" in out


# the stages in turn


def test_a_whole_experiment_by_hand(tmp_path: Path, command: Command) -> None:
    path, results = tmp_path / "trial.yaml", tmp_path / "results"
    datasets: dict = EXPERIMENT["datasets"]  # type: ignore[assignment]
    small = EXPERIMENT | {
        "datasets": {"gaussian_ring": datasets["gaussian_ring"]},
        "models": {"oracle": {}, "gaussian": {}},
    }
    path.write_text(yaml.safe_dump(small, sort_keys=False))
    assert command("prepare", path, "--dataset", "gaussian_ring", "--results", results)[0] == 0
    for stage in ("train", "measure", "likelihood"):
        for model in ("oracle", "gaussian"):
            place = ("--dataset", "gaussian_ring", "--model", model, "--block", 0, "--results", results)
            assert command(stage, path, *place)[0] == 0, (stage, model)
    assert command("aggregate", path, "--results", results)[0] == 0
    home = results / "trial"
    rows = pd.read_csv(home / "metrics.csv")
    assert set(rows.groupby(["model", "seed"]).groups) == {(m, s) for m in ("oracle", "gaussian") for s in (0, 1)}
    assert {"w1", "w2", "sliced_w2", "log_likelihood"} <= set(rows.metric)
    assert np.isfinite(rows.value[rows.status == "ok"]).all()
    assert command("tables", home)[0] == 0
    assert {f.suffix for f in (home / "tables").iterdir()} == {".csv", ".md", ".tex"}
    code, out, _ = command("show", home)
    assert code == 0 and "gaussian_ring" in out and "oracle" in out


def test_only_what_is_missing_or_stale_is_trained(tmp_path: Path, trained: Store, command: Command) -> None:
    path, results = tmp_path / "trial.yaml", tmp_path / "results"
    shutil.copytree(trained.root, results)

    def train(**changes: object) -> tuple[str, dict[int, float]]:
        path.write_text(yaml.safe_dump(EXPERIMENT | changes, sort_keys=False))
        place = ("--dataset", "gaussian_ring", "--model", "gaussian", "--block", 0, "--results", results)
        code, _, err = command("train", path, *place)
        assert code == 0
        store = Store(load_experiment(path), results)
        runs = [store.run_dir("gaussian_ring", "gaussian", seed) / "run.json" for seed in store.experiment.seeds]
        return err, {seed: run.stat().st_mtime_ns for seed, run in zip(store.experiment.seeds, runs, strict=True)}

    store = Store(load_experiment(EXPERIMENT), results)
    said, first = train()
    assert said == ""
    said, second = train(seeds=[0, 1, 2])
    assert "gaussian_ring/gaussian seed 2: not trained yet" in said and "seed 0" not in said
    assert {seed: second[seed] for seed in first} == first
    (store.run_dir("gaussian_ring", "gaussian", 0) / "samples_final.npy").unlink()
    said, third = train(seeds=[0, 1, 2])
    assert "seed_0/samples_final.npy: no such file; it is sampled again" in said
    assert {seed for seed in third if third[seed] != second[seed]} == {0}
    # more samples are drawn from the trained states and begin with the old ones; fewer are there already
    directory = store.run_dir("gaussian_ring", "gaussian", 0)
    weights, few = (directory / "final.safetensors").stat().st_mtime_ns, np.load(directory / "samples_final.npy")
    said, fourth = train(seeds=[0, 1, 2], samples=3 * len(few))
    assert said.count("200 samples, the experiment wants 600; it is sampled again") == 3
    assert (directory / "final.safetensors").stat().st_mtime_ns == weights
    many = np.load(directory / "samples_final.npy")
    assert len(many) == 3 * len(few) and (many[: len(few)] == few).all()
    assert train(seeds=[0, 1, 2]) == ("", fourth)


# sample


def test_images_of_a_trained_run(trained: Store, tmp_path: Path, command: Command) -> None:
    run = trained.run_dir("digits", "vae", 1)
    code, out, err = command("sample", run, "-n", 10, "--output", tmp_path / "x.png")
    assert (code, err) == (0, "")
    assert out == f"{tmp_path / 'x.png'}: 10 samples of {run}, checkpoint final, mean\n"
    with Image.open(tmp_path / "x.png") as picture:
        # 3 rows of 4 digits of 8 pixels and a line, as large as fits in 512
        assert (picture.size, picture.mode) == ((14 * 36, 14 * 27), "L")
        pixels = np.asarray(picture)[::14, ::14]
    arrays = {}
    variants: dict[str, list[object]] = {"mean": [], "draw": ["--draw"], "seed": ["--seed", 1], "again": []}
    for name, options in variants.items():
        assert command("sample", run, "-n", 10, "--output", tmp_path / f"{name}.npy", *options)[0] == 0
        arrays[name] = np.load(tmp_path / f"{name}.npy")
        assert (arrays[name].shape, arrays[name].dtype) == ((10, 1, 8, 8), np.uint8)
        assert arrays[name].max() <= 16
    assert (pixels[:8, :8] == np.rint(arrays["mean"][0, 0] * (255 / 16))).all()
    assert (arrays["mean"] == arrays["again"]).all()
    assert (arrays["mean"] != arrays["draw"]).any() and (arrays["mean"] != arrays["seed"]).any()
    assert command("sample", run, "-n", 3, "--checkpoint", "best", "--output", tmp_path / "best.npy")[0] == 0


@pytest.mark.parametrize(("dataset", "d"), [("gaussian_ring", 2), ("sine_mixture", 1)])
def test_vectors_of_a_trained_run(dataset: str, d: int, trained: Store, tmp_path: Path, command: Command) -> None:
    run = trained.run_dir(dataset, "gaussian", 0)
    assert command("sample", run, "-n", 500, "--output", tmp_path / "x.npy")[0] == 0
    assert command("sample", run, "-n", 500, "--output", tmp_path / "x.png")[0] == 0
    drawn = np.load(tmp_path / "x.npy")
    assert (drawn.shape, drawn.dtype) == ((500, d), np.float64)
    train = np.load(trained.data_dir(dataset) / "train.npy")
    assert np.abs(drawn.mean(0) - train.mean(0)).max() < 5 * train.std() / np.sqrt(500)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (600, 600)


def test_runs_that_cannot_be_sampled(trained: Store, tmp_path: Path, command: Command) -> None:
    gaussian, oracle = (trained.run_dir("gaussian_ring", model, 0) for model in ("gaussian", "oracle"))
    altered = tmp_path / "altered"
    shutil.copytree(gaussian, altered)
    with open(altered / "final.safetensors", "ab") as file:
        file.write(b"x")
    for arguments, message in (
        ([tmp_path], f"{tmp_path / 'run.json'}: no such file"),
        ([oracle], "oracle: it has no sampler of its own"),
        ([gaussian, "--checkpoint", "best"], f"{gaussian}: no checkpoint 'best'; valid: final"),
        ([altered], f"{altered / 'final.safetensors'}: damaged (its sha256 is not "),
        ([gaussian, "--output", "x.jpg"], "--output: x.jpg; valid: a name that ends in .png or .npy"),
    ):
        code, out, err = command("sample", "--output", tmp_path / "x.npy", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"error: {message}")
    assert not (tmp_path / "x.npy").exists()


# score


def test_scores_of_vectors(tmp_path: Path, command: Command) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 4)), 1.5 * rng.standard_normal((200, 4)) + 0.3
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    table = tmp_path / "scores.csv"
    files = (tmp_path / "x.npy", tmp_path / "y.npy")
    code, out, _ = command("score", *files, "--extractor", "data", "--output", table)
    assert code == 0 and "frechet_distance" in out and "extractor=data" in out
    rows = pd.read_csv(table).drop_duplicates("metric").set_index("metric")  # the whole samples come before parts
    found = rows.value["frechet_distance"], rows.std_error["frechet_distance"]
    expected = frechet_distance(x, y)
    assert found == pytest.approx((expected.value, expected.std_error), rel=1e-12)
    assert (rows.n_real["frechet_distance"], rows.n_generated["frechet_distance"]) == (300, 200)
    assert command("score", *files, "--extractor", "data", "--n", 50, "--output", table)[0] == 0
    value = pd.read_csv(table).drop_duplicates("metric").set_index("metric").value["frechet_distance"]
    part = frechet_distance(x[random_subset(300, 50)], y[random_subset(200, 50)])
    assert value == pytest.approx(part.value, rel=1e-12)
