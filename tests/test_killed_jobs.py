"""Real jobs and pipelines that are killed at random moments: run again, they end with the bits of undisturbed ones.

`pytest tests/test_killed_jobs.py --kills 100 -s` for many kills, and what came of each.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from killing import digests, experiment, leftovers

from deepgen_bench.experiment.store import Store
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.stages.prepare import prepare_dataset
from deepgen_bench.stages.train import train_block
from deepgen_bench.storage.failures import read_failure
from deepgen_bench.storage.files import sha256_of

ROOT = Path(__file__).parents[1]
# seconds that a small job or pipeline may take, ten times what it does: one that hangs is a failure
PATIENCE = 300


def heed_ctrl_c():
    """A shell's background jobs ignore it, and so do their children, unless they are told otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def content(root):
    """Digests of all results in a folder by path, without what differs from run to run: times, locks, logs."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not path.is_file() or path.name.startswith(".") or "/logs/" in name or "/benchmarks/" in name:
            continue
        # the page and the figure of costs show times; a PDF of the same figure differs in the order of its objects
        if path.name == "report.html" or "_cost." in path.name or path.suffix == ".pdf":
            continue
        if path.name == "run.json":
            found[name] = Replicate(path.parent).info["digest"]
        elif path.suffix == ".json" and ("/measurements/" in name or path.name == "aggregated.json"):
            # the store's rows, and the seals of the experiment's files, which hold times as well
            found[name] = [row | {"seconds": 0} for row in json.loads(path.read_text()).get("rows", [])]
        elif path.suffix == ".json" and "/figure_data/" in name:
            models = json.loads(path.read_text())["models"]
            found[name] = {model: info | {"runs": len(info["runs"])} for model, info in models.items()}
        elif path.name == "metrics.csv" or path.suffix == ".csv" and "/measurements/" in name:
            found[name] = pd.read_csv(path, dtype=str).drop(columns="seconds").to_csv()
        else:
            found[name] = sha256_of(path)
    return found


@dataclass
class Job:
    """A small experiment in a folder of its own, and one command on it."""

    folder: Path
    dataset: str
    model: str
    settings: dict
    steps: int
    other: dict = field(default_factory=dict)

    def __post_init__(self):
        made = experiment(self.dataset, self.model, self.settings, self.steps, checkpoint_seconds=0.05, **self.other)
        self.store = Store(made, self.folder / "results")
        self.folder.mkdir(exist_ok=True)
        self.file = self.folder / "small.json"
        self.file.write_text(made.file.model_dump_json())

    def start(self, stage="train"):
        command = [sys.executable, "-m", "deepgen_bench", stage, self.file, "--results", self.store.root]
        if stage != "aggregate":
            command += ["--dataset", self.dataset]
        if stage in ("train", "measure", "likelihood"):
            command += ["--model", self.model, "--block", "0"]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c)

    def finish(self, stage):
        """Let the command come to its end; the seconds that it took."""
        began = time.monotonic()
        process = self.start(stage)
        said = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 0, said
        return time.monotonic() - began

    def wait_for_state(self, process):
        """Wait until the process has kept a training state of its own."""
        path, began = self.store.checkpoint(self.dataset, self.model, 0), time.time()
        while process.poll() is None and not (path.is_file() and path.stat().st_mtime > began):
            time.sleep(0.002)


# training and sampling

TRAININGS = [
    ("gaussian_ring", "vae", {}, 1000),
    ("digits", "wgan_gp", {"network": "conv", "channels": 4}, 50),
    ("gaussian_ring", "wgan", {}, 400),
    ("digits", "gan", {}, 700),
]


@pytest.mark.parametrize("number", range(len(TRAININGS)))
def test_killed_trainings_end_with_the_same_bits(tmp_path, number, kills):
    job, rng = Job(tmp_path / "job", *TRAININGS[number], {"samples": 5000}), random.Random(number)
    prepare_dataset(job.store, job.dataset)
    began = time.monotonic()
    train_block(job.store, job.dataset, job.model, 0)
    seconds, expected = time.monotonic() - began, digests(job.store, job.dataset, job.model)
    shutil.rmtree(job.store.root / "runs")
    killed = []
    while True:
        process = job.start()
        if len(killed) < max(1, kills // 8):
            if rng.random() < 0.9:
                job.wait_for_state(process)
            time.sleep(rng.uniform(0, seconds))
            number = rng.choice([signal.SIGKILL, signal.SIGTERM])
            process.send_signal(number)
        said = process.communicate(timeout=PATIENCE)[1]
        if process.returncode:
            assert process.returncode == (143 if "stopped by SIGTERM" in said else -number), said
            killed.append(f"{signal.Signals(number).name} {process.returncode}")
            continue
        assert digests(job.store, job.dataset, job.model) == expected and not leftovers(job.store.root)
        resumed = Replicate(job.store.run_dir(job.dataset, job.model, 1)).info["resumed_at"]
        print(f"\n{job.dataset}/{job.model}: the same bits after {len(killed)} kills {killed}, resumed at {resumed}")
        if len(killed) >= max(1, kills // 8):
            return
        # it was finished before it was to be killed
        shutil.rmtree(job.store.root / "runs")


def test_a_scheduler_s_signal_and_ctrl_c_end_a_real_job_with_one_line(tmp_path):
    job = Job(tmp_path, "gaussian_ring", "vae", {}, 10**6)
    prepare_dataset(job.store, job.dataset)
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = job.start()
        job.wait_for_state(process)
        process.send_signal(number)
        *_, last = process.communicate(timeout=60)[1].splitlines()
        assert process.returncode == status
        name = signal.Signals(number).name
        assert f"seed_0.checkpoint: stopped by {name} after step" in last
        assert read_failure(job.store.failure("train", job.dataset, job.model, 0)) == f"stopped by {name}"


# measuring and aggregating


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A job that went through all stages undisturbed, and its folder as it was before each."""
    folder = tmp_path_factory.mktemp("measured")
    metrics = {"metrics": {"fidelity": {}, "transport": {"n": 40}}, "likelihood": {"k": [1, 100], "n": 30}}
    job = Job(folder / "job", "digits", "vae", {"decoder": "bernoulli"}, 20, metrics)
    before, seconds = {}, {}
    for stage in ("prepare", "extractor", "train", "measure", "likelihood", "aggregate"):
        before[stage] = shutil.copytree(job.store.root, folder / stage) if job.store.root.exists() else None
        seconds[stage] = job.finish(stage)
    return job, before, seconds


@pytest.mark.parametrize("stage", ["measure", "likelihood", "aggregate"])
def test_killed_measurements_end_with_the_same_bits(measured, stage, kills):
    whole, before, seconds = measured
    job, rng, killed = Job(whole.folder.parent / f"killed_{stage}", *vars_of(whole)), random.Random(stage), []
    shutil.copytree(before[stage], job.store.root)
    while len(killed) < max(1, kills // 8):
        process = job.start(stage)
        time.sleep(rng.uniform(0.2, seconds[stage]))
        number = rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        if process.returncode:
            killed.append(f"{signal.Signals(number).name} {process.returncode}")
        else:  # it was finished before it was to be killed
            shutil.rmtree(job.store.root)
            shutil.copytree(before[stage], job.store.root)
    print(f"\n{stage}: {killed}")
    for rest in ("measure", "likelihood", "aggregate"):
        job.finish(rest)
    assert content(job.store.root) == content(whole.store.root)
    assert not leftovers(job.store.root)


def vars_of(job):
    return job.dataset, job.model, job.settings, job.steps, job.other


# whole pipelines


class Pipeline:
    """A small experiment run by Snakemake in a folder of its own."""

    def __init__(self, folder):
        self.folder, self.results = folder, folder / "results"
        folder.mkdir()
        for name in ("Snakefile", "workflow", "profiles"):
            (folder / name).symlink_to(ROOT / name)
        other = {"likelihood": {"k": [1, 10], "n": 20}, "checkpoint_seconds": 0.05, "metrics": {"two_sample": {}}}
        made = experiment("digits", "vae", {"latent_dim": 2}, 600, **other)
        data = made.file.model_dump(mode="json") | {
            "models": {"oracle": {}, "vae": {"settings": {"hidden": [16]}}, "gan": {}}
        }
        (folder / "small.json").write_text(json.dumps(data))

    def start(self, *arguments):
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "small.json", *arguments]
        environment = os.environ | {"XDG_CACHE_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        # into a file: the jobs of a killed driver live on, and would keep a pipe open
        with open(self.folder / "said", "w") as said:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=said,
                stderr=said,
                preexec_fn=heed_ctrl_c,
                start_new_session=True,
            )

    def end(self, process):
        """Wait for the end of a process that was started, or asked to stop; what it said."""
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"it did not end in {PATIENCE} s: {(self.folder / 'said').read_text()}") from None
        return (self.folder / "said").read_text()

    def finish(self, *arguments):
        process = self.start(*arguments)
        said = self.end(process)
        assert process.returncode == 0, said
        return said

    def complete(self):
        """What is finished, and when it was: replicates with samples, and what was measured of them."""
        runs = [path for path in self.results.glob("runs/*/*/*/*/run.json") if Replicate(path.parent).info["n_samples"]]
        return {
            path: path.stat().st_mtime_ns for path in [*runs, *self.results.glob("runs/*/*/*/*/measurements/*.json")]
        }


# the driver alone, whose jobs live on; all processes, as when a machine goes down; or the driver asked to stop
KILLS = [
    ("the driver", lambda process: os.kill(process.pid, signal.SIGKILL)),
    ("everything", lambda process: os.killpg(process.pid, signal.SIGKILL)),
    ("SIGTERM to all", lambda process: os.killpg(process.pid, signal.SIGTERM)),
    ("Ctrl-C", lambda process: os.killpg(process.pid, signal.SIGINT)),
]


def test_killed_pipelines_are_finished_by_the_next_run(tmp_path, kills):
    whole = Pipeline(tmp_path / "whole")
    began = time.monotonic()
    whole.finish()
    seconds, expected = time.monotonic() - began, content(whole.results)
    rng = random.Random(0)
    for number in range(max(1, kills // 16)):
        pipeline = Pipeline(tmp_path / f"killed_{number}")
        for name, kill in KILLS if number % 2 else [KILLS[number // 2 % len(KILLS)]]:
            process = pipeline.start("--rerun-incomplete")
            time.sleep(rng.uniform(2, seconds / (2 if number % 2 else 1)))
            kill(process)
            pipeline.end(process)
            before = pipeline.complete()
            print(f"\n{name}: status {process.returncode}, {len(before)} complete")
        said = pipeline.finish("--rerun-incomplete")
        after = pipeline.complete()
        assert {path: after[path] for path in before} == before, said
        assert content(pipeline.results) == expected
        assert not leftovers(pipeline.results)
        assert "Nothing to be done" in pipeline.finish()
