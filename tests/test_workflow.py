"""The workflow end to end: one real run of the quick experiment, and what changes rerun of it.

Each test that changes something works on its own copy of the finished run.
"""

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from project import PAIRS, QUICK, ROOT, Project

# a whole run


def test_every_replicate_is_in_the_table(finished: Project) -> None:
    home = finished.folder / "results" / "quick"
    rows = pd.read_csv(home / "metrics.csv")
    expected = {(dataset, model, seed) for dataset, model in PAIRS for seed in QUICK["seeds"]}
    for metric in ("frechet_distance", "kernel_distance", "precision", "recall", "w1", "w2", "sliced_w2"):
        chosen = rows[rows.metric == metric]
        assert set(zip(chosen.dataset, chosen.model, chosen.seed, strict=True)) == expected, metric
        assert (chosen.status == "ok").all()
    assert set(rows.experiment) == {"quick"} and set(rows.device) == {"cpu"}
    ok = rows.status == "ok"
    assert (
        np.isfinite(rows.value[ok]).all()
        and rows.value[rows.status.isin(["not_applicable", "diverged", "failed"])].isna().all()
    )
    assert rows.reason[~ok].notna().all()
    likelihood = rows[rows.metric.isin(["log_likelihood", "elbo", "iw_elbo"]) & ok]
    assert set(likelihood.model) == set(QUICK["models"])
    assert set(likelihood[likelihood.model == "oracle"].dataset) == {"gaussian_ring"}
    assert (home / "summary.csv").is_file()


def test_tables_show_every_model(finished: Project) -> None:
    for dataset in QUICK["datasets"]:
        for suffix in ("csv", "md", "tex"):
            text = (finished.folder / "results" / "quick" / "tables" / f"{dataset}.{suffix}").read_text()
            shown = text.replace("\\_", "_")
            assert all(model in shown for model in QUICK["models"]), (dataset, suffix)


def test_real_data_beats_networks_that_are_hardly_trained(finished: Project) -> None:
    rows = pd.read_csv(finished.folder / "results" / "quick" / "metrics.csv")
    rows = rows[rows.checkpoint == "final"]
    for dataset in QUICK["datasets"]:
        for metric in ("frechet_distance", "w2"):
            chosen = rows[(rows.dataset == dataset) & (rows.metric == metric)]
            chosen = chosen[chosen.n_real == chosen.n_real.max()]
            # as good as it gets: the worst of the oracle's seeds against the best of any network's
            worst = chosen.value[chosen.model == "oracle"].max()
            assert worst < chosen.value[chosen.model.isin(["vae", "gan", "wgan_gp"])].min(), (dataset, metric)


# nothing to do


def test_a_second_run_does_nothing_and_soon(finished: Project) -> None:
    before = finished.files("**/*")
    started = time.perf_counter()
    assert "Nothing to be done" in finished.run()
    assert time.perf_counter() - started < 45
    assert finished.files("**/*") == before


def test_touching_and_commenting_rerun_nothing(copy: Project) -> None:
    for name in ("Snakefile", "workflow", "profiles", "configs", "deepgen_bench"):
        for path in (copy.folder / name, *(copy.folder / name).rglob("*")):
            path.touch()
    copy.edit("models/adversarial/gan.py", "\nfrom ", "\n# a comment\nfrom ")
    copy.edit("metrics/samples/transport.py", '"""', '"""Another docstring. ')
    assert copy.plan()[0] == {}


def test_another_device_reruns_nothing(finished: Project) -> None:
    assert finished.plan("--config", "device=auto")[0] == {}
    assert finished.plan("--cores", "1", "--set-threads", "train=2")[0] == {}
    assert finished.plan("--set-resources", "train:mem_mb=1", "train:runtime=1", "train:gpu=1")[0] == {}


# what changes

# outputs that are drawn again from all measurements
DRAWN = {"aggregate": 1, "tables": 1, "report": 1}


def test_another_learning_rate_reruns_that_model_alone(finished: Project, tmp_path: Path) -> None:
    config = tmp_path / "variant.yaml"
    config.write_text(
        yaml.safe_dump(QUICK | {"models": QUICK["models"] | {"vae": {"settings": {"learning_rate": 0.002}}}})
    )
    jobs, said = finished.plan(config=str(config))
    assert jobs == {"train": 2, "measure": 2, "likelihood": 2, "figures": 2} | DRAWN
    assert set(re.findall(r"output: results/quick/train/(\w+/\w+)/", said)) == {"gaussian_ring/vae", "digits/vae"}
    assert "Params have changed since last execution" in said
    assert '"learning_rate":0.001' in said and '"learning_rate":0.002' in said


def test_another_model_adds_its_own_jobs_alone(copy: Project) -> None:
    jobs, said = copy.plan(config=copy.variant(models=QUICK["models"] | {"gan_ns": {}}))
    assert jobs == {"train": 2, "measure": 2, "likelihood": 2, "figures": 2} | DRAWN
    assert set(re.findall(r"output: results/quick/train/\w+/(\w+)/", said)) == {"gan_ns"}
    assert copy.plan(config=copy.variant(models={"gan": {}, "vae": {}}))[0] == {"figures": 2} | DRAWN


def test_changed_code_reruns_what_it_decides(copy: Project) -> None:
    copy.edit("metrics/samples/transport.py", "RANKED_DIMENSION = 10", "RANKED_DIMENSION = 11")
    assert copy.plan()[0] == {"measure": 10} | DRAWN
    copy.edit("metrics/samples/transport.py", "RANKED_DIMENSION = 11", "RANKED_DIMENSION = 10")
    copy.edit("models/classical/gaussian.py", "def sample_points(", "EXTRA = 1\n\n    def sample_points(")
    assert copy.plan()[0] == {"train": 2, "measure": 2, "likelihood": 2, "figures": 2} | DRAWN


def test_another_seed_trains_one_replicate_a_pair(copy: Project) -> None:
    config = ("--config", "seeds=[0,1,2]")
    assert copy.plan(*config)[0] == {"train": 10, "measure": 10, "likelihood": 10, "figures": 2} | DRAWN
    replicates, measured = copy.files("runs/*/*/*/*/run.json"), copy.files("runs/*/*/*/*/measurements/*")
    results = Path("results/quick")
    cheap = [results / "measurements/gaussian_ring/gaussian" / f"{kind}_0.csv" for kind in ("sample", "likelihood")]
    manifests = [results / "train" / dataset / model / "block_0.json" for dataset, model in PAIRS]
    copy.run(*map(str, [*manifests, *cheap]), *config)
    after = copy.files("runs/*/*/*/*/run.json")
    assert {path: after[path] for path in replicates} == replicates  # none was trained again
    new = sorted((path.parts[2], path.parts[3], path.parts[5]) for path in after.keys() - replicates.keys())
    assert new == sorted((dataset, model, "seed_2") for dataset, model in PAIRS)
    measured_after = copy.files("runs/*/*/*/*/measurements/*")
    assert {path: measured_after[path] for path in measured} == measured
    rows = pd.concat([pd.read_csv(copy.folder / path) for path in cheap])
    assert set(rows.seed) == {0, 1, 2}


def test_a_new_family_of_metrics_measures_only_itself(copy: Project) -> None:
    """A family of an outside package, found by its entry point."""
    copy.outside(
        "metrics",
        "extent",
        """
            from deepgen_bench.metrics.context import as_vectors
            from deepgen_bench.metrics.family import MetricFamily, MetricSettings
            from deepgen_bench.metrics.measurement import Measurement


            class Extent(MetricFamily):
                Settings = MetricSettings

                def measure(self, real, generated, context):
                    return [Measurement("extent", float(as_vectors(generated, context.spec).std()))]

            MADE = Extent
        """,
    )
    families, likelihoods = copy.files("runs/**/measurements/*"), copy.files("quick/measurements/**/likelihood_0.csv")
    config = copy.variant(metrics=QUICK["metrics"] | {"extent": {}})
    assert copy.plan(config=config)[0] == {"measure": 10} | DRAWN
    targets = [f"results/quick/measurements/gaussian_ring/{model}/sample_0.csv" for model in QUICK["models"]]
    copy.run(*targets, config=config)
    after = copy.files("runs/**/measurements/*")
    assert {path: after[path] for path in families} == families
    new = [path for path in after if path not in families]
    assert len(new) == len(QUICK["models"]) * len(QUICK["seeds"])
    assert all(path.name.startswith("extent-") for path in new)
    assert copy.files("quick/measurements/**/likelihood_0.csv") == likelihoods
    rows = pd.concat([pd.read_csv(copy.folder / target) for target in targets])
    assert set(rows.model[rows.metric == "extent"]) == set(QUICK["models"])
    old = pd.read_csv(copy.folder / "results" / "quick" / "metrics.csv")
    key = ["model", "seed", "metric", "variant", "n_generated", "checkpoint"]
    kept = old[old.dataset == "gaussian_ring"].merge(rows, on=key)
    kept = kept[kept.status_x == "ok"]
    assert len(kept) and (kept.value_x == kept.value_y).all()


# results that outlive what they came from


def test_tables_are_rebuilt_from_measurements_alone(copy: Project) -> None:
    results = copy.folder / "results"
    tables = {path.name: path.read_bytes() for path in (results / "quick" / "tables").iterdir()}
    for folder in ("runs", "data", "extractors", "quick/train", "quick/tables"):
        shutil.rmtree(results / folder)
    assert copy.plan()[0] == {"tables": 1}
    shutil.rmtree(copy.folder / ".snakemake")
    assert copy.plan()[0] == {"tables": 1}
    (results / "quick" / "metrics.csv").unlink()
    assert copy.plan()[0] == DRAWN
    copy.run()
    assert {path.name: path.read_bytes() for path in (results / "quick" / "tables").iterdir()} == tables
    assert not (results / "runs").exists()


# experiments


def test_an_experiment_file_replaces_the_default(empty: Project) -> None:
    jobs, said = empty.plan()
    assert jobs["train"] == len(PAIRS) and jobs["prepare"] == 2
    assert "sine_mixture" not in said and "results/default" not in said
    default = yaml.safe_load((ROOT / "configs" / "default.yaml").read_text())
    done = empty.snakemake("--dry-run", "--config", "seeds=[7]")
    assert done.returncode == 0, done.stdout[-5000:]
    assert f"train {len(default['datasets']) * len(default['models'])}" in " ".join(done.stdout.split())
    assert "block_1.json" in done.stdout and "block_0.json" not in done.stdout
    assert not (empty.folder / "results").exists()  # a dry run writes nothing


def test_a_broken_experiment_ends_with_one_line(empty: Project) -> None:
    done = empty.snakemake("--dry-run", "--configfile", empty.variant(models={"vae": {"settings": {"tua": 1}}}))
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("error: models.vae.settings.tua: unknown key; valid: activation, ")
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": "{vae: {}}\nmodels: {gan: {}}"}, "/variant.yaml: duplicate key 'models' (lines "),
        ({"datasets": "{npz: {budget: 9, settings: {path: none.npz}}}"}, "error: none.npz: no such file"),
        ({"datasets": "{image_folder: {budget: 9, settings: {path: none}}}"}, "error: none: not a folder"),
        (
            {"metrics": "{fidelity: {inception_weights: variant.yaml, extractors: [inception, classifier]}}"},
            "error: metrics.fidelity.inception_weights on datasets.digits: variant.yaml: ",
        ),
    ],
)
def test_wrong_input_ends_with_one_line_before_any_job(change: dict[str, str], message: str, empty: Project) -> None:
    text = {"name": "x", "datasets": "{digits: {budget: 9}}", "models": "{vae: {}}"} | change
    (empty.folder / "variant.yaml").write_text("".join(f"{key}: {value}\n" for key, value in text.items()))
    done = empty.snakemake("--cores", "1", "--configfile", "variant.yaml")
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("error: ") and message in last
    assert "Traceback" not in done.stdout and not (empty.folder / "results").exists()


def test_the_workflow_is_free_of_lint(empty: Project) -> None:
    done = empty.snakemake("--lint")
    assert done.returncode == 0, done.stdout
    assert "good condition" in done.stdout
