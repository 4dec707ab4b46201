"""Which device a job runs on. CUDA is looked for without importing torch, and a GPU is taken for one job at a time."""

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.locks import take
from deepgen_bench.runtime.processor import vector_instructions

# One thread a job, and several jobs beside each other, is the fastest on a CPU by far; it is also part of what makes
# numbers reproducible to the bit, so it is set here and not left to the environment.
THREADS = 1
# what SLURM, PBS and LSF call the job that a process belongs to
SCHEDULER_JOB = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")

# locks of GPUs, open for as long as the process lives
TAKEN: list[IO[str]] = []


def strict_kernels() -> str:
    """What to ask MKL for. It rounds a product by where in memory its operands begin, and that differs between
    replicates of odd widths; strict results, which only these two sets of kernels can give, do not."""
    return "AVX512,STRICT" if "avx512f" in vector_instructions() else "AVX2,STRICT"


def set_threads() -> None:
    """Fix threads and rounding of numerical libraries; must run before numpy or torch is imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(THREADS)
    os.environ["MKL_CBWR"] = strict_kernels()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # without it products on a GPU differ from run to run; read when CUDA is initialised
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")


# a process that has asked the driver sees the devices of that moment for good
COUNT = """
import ctypes
driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
print(count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0)
"""


def cuda_count() -> int:
    """Number of CUDA devices that the driver shows to processes like this one (it honours CUDA_VISIBLE_DEVICES)."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    said = subprocess.run([sys.executable, "-I", "-S", "-c", COUNT], stdout=subprocess.PIPE, text=True, check=False)
    return int(said.stdout) if said.returncode == 0 else 0


def resolve(device: str) -> str:
    """ "cpu" or "cuda" for the experiment's `device`; "cuda" without one is an error."""
    if device == "cpu":
        return "cpu"
    if cuda_count():
        return "cuda"
    if device == "cuda":
        raise UserError("device: cuda, but the driver shows no CUDA device; valid here: auto, cpu")
    return "cpu"


def open_device(device: str) -> str:
    """Make `device` ready for torch and return what it became: "cpu" or "cuda".

    With several GPUs the job takes one that no other job here holds, through a lock that the system frees when the
    process ends. `auto` falls back to the CPU where CUDA does not work.
    """
    chosen = resolve(device)
    if chosen == "cuda":
        take_gpu()
        problem = cuda_problem()
        if problem and device == "cuda":
            raise UserError(f"device: cuda does not work here ({problem}); valid here: auto, cpu")
        if problem:
            chosen = "cpu"
    import torch

    torch.set_num_threads(THREADS)
    # What cannot be deterministic is done all the same, and recorded. `use_deterministic_algorithms` would import a
    # compiler as well, for more than a second.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return chosen


def take_gpu() -> None:
    """Show this process one GPU alone: the first whose lock file is free, or the first if none is."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(i) for i in range(cuda_count())]
    # a scheduler may number the GPUs of each of its jobs from 0; another user's lock file could not be opened
    owner = "-".join([str(os.getuid()), *(os.environ[name] for name in SCHEDULER_JOB if name in os.environ)])
    for name in names:
        lock = take(Path(tempfile.gettempdir()) / f"deepgen_bench-{owner}-gpu-{name}.lock")
        if lock is not None:
            TAKEN.append(lock)
            os.environ["CUDA_VISIBLE_DEVICES"] = name
            return
    os.environ["CUDA_VISIBLE_DEVICES"] = names[0]


def cuda_problem() -> str:
    """What stands in the way of CUDA in this process; empty if it works."""
    import torch

    try:
        if not torch.cuda.is_available():
            return "torch sees no CUDA device"
        torch.ones(2, device="cuda").sum().item()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    return ""
