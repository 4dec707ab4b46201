"""Devices: found without torch, one GPU a job, one thread a job."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepgen_bench.plugins import MODELS
from deepgen_bench.runtime import device
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.provenance import platform_key, scheduler_job

HOLD = """
import sys
from deepgen_bench.runtime.device import acquire_gpu
acquire_gpu()
import os
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


class Job:
    """A process that takes a GPU and holds it until it ends."""

    def __init__(self, folder: Path, visible: str, **scheduler: str):
        environment = os.environ | {"TMPDIR": str(folder), "CUDA_VISIBLE_DEVICES": visible} | scheduler
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.gpu = self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_models_that_compute_with_torch_use_a_device_whatever_their_family():
    users = {name for name in MODELS if MODELS[name].uses_device}
    assert users >= {"vae", "gan", "flow"} and not users & {"oracle", "gaussian", "gmm", "kde"}


def test_every_job_takes_its_own_gpu_and_a_dead_one_gives_it_back(tmp_path: Path) -> None:
    jobs = [Job(tmp_path, "2,5") for _ in range(3)]
    try:
        assert [job.gpu for job in jobs] == ["2", "5", "2"]  # with all taken, the first
        jobs[1].kill()
        jobs.append(Job(tmp_path, "2,5"))
        assert jobs[-1].gpu == "5"
        jobs.append(Job(tmp_path, "GPU-8f6e,GPU-1c2d"))  # names as the driver gives them
        assert jobs[-1].gpu == "GPU-8f6e"
    finally:
        for job in jobs:
            job.kill()


def test_jobs_of_a_scheduler_have_gpus_of_their_own(tmp_path: Path) -> None:
    """Two jobs on one node may both call theirs 0; what runs within one of them shares out what it was given."""
    jobs = [Job(tmp_path, "0,1", SLURM_JOB_ID=number) for number in ("7", "8", "7")]
    try:
        assert [job.gpu for job in jobs] == ["0", "0", "1"]
    finally:
        for job in jobs:
            job.kill()


def test_a_result_says_which_job_of_a_scheduler_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*device.SCHEDULER_JOB, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    assert scheduler_job() == {}
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert scheduler_job() == {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "1"}
    assert not {"SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"} & set(platform_key("cpu"))


@pytest.mark.parametrize(
    ("asked", "count", "expected"), [("cpu", 0, "cpu"), ("cpu", 2, "cpu"), ("auto", 0, "cpu"), ("auto", 2, "cuda")]
)
def test_the_device_that_a_name_stands_for(
    asked: str, count: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "cuda_count", lambda: count)
    assert device.resolve(asked) == expected


def run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_gpu_cuda_is_an_error_and_auto_the_cpu() -> None:
    """In a process that sees no GPU, on any machine; and torch is not needed to find out."""
    script = """
import sys
from deepgen_bench.runtime.device import cuda_count, resolve
from deepgen_bench.runtime.errors import UserError
try:
    resolve("cuda")
except UserError as error:
    print(cuda_count(), resolve("auto"), resolve("cpu"), "torch" in sys.modules, error)
"""
    said = run(script, CUDA_VISIBLE_DEVICES="-1")
    assert said == "0 cpu cpu False device: cuda, but the driver shows no CUDA device; valid here: auto, cpu"


def test_a_device_that_the_driver_shows_but_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a cluster whose GPUs are of another make than the torch that is installed."""
    monkeypatch.setattr(device, "cuda_count", lambda: 1)
    monkeypatch.setattr(device, "cuda_problem", lambda: "torch sees no CUDA device")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert device.open_device("auto") == "cpu"
    with pytest.raises(UserError, match="^device: cuda does not work here .torch sees no CUDA device.; valid here: "):
        device.open_device("cuda")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"  # the scheduler's choice


def test_one_thread_a_job_whatever_the_environment_says() -> None:
    script = """
from deepgen_bench.runtime.device import set_threads
set_threads()
import torch
before = torch.get_num_threads()
torch.set_num_threads(2)
from deepgen_bench.runtime.device import open_device
print(before, open_device("cpu"), torch.get_num_threads())
"""
    assert run(script, OMP_NUM_THREADS="2", MKL_NUM_THREADS="2") == "1 cpu 1"
