"""The workflow end to end: one real run of the quick experiment, and what changes rerun of it.

Everything runs on a copy of the workflow and the package, so that edits elsewhere cannot disturb it, nor it them. Each
test that changes something works on its own copy of the finished run.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[1]
QUICK = yaml.safe_load((ROOT / "configs" / "quick.yaml").read_text())
PAIRS = [(dataset, model) for dataset in QUICK["datasets"] for model in QUICK["models"]]


class Project:
    """A working directory with the workflow, the package and, perhaps, results."""

    def __init__(self, folder: Path):
        self.folder = folder
        # neither the user's profile and caches, nor a GPU; the copied package, not the installed one
        self.environment = os.environ | {
            "PYTHONPATH": str(folder),
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "XDG_CONFIG_HOME": str(folder / ".config"),
            "TMPDIR": str(folder),
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        self.environment.pop("SNAKEMAKE_PROFILE", None)

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )

    def run(self, *arguments: str, config: str = "configs/quick.yaml") -> str:
        done = self.snakemake("--cores", "2", *arguments, "--configfile", config)
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout

    def plan(self, *arguments: str, config: str = "configs/quick.yaml") -> tuple[dict[str, int], str]:
        """What a dry run would do: the number of jobs of each rule, and what it says."""
        done = self.snakemake("--dry-run", *arguments, "--configfile", config)
        assert done.returncode == 0, done.stdout[-5000:]
        table = re.search(r"^job +count\n-+ +-+\n(.*?)\n\n", done.stdout, re.MULTILINE | re.DOTALL)
        if table is None:
            assert "Nothing to be done" in done.stdout
            return {}, done.stdout
        jobs = {name: int(count) for name, count in (line.split() for line in table[1].splitlines())}
        del jobs["total"], jobs["all"]
        return jobs, done.stdout

    def variant(self, **changes: object) -> str:
        """Another experiment file: the quick one with some keys replaced."""
        (self.folder / "variant.yaml").write_text(yaml.safe_dump(QUICK | changes, sort_keys=False))
        return "variant.yaml"

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / "deepgen_bench" / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def files(self, pattern: str) -> dict[Path, int]:
        """When the results that match were last written."""
        return {
            path.relative_to(self.folder): path.stat().st_mtime_ns for path in self.folder.glob(f"results/{pattern}")
        }


def project(folder: Path) -> Project:
    folder.mkdir(exist_ok=True)
    shutil.copy2(ROOT / "Snakefile", folder)
    for name in ("workflow", "profiles", "configs", "deepgen_bench"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return Project(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The quick experiment, run once. Only read it."""
    quick = project(tmp_path_factory.mktemp("workflow") / "finished")
    quick.run()
    return quick


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """The finished run, to be changed. Times of files are kept."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Project(tmp_path / "copy")


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    return project(tmp_path / "empty")


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
    assert set(likelihood.model) == {"oracle", "gaussian", "vae"}
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
    assert time.perf_counter() - started < 15
    assert finished.files("**/*") == before


def test_touching_and_commenting_rerun_nothing(copy: Project) -> None:
    for name in ("Snakefile", "workflow", "profiles", "configs", "deepgen_bench"):
        for path in (copy.folder / name, *(copy.folder / name).rglob("*")):
            path.touch()
    copy.edit("models/gan.py", "\nfrom ", "\n# a comment\nfrom ")
    copy.edit("metrics/transport.py", '"""', '"""Another docstring. ')
    assert copy.plan()[0] == {}


def test_another_device_reruns_nothing(finished: Project) -> None:
    assert finished.plan("--config", "device=auto")[0] == {}
    assert finished.plan("--cores", "1", "--set-threads", "train=2")[0] == {}
    assert finished.plan("--set-resources", "train:mem_mb=1", "train:runtime=1", "train:gpu=1")[0] == {}


# what changes


def test_another_learning_rate_reruns_that_model_alone(finished: Project, tmp_path: Path) -> None:
    config = tmp_path / "variant.yaml"
    config.write_text(
        yaml.safe_dump(QUICK | {"models": QUICK["models"] | {"vae": {"settings": {"learning_rate": 0.002}}}})
    )
    jobs, said = finished.plan(config=str(config))
    assert jobs == {"train": 2, "measure": 2, "likelihood": 2, "aggregate": 1, "tables": 1}
    assert set(re.findall(r"output: results/quick/train/(\w+/\w+)/", said)) == {"gaussian_ring/vae", "digits/vae"}
    assert "Params have changed since last execution" in said
    assert '"learning_rate":0.001' in said and '"learning_rate":0.002' in said


def test_another_model_adds_its_own_jobs_alone(copy: Project) -> None:
    jobs, said = copy.plan(config=copy.variant(models=QUICK["models"] | {"gan_ns": {}}))
    assert jobs == {"train": 2, "measure": 2, "likelihood": 2, "aggregate": 1, "tables": 1}
    assert set(re.findall(r"output: results/quick/train/\w+/(\w+)/", said)) == {"gan_ns"}
    assert copy.plan(config=copy.variant(models={"gan": {}, "vae": {}}))[0] == {"aggregate": 1, "tables": 1}


def test_changed_code_reruns_what_it_decides(copy: Project) -> None:
    copy.edit("metrics/transport.py", "RANKED_DIMENSION = 10", "RANKED_DIMENSION = 11")
    assert copy.plan()[0] == {"measure": 10, "aggregate": 1, "tables": 1}
    copy.edit("metrics/transport.py", "RANKED_DIMENSION = 11", "RANKED_DIMENSION = 10")
    copy.edit("models/gaussian.py", "def sample(", "EXTRA = 1\n\n    def sample(")
    assert copy.plan()[0] == {"train": 2, "measure": 2, "likelihood": 2, "aggregate": 1, "tables": 1}


def test_another_seed_trains_one_replicate_a_pair(copy: Project) -> None:
    config = ("--config", "seeds=[0,1,2]")
    assert copy.plan(*config)[0] == {"train": 10, "measure": 10, "likelihood": 10, "aggregate": 1, "tables": 1}
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
    info = copy.folder / "outside_metrics-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-metrics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deepgen_bench.metrics]\nextent = outside_metrics:Extent\n")
    (copy.folder / "outside_metrics.py").write_text(
        textwrap.dedent("""
            from deepgen_bench.metrics.features import as_vectors
            from deepgen_bench.metrics.measurement import Measurement
            from deepgen_bench.settings import Settings


            class Extent:
                Settings = Settings

                def __init__(self, settings):
                    pass

                def measure(self, real, generated, context):
                    return [Measurement("extent", float(as_vectors(generated, context.spec).std()))]
        """)
    )
    families, likelihoods = copy.files("runs/**/measurements/*"), copy.files("quick/measurements/**/likelihood_0.csv")
    config = copy.variant(metrics=QUICK["metrics"] | {"extent": {}})
    assert copy.plan(config=config)[0] == {"measure": 10, "aggregate": 1, "tables": 1}
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


# other platforms, other experiments, other versions


def test_the_quick_experiment_is_what_the_package_says(finished: Project) -> None:
    command = [sys.executable, "-m", "deepgen_bench", "verify", "results/quick", "quick"]
    done = subprocess.run(command, cwd=finished.folder, env=finished.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)


def test_two_experiments_share_the_store_and_rerun_nothing_of_each_other(copy: Project) -> None:
    runs = copy.files("runs/*/*/*/*/run.json")
    other = copy.variant(name="other", models={"gaussian": {}, "vae": {}}, seeds=[1, 2])
    copy.run("results/other/measurements/gaussian_ring/vae/sample_0.csv", config=other)
    after = copy.files("runs/*/*/*/*/run.json")
    assert {path: after[path] for path in runs} == runs
    assert [path.parts[2:4] + path.parts[5:6] for path in after if path not in runs] == [
        ("gaussian_ring", "vae", "seed_2")
    ]
    assert copy.plan()[0] == {}
    copy.run("results/other/measurements/gaussian_ring/vae/sample_0.csv", config=other)
    assert copy.files("runs/*/*/*/*/run.json") == after


def test_two_pipelines_at_once(copy: Project) -> None:
    """Of one experiment the second ends with one line; of two that overlap both end, and nothing is trained twice."""
    small = {"models": {"vae": {}, "gan": {}}, "datasets": {"gaussian_ring": QUICK["datasets"]["gaussian_ring"]}}
    small |= {"metrics": {"transport": {"n": 100}}, "likelihood": None, "seeds": [3, 4]}
    for name in ("one", "two"):
        (copy.folder / f"{name}.yaml").write_text(yaml.safe_dump(QUICK | small | {"name": name}))
    arguments = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile"]
    processes = []
    for name in ("one", "two", "one"):
        if len(processes) == 2:
            wait_for(copy.folder / "results" / "one" / "experiment.json")
        with open(copy.folder / f"said_{len(processes)}", "w") as said:
            command = [*arguments, f"{name}.yaml"]
            processes.append(subprocess.Popen(command, cwd=copy.folder, env=copy.environment, stdout=said, stderr=said))
    statuses = [process.wait(timeout=300) for process in processes]
    said = [(copy.folder / f"said_{i}").read_text() for i in range(3)]
    assert statuses == [0, 0, 1], said
    assert re.search(
        r"error: results/one: process \d+ on \S+ runs this experiment here; wait for it, or stop it", said[2]
    )
    assert "Traceback" not in said[2]
    logs = "".join(path.read_text() for path in copy.folder.glob("results/*/logs/train/**/*.log"))
    for model in ("vae", "gan"):
        for seed in (3, 4):
            assert logs.count(f"gaussian_ring/{model} seed {seed}: not trained yet") == 1
    one, two = (pd.read_csv(copy.folder / "results" / name / "metrics.csv") for name in ("one", "two"))
    timed = ["experiment", "seconds"]
    assert one.drop(columns=timed).equals(two.drop(columns=timed)) and len(one)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.is_file():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_model_that_fails_leaves_the_others_and_tables_of_them(copy: Project) -> None:
    """A model of an outside package; what is wrong with it is said at the end and in the tables."""
    info = copy.folder / "outside_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deepgen_bench.models]\nbroken = outside_models:SPEC\n")
    (copy.folder / "outside_models.py").write_text(
        textwrap.dedent("""
            from deepgen_bench.models.base import GenerativeModel
            from deepgen_bench.models.specs import ModelSettings, ModelSpec


            class Broken(GenerativeModel):
                def fit(self, data, replicates, streams, budget, progress):
                    raise ZeroDivisionError("no such <model> | at all")

                def load(self, state):
                    pass

                def sample(self, n, seed):
                    return {}


            SPEC = ModelSpec(ModelSettings, "implicit", "outside_models:Broken")
        """)
    )
    models = {model: QUICK["models"][model] for model in ("oracle", "gaussian")} | {"broken": {}}
    config = copy.variant(name="partly", models=models)
    done = copy.snakemake("--cores", "2", "--keep-going", "--configfile", config)
    assert done.returncode == 1
    *_, last = done.stdout.splitlines()
    assert re.fullmatch(
        r"error: ZeroDivisionError: no such <model> \| at all \(results/partly/logs/train/\w+/broken_0.log\)", last
    )
    home = copy.folder / "results" / "partly"
    assert "results/partly/partial: tables of 8 of 12 parts; missing" in done.stdout
    assert not (home / "metrics.csv").exists()
    for dataset in QUICK["datasets"]:
        text = (home / "partial" / "tables" / f"{dataset}.md").read_text()
        cells = [line.split("|")[4:-1] for line in text.splitlines() if line.startswith("| broken")]
        assert {cell.strip() for row in cells for cell in row} == {"failed"} and len(cells) > 2
        assert "failed (broken seeds 0, 1): ZeroDivisionError: no such \\<model\\> \\| at all" in text
        assert any(line.startswith("| gaussian") and "±" in line for line in text.splitlines())
    # mended, the rest is done and the partial tables go
    source = copy.folder / "outside_models.py"
    source.write_text(source.read_text().replace('raise ZeroDivisionError("no such <model> | at all")', "return []"))
    copy.run(config=copy.variant(name="partly", models={"oracle": {}, "gaussian": {}}))
    assert (home / "metrics.csv").is_file() and not (home / "partial").exists()


def test_results_of_another_version_are_refused(copy: Project) -> None:
    (copy.folder / "results" / "format.json").write_text("1\n")
    for found in ("1", "of an earlier version"):
        done = copy.snakemake("--dry-run", "--configfile", "configs/quick.yaml")
        last = done.stdout.splitlines()[-1]
        assert done.returncode == 1 and "Traceback" not in done.stdout
        assert last.startswith(f"error: results: its format is {found}, that of this version of deepgen_bench is ")
        (copy.folder / "results" / "format.json").unlink(missing_ok=True)


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
    assert copy.plan()[0] == {"aggregate": 1, "tables": 1}
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
    assert last.startswith("error: models.vae.settings.tua: unknown key; valid: batch_size, ")
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": "{vae: {}}\nmodels: {gan: {}}"}, "/variant.yaml: 'models' stands twice in one mapping (lines "),
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
