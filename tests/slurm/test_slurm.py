"""The workflow through profiles/slurm, on a real controller with two GPUs that it hands out and nothing can compute on.

What takes long goes on beside other tests: a job that exceeds its time is noticed only after a minute and a half.
"""

import json
import re
from collections.abc import Callable
from typing import ClassVar

import pandas as pd
import pytest
import yaml
from conftest import ROOT, Driver, Project, run, wait_for

QUICK = yaml.safe_load((ROOT / "configs" / "quick.yaml").read_text())
PROFILE = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
MakeProject = Callable[[str], Project]
TRAINED = "results/{name}/train/gaussian_ring/held/block_0.json"
TRAIN_LOG = "results/{name}/logs/train/gaussian_ring/held_0.log"


def slurm_job(number: str) -> dict[str, str]:
    """What the scheduler knows of a job."""
    return dict(field.split("=", 1) for field in run("scontrol", "show", "job", number).split() if "=" in field)


def submitted(driver: Driver, kind: str) -> list[str]:
    """Numbers of the jobs that a driver has submitted for a rule or group, first one first."""
    return re.findall(rf"submitted with SLURM jobid (\d+) \(log: \S+/{kind}\S*\)", driver.said)


def small(**changes: object) -> dict[str, object]:
    """An experiment with one model, which trains slowly for as long as there is a file `hold`."""
    return {
        "seeds": [0],
        "device": "auto",
        "checkpoint_seconds": 3600,  # only a signal makes it keep its state
        "samples": 100,
        "datasets": {
            "gaussian_ring": {"budget": 16000, "settings": {"n_train": 500, "n_validation": 100, "n_test": 100}}
        },
        "models": {"held": {"settings": {"batch_size": 16}}},
        "metrics": {"transport": {"n": 100}},
        "likelihood": None,
    } | changes


class Held:
    """One training that goes on slowly until it is released, submitted in a project of its own."""

    def __init__(self, make_project: MakeProject, name: str, *arguments: str, device: str = "auto"):
        self.project = make_project(name)
        self.hold = self.project.folder / "hold"
        self.hold.touch()
        config = self.project.experiment(name, small(device=device))
        self.driver = self.project.submit("driver", config, *arguments, "--", TRAINED.format(name=name))
        self.log = self.project.folder / TRAIN_LOG.format(name=name)

    def attempt(self, number: int, again: bool = False) -> str:
        """Wait until the so-many-th job trains (`again` after it was preempted); the job's number."""
        wait_for(f"submission {number}", lambda: len(self.jobs) >= number)
        job = self.jobs[number - 1]
        sign = "goes on after step" if number > 1 else "/1000, validation"

        def trains() -> bool:
            if slurm_job(job)["JobState"] != "RUNNING" or slurm_job(job)["Restarts"] != str(int(again)):
                return False
            # each attempt overwrites the log
            said = self.log.read_text() if self.log.is_file() else ""
            return sign in said and "stopped by SIGTERM" not in said

        wait_for(f"training in job {job}", trains)
        return job

    @property
    def jobs(self) -> list[str]:
        return submitted(self.driver, "group_block")

    def release(self) -> dict[str, object]:
        """Let the training end, and return what its run.json says."""
        self.hold.unlink()
        status = self.driver.finish()
        assert status == 0, self.driver.said[-5000:]
        (path,) = self.project.runs()
        return json.loads(path.read_text())


@pytest.fixture(scope="session")
def too_slow(make_project: MakeProject) -> Held:
    """A training whose first attempt is given one minute, and the next an hour; it leaves the GPUs to others."""
    return Held(make_project, "too_slow", "--set-resources", "train:runtime=1 if attempt == 1 else 60", device="cpu")


class Sharing:
    """Two experiments at once that have a seed in common, held so that one must wait for the other; without a GPU."""

    seeds: ClassVar = {"one": [0, 1], "two": [1, 2]}

    def __init__(self, make_project: MakeProject):
        self.project = make_project("sharing")
        (self.project.folder / "hold").touch()
        for name, seeds in self.seeds.items():
            self.project.submit(name, self.project.experiment(name, small(seeds=seeds, device="cpu")))

    @property
    def said(self) -> str:
        """What the jobs that train have said."""
        logs = [self.project.folder / TRAIN_LOG.format(name=name) for name in self.seeds]
        return "".join(log.read_text() for log in logs if log.is_file())


@pytest.fixture(scope="session")
def sharing(make_project: MakeProject) -> Sharing:
    return Sharing(make_project)


@pytest.fixture(scope="session")
def alone(make_project: MakeProject) -> Project:
    """The quick experiment on this machine alone, begun and not waited for."""
    project = make_project("alone")
    project.start("driver", "--cores", "2", "--configfile", "configs/quick.yaml")
    return project


@pytest.fixture(autouse=True, scope="session")
def beside(too_slow: Held, sharing: Sharing, alone: Project) -> None:
    """All of them begin before any test."""


def test_a_cancelled_job_is_retried_a_preempted_one_starts_again_and_both_go_on(make_project: MakeProject) -> None:
    held = Held(make_project, "interrupted")
    first = held.attempt(1)
    run("scancel", first)
    second = held.attempt(2)
    # a job in a partition of higher priority that needs both GPUs
    run("sbatch", "--partition=urgent", "--gpus=2", "--output=/dev/null", "--wrap=true")
    held.attempt(2, again=True)
    info = held.release()
    assert held.jobs == [first, second]
    cancelled, completed = slurm_job(first), slurm_job(second)
    assert (cancelled["JobState"], completed["JobState"]) == ("CANCELLED", "COMPLETED")
    # the next attempt asks for twice as much
    assert completed["MinMemoryNode"] == f"{2 * int(cancelled['MinMemoryNode'].removesuffix('M'))}M"
    assert (cancelled["TimeLimit"], completed["TimeLimit"]) == ("00:10:00", "00:20:00")
    before, after = info["resumed_at"]
    assert 0 < before < after
    assert info["scheduler_job"]["SLURM_JOB_ID"] == second


# the quick experiment


class Quick:
    """The quick experiment on the cluster and, at the same time, two that want what the cluster has not."""

    def __init__(self, make_project: MakeProject):
        self.project = make_project("quick")
        self.driver = self.project.submit("driver", "configs/quick.yaml", "--config", "device=auto")
        # why a group cannot be submitted is not said
        three = ("--resources", "gpu=3", "--set-resources", "train:gpu=3", "--groups", "aggregate=tables")
        self.greedy = self._train_one("greedy", "auto", *three)
        self.needy = self._train_one("needy", "cuda")

    def _train_one(self, name: str, device: str, *arguments: str) -> Driver:
        changes = {"seeds": [7], "models": {"gan": {}}, "device": device}
        config = self.project.experiment(name, QUICK | changes)
        target = f"results/{name}/train/digits/gan/block_1.json"
        return self.project.submit(name, config, "--retries", "0", *arguments, "--", target)


@pytest.fixture(scope="session")
def begun(make_project: MakeProject) -> Quick:
    return Quick(make_project)


@pytest.fixture(scope="session")
def quick(begun: Quick) -> Quick:
    """The same, finished."""
    assert begun.driver.finish() == 0, begun.driver.said[-5000:]
    return begun


def test_experiments_that_run_at_once_share_data_and_replicates(sharing: Sharing, begun: Quick) -> None:
    project = sharing.project
    wait_for("a job that waits for the other's replicate", lambda: "waiting for process" in sharing.said)
    (project.folder / "hold").unlink()
    for driver in project.drivers:
        assert driver.finish() == 0, driver.said[-5000:]
    assert len(list(project.folder.glob("results/data/*/*/dataset.json"))) == 1
    assert [path.parent.name for path in project.runs()] == ["seed_0", "seed_1", "seed_2"]
    for seed in (0, 1, 2):
        assert sharing.said.count(f"seed {seed}: not trained yet") == 1
    tables = [pd.read_csv(project.folder / f"results/{name}/metrics.csv") for name in sharing.seeds]
    assert [sorted(set(rows.seed)) for rows in tables] == list(sharing.seeds.values())
    shared = [rows[rows.seed == 1].drop(columns="experiment").reset_index(drop=True) for rows in tables]
    pd.testing.assert_frame_equal(*shared, check_exact=True)


def test_each_training_got_one_gpu(quick: Quick) -> None:
    infos = [json.loads(path.read_text()) for path in quick.project.runs()]
    assert len(infos) == len(QUICK["datasets"]) * len(QUICK["models"]) * len(QUICK["seeds"])
    for info in infos:
        assert info["scheduler_job"]["CUDA_VISIBLE_DEVICES"] in ("0", "1")
        assert info["scheduler_job"]["SLURM_JOB_ID"] in submitted(quick.driver, "group_block")
        # it is none that can be computed on
        assert info["platform"]["device"] == "cpu"
    for number in submitted(quick.driver, "group_block"):
        job = slurm_job(number)
        assert job["TresPerJob"] == "gres:gpu:1"
        assert (job["NumCPUs"], job["Partition"]) == ("1", "main")
    for number in submitted(quick.driver, "rule_prepare") + submitted(quick.driver, "group_tables"):
        assert "TresPerJob" not in slurm_job(number)


def test_short_jobs_are_bundled(quick: Quick) -> None:
    pairs = len(QUICK["datasets"]) * len(QUICK["models"])
    bundle = PROFILE["group-components"]["block"]
    kinds = {"rule_prepare": 2, "rule_extractor": 1, "group_block": -(-pairs // bundle), "group_tables": 1}
    assert {kind: len(submitted(quick.driver, kind)) for kind in kinds} == kinds
    assert len(submitted(quick.driver, "")) == sum(kinds.values())


def test_metrics_are_those_of_a_local_run(quick: Quick, alone: Project) -> None:
    (driver,) = alone.drivers
    assert driver.finish() == 0, driver.said[-5000:]
    ours, expected = (pd.read_csv(p.folder / "results" / "quick" / "metrics.csv") for p in (quick.project, alone))
    assert len(expected) > 500
    pd.testing.assert_frame_equal(ours.drop(columns="seconds"), expected.drop(columns="seconds"), check_exact=True)


def test_a_local_run_finds_nothing_to_do(quick: Quick) -> None:
    driver = quick.project.start("local", "--dry-run", "--cores", "2", "--configfile", "configs/quick.yaml")
    assert driver.finish() == 0 and "Nothing to be done" in driver.said


def test_a_third_gpu_is_refused(quick: Quick) -> None:
    assert quick.greedy.finish() == 1
    assert "Requested node configuration is not available" in quick.greedy.said
    assert not submitted(quick.greedy, "rule_train")


def test_a_job_that_needs_cuda_and_finds_none_fails_with_one_line(quick: Quick) -> None:
    """And a login node without a GPU is no reason to refuse the experiment."""
    assert quick.needy.finish() == 1
    assert len(submitted(quick.needy, "group_block")) == 1
    (log,) = quick.project.folder.glob("results/needy/logs/train/digits/gan_*.log")
    assert log.read_text().splitlines()[-1] == (
        "error: device: cuda, but the driver shows no CUDA device; valid here: auto, cpu"
    )


# last, for it takes longest


def test_a_job_that_exceeds_its_time_is_retried_and_goes_on(too_slow: Held) -> None:
    wait_for("retry", lambda: len(too_slow.jobs) > 1)
    info = too_slow.release()
    first, second = too_slow.jobs
    assert slurm_job(first)["JobState"] == "TIMEOUT"
    assert [slurm_job(job)["TimeLimit"] for job in (first, second)] == ["00:01:00", "01:00:00"]
    assert len(info["resumed_at"]) == 1 and info["resumed_at"][0] > 0
    # `device: cpu`: no GPU was asked for
    assert info["scheduler_job"] == {"SLURM_JOB_ID": second}
    assert not any("TresPerJob" in slurm_job(job) for job in (first, second))
