"""Jobs that are killed while they train, sample or write: what they leave is no result, and the next one repairs it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from deepgen_bench import files, runs
from deepgen_bench.config import load_experiment
from deepgen_bench.plan import Plan
from deepgen_bench.runs import Run
from deepgen_bench.stages.measure import measure_samples
from deepgen_bench.stages.prepare import prepare_dataset
from deepgen_bench.stages.train import train_block
from deepgen_bench.store import Store
from deepgen_bench.training.checkpoint import Keeper

SMALL = {"hidden": [16], "batch_size": 16, "latent_dim": 2}


class Killed(BaseException):
    """The end of a process that nothing may catch."""


def experiment(dataset, model, settings, steps, **other):
    return load_experiment(
        {
            "name": "small",
            "device": "cpu",
            "seeds": [0, 1],
            "samples": 40,
            "checkpoint_seconds": 0,
            "datasets": {dataset: {"budget": steps * SMALL["batch_size"]}},
            "models": {model: {"settings": SMALL | settings}},
            "metrics": {"transport": {"n": 40}},
        }
        | other
    )


def digests(store, dataset, model):
    """The digest of states, samples and status of each seed, all of which are what it says they are."""
    found = []
    for seed in store.experiment.seeds:
        run = Run(store.run_dir(dataset, model, seed))
        assert all(run.state(checkpoint) for checkpoint in run.checkpoints)
        for name, digest in run.info["samples"].items():
            assert files.sha256_of(run.directory / name) == digest
        found.append(run.info["digest"])
    return found


def leftovers(root):
    return [*root.rglob("*.checkpoint"), *root.rglob("*.part")]


# at every write of a job, in this process


def leave_a_part(part, path):
    shutil.copy(part, f"{part}.1.part")


def delete_half(folder, **_):
    for file in sorted(Path(folder).glob("*.*"))[::2]:
        file.unlink()


def kill(monkeypatch, moment):
    """Raise `Killed` at one of the moments before (something is begun) and after a file or folder is replaced."""
    moments = count()

    def around(operation, begun):
        def run(*arguments, **options):
            if next(moments) == moment:
                begun(*arguments, **options)
                raise Killed
            operation(*arguments, **options)
            if next(moments) == moment:
                raise Killed

        return run

    monkeypatch.setattr(files.os, "replace", around(os.replace, leave_a_part))
    monkeypatch.setattr(runs.shutil, "rmtree", around(shutil.rmtree, delete_half))


NETWORKS = {"gan": {"network": "conv", "channels": 4}, "vae": {}}


@pytest.fixture(scope="module")
def finished(request, tmp_path_factory):
    """A small experiment with this model, a folder with its data and one that is finished."""
    made = experiment("digits", request.param, NETWORKS[request.param], steps=2)
    data, whole = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("whole")
    prepare_dataset(Store(made, data), "digits")
    shutil.copytree(data, whole, dirs_exist_ok=True)
    train_block(Store(made, whole), "digits", request.param, 0)
    return made, data, whole


@pytest.mark.parametrize(
    ("finished", "before"),
    [("gan", "nothing"), ("vae", "other code"), ("vae", "fewer samples")],
    indirect=["finished"],
)
def test_a_job_killed_at_any_write_leaves_no_result_and_is_repaired(finished, tmp_path, monkeypatch, before):
    made, data, whole = finished
    (model,) = made.models
    expected = digests(Store(made, whole), "digits", model)
    if before == "fewer samples":
        made = made.model_copy(update={"samples": 60})
        store = Store(made, shutil.copytree(whole, tmp_path / "more"))
        train_block(store, "digits", model, 0)
        expected = digests(store, "digits", model)
    for moment in count():
        store = Store(made, shutil.copytree(data if before == "nothing" else whole, tmp_path / f"at_{moment}"))
        with monkeypatch.context() as patch:
            if before == "other code":
                patch.setattr(Store, "model_code", lambda *_: "other")
            with patch.context() as killer:
                kill(killer, moment)
                try:
                    train_block(store, "digits", model, 0)
                except Killed:
                    pass
                else:
                    break
            # a later stage takes nothing half-written for a result: it has it made first
            if moment % 2:
                measure_samples(store, "digits", model, 0)
                assert digests(store, "digits", model) == expected
            train_block(store, "digits", model, 0)
            assert digests(store, "digits", model) == expected
            measure_samples(store, "digits", model, 0)
            assert not leftovers(store.root)
        shutil.rmtree(store.root)
    assert moment > 10


@pytest.mark.parametrize("finished", ["gan"], indirect=True)
def test_trained_groups_are_not_trained_again(finished, tmp_path, monkeypatch, capsys):
    made, data, _ = finished
    (model,) = made.models
    store = Store(made, shutil.copytree(data, tmp_path / "results"))
    keeps = []
    save = Keeper.save

    def kill_in_the_second_group(self, *state):
        save(self, *state)
        keeps.append(state[:2])
        if state[:2] == ([1], 1):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "save", kill_in_the_second_group)
        with pytest.raises(Killed):
            train_block(store, "digits", model, 0)
        assert keeps == [([0], 1), ([0], 2), ([1], 1)]
        train_block(store, "digits", model, 0)
        assert keeps[3:] == [([1], 2)]
    resumed = [Run(store.run_dir("digits", model, seed)).info["resumed_at"] for seed in (0, 1)]
    assert resumed == [[], [1]] and "seed_0.checkpoint: training goes on after step 1" in capsys.readouterr().err


def test_the_interval_changes_no_identity():
    plans = [Plan(experiment("digits", "vae", {}, 3, checkpoint_seconds=seconds)) for seconds in (1, 60)]
    assert len({plan.train("digits", "vae", 0) for plan in plans}) == 1
    assert len({plan.store.checkpoint("digits", "vae", 0) for plan in plans}) == 1


# real processes


def heed_ctrl_c():
    """A shell's background jobs ignore it, and so do their children, unless they are told otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Real:
    """Real `train` jobs of one block in a folder of their own."""

    def __init__(self, folder, dataset, model, settings, steps):
        made = experiment(dataset, model, settings, steps, samples=5000, checkpoint_seconds=0.05)
        self.store, self.dataset, self.model = Store(made, folder / "results"), dataset, model
        folder.mkdir(exist_ok=True)
        self.file = folder / "small.json"
        self.file.write_text(made.model_dump_json())
        prepare_dataset(self.store, dataset)

    def start(self):
        command = [sys.executable, "-m", "deepgen_bench", "train", self.file, "--results", self.store.root]
        command += ["--dataset", self.dataset, "--model", self.model, "--block", "0"]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c)

    def wait_for_state(self, process):
        """Wait until the process has kept a state of its own."""
        path, began = self.store.checkpoint(self.dataset, self.model, 0), time.time()
        while process.poll() is None and not (path.is_file() and path.stat().st_mtime > began):
            time.sleep(0.002)

    def digests(self):
        return digests(self.store, self.dataset, self.model)


CASES = [
    ("gaussian_ring", "vae", {}, 1000),
    ("digits", "wgan_gp", {"network": "conv", "channels": 4}, 50),
    ("gaussian_ring", "wgan", {}, 400),
    ("digits", "gan", {}, 700),
]


def test_real_jobs_that_are_killed_end_with_the_same_bits(tmp_path, request):
    """`pytest tests/test_killed_jobs.py --kills 40 -s -k real` for many kills, and what came of each."""
    kills, rng = request.config.getoption("--kills"), random.Random(0)
    for number, case in enumerate(CASES[:kills]):
        kill_again_and_again(Real(tmp_path / str(number), *case), len(range(number, kills, len(CASES))), rng)


def kill_again_and_again(job, kills, rng):
    """Kill the job so often, each time at a random moment; it must end with the bits of one that was left alone."""
    began = time.monotonic()
    train_block(job.store, job.dataset, job.model, 0)
    seconds, expected = time.monotonic() - began, job.digests()
    shutil.rmtree(job.store.root / "runs")
    killed = []
    while True:
        process = job.start()
        if len(killed) < kills:
            if rng.random() < 0.9:
                job.wait_for_state(process)
            time.sleep(rng.uniform(0, seconds))
            number = rng.choice([signal.SIGKILL, signal.SIGTERM])
            process.send_signal(number)
        said = process.communicate()[1]
        if process.returncode:
            assert process.returncode == (143 if "stopped by SIGTERM" in said else -number), said
            killed.append(f"{signal.Signals(number).name} {process.returncode}")
            continue
        assert job.digests() == expected and not leftovers(job.store.root)
        resumed = Run(job.store.run_dir(job.dataset, job.model, 1)).info["resumed_at"]
        print(f"\n{job.dataset}/{job.model}: the same bits after {len(killed)} kills {killed}, resumed at {resumed}")
        if len(killed) == kills:
            return
        # it was finished before it was to be killed
        shutil.rmtree(job.store.root / "runs")


def test_a_scheduler_s_signal_and_ctrl_c_end_a_real_job_with_one_line(tmp_path):
    job = Real(tmp_path, "gaussian_ring", "vae", {}, 10**6)
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = job.start()
        job.wait_for_state(process)
        process.send_signal(number)
        *_, last = process.communicate(timeout=60)[1].splitlines()
        assert process.returncode == status
        assert f"seed_0.checkpoint: stopped by {signal.Signals(number).name} after step" in last
