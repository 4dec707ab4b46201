"""Pipelines beside each other, ones that fail, and results of other platforms and versions."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import yaml
from project import QUICK, Project

from deepgen_bench.experiment.store import store_of
from deepgen_bench.stages.aggregate import aggregate_partially


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
    awkward = "it's C++, 100 % $x_1$ [*]"
    small = {
        "models": {"vae": {}, awkward: {"model": "gan"}},
        "datasets": {"gaussian_ring": QUICK["datasets"]["gaussian_ring"]},
    }
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
    for model in ("vae", awkward):
        for seed in (3, 4):
            assert logs.count(f"gaussian_ring/{model} seed {seed}: not trained yet") == 1
    one, two = (pd.read_csv(copy.folder / "results" / name / "metrics.csv") for name in ("one", "two"))
    timed = ["experiment", "seconds"]
    assert one.drop(columns=timed).equals(two.drop(columns=timed)) and len(one)


def test_a_pipeline_of_another_working_directory_says_what_failed(copy: Project) -> None:
    """Snakemake has left `--directory` when the summary is printed."""
    small = {"name": "away", "models": {"gaussian": {}}, "likelihood": None, "seeds": [0], "metrics": {"modes": {}}}
    (copy.folder / "away.yaml").write_text(yaml.safe_dump(QUICK | small))
    away = copy.folder / "elsewhere"
    arguments = ["--cores", "1", "--configfile", str(copy.folder / "away.yaml"), "--directory", str(away)]
    done = copy.snakemake(*arguments, "results/away/data/gaussian_ring.json")
    assert done.returncode == 0 and "Traceback" not in done.stdout, done.stdout[-3000:]
    for path in (away / "results" / "data").rglob("train.npy"):
        path.write_bytes(b"")
    done = copy.snakemake(*arguments)
    assert done.returncode == 1 and "Traceback" not in done.stdout, done.stdout[-3000:]
    assert f"({away}/results/away/logs/train/" in done.stdout


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.is_file():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_model_that_fails_leaves_the_others_and_tables_of_them(copy: Project) -> None:
    """A model of an outside package; what is wrong with it is said at the end and in the tables."""
    source = copy.outside(
        "models",
        "broken",
        """
            from deepgen_bench.models.base import GenerativeModel, Implicit
            from deepgen_bench.models.settings import ModelSettings, ModelSpec


            class Broken(GenerativeModel):
                def fit(self, data, replicates, streams, budget, progress):
                    raise ZeroDivisionError("no such <model> | at all")

                def load(self, state):
                    pass

                def sample(self, n, seed):
                    return {}


            MADE = ModelSpec(ModelSettings, Implicit, "outside:Broken")
        """,
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
    # once the cause is removed, the rest runs and the partial tables are deleted
    source.write_text(source.read_text().replace('raise ZeroDivisionError("no such <model> | at all")', "return []"))
    copy.run(config=copy.variant(name="partly", models={"oracle": {}, "gaussian": {}}))
    assert (home / "metrics.csv").is_file() and not (home / "partial").exists()
    # a job after these may fail as well, which makes nothing of theirs partial
    assert aggregate_partially(store_of(home)).endswith("results/partly: everything is measured and aggregated")
    assert not (home / "partial").exists()


def test_damaged_files_are_named_and_rebuilt_by_the_next_call(empty: Project) -> None:
    """Of a replicate, of the data that only measuring reads, and of the measurements themselves."""
    datasets = {"gaussian_ring": QUICK["datasets"]["gaussian_ring"]}
    small = {"name": "small", "datasets": datasets, "models": {"gaussian": {}}, "seeds": [0]}
    config = empty.variant(**small, metrics={"transport": {"n": 100}}, likelihood={"k": [1], "n": 50})
    home = empty.folder / "results" / "small"
    measured = home / "measurements" / "gaussian_ring" / "gaussian"
    targets = [str(path.relative_to(empty.folder)) for path in (measured / "sample_0.csv", home / "metrics.csv")]
    empty.run(*targets, config=config)
    before = pd.read_csv(home / "metrics.csv").drop(columns="seconds")
    for pattern, missing in (
        ("results/runs/**/samples_final.npy", measured / "sample_0.csv"),
        ("results/data/**/test.npy", measured / "sample_0.csv"),
        ("results/small/measurements/**/likelihood_0.npz", home / "metrics.csv"),
    ):
        (file,) = empty.folder.glob(pattern)
        content = file.read_bytes()
        file.write_bytes(content[:-1])
        missing.unlink()
        done = empty.snakemake("--cores", "2", *targets, "--configfile", config)
        assert done.returncode == 1
        # the log, which Snakemake shows above, holds the same reason
        (reason,) = (line for line in done.stdout.splitlines() if re.match(r"error: .*\.log\)$", line))
        assert reason == done.stdout.splitlines()[-1]
        name = re.escape(str(file.relative_to(empty.folder)))
        assert re.match(rf"error: {name}: damaged .*; run snakemake again to rebuild it \(", reason)
        empty.run(*targets, config=config)
        assert content == file.read_bytes() or file.suffix == ".npz"
        assert pd.read_csv(home / "metrics.csv").drop(columns="seconds").equals(before)


def test_results_of_another_version_are_refused(copy: Project) -> None:
    (copy.folder / "results" / "format.json").write_text("1\n")
    for found in ("1", "of an earlier version"):
        done = copy.snakemake("--dry-run", "--configfile", "configs/quick.yaml")
        last = done.stdout.splitlines()[-1]
        assert done.returncode == 1 and "Traceback" not in done.stdout
        assert last.startswith(f"error: results: its format is {found}, that of this version of deepgen_bench is ")
        (copy.folder / "results" / "format.json").unlink(missing_ok=True)
