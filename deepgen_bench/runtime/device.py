"""Selection and setup of a job's device. CUDA devices are counted without torch; each job locks one GPU."""

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.locks import acquire
from deepgen_bench.runtime.processor import vector_instructions

# Several parallel jobs with one thread each are by far the fastest on a CPU. The number of threads also affects
# reproducibility to the bit, so it is set here and not left to the environment.
THREADS = 1
# the environment variables in which SLURM, PBS and LSF give a process the number of its job
SCHEDULER_JOB = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")

# locks of GPUs, held until the process ends
GPU_LOCKS: list[IO[str]] = []


def mkl_mode() -> str:
    """The value of MKL_CBWR for which MKL's results do not depend on the alignment of the operands in memory.

    The alignment differs between replicates of odd widths. Only these two sets of kernels have a strict mode.
    """
    return "AVX512,STRICT" if "avx512f" in vector_instructions() else "AVX2,STRICT"


def set_threads() -> None:
    """Fix threads and rounding of numerical libraries. This must run before numpy or torch is imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(THREADS)
    os.environ["MKL_CBWR"] = mkl_mode()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Without it, matrix products on a GPU differ from run to run. It is read when CUDA is initialised.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")


# This runs in a process of its own, as later changes of CUDA_VISIBLE_DEVICES have no effect after cuInit.
COUNT_DEVICES = """
import ctypes
driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
print(count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0)
"""


def cuda_count() -> int:
    """Number of CUDA devices that the driver shows to this process, given CUDA_VISIBLE_DEVICES."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    command = [sys.executable, "-I", "-S", "-c", COUNT_DEVICES]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return int(process.stdout) if process.returncode == 0 else 0


def resolve(device: str) -> str:
    """Resolve the experiment's `device` to "cpu" or "cuda"; "cuda" without a CUDA device is an error."""
    if device == "cpu":
        return "cpu"
    if cuda_count():
        return "cuda"
    if device == "cuda":
        raise UserError("device: cuda, but the driver shows no CUDA device; valid here: auto, cpu")
    return "cpu"


def open_device(device: str) -> str:
    """Set torch up for `device` and return the device that is used, "cpu" or "cuda".

    With several GPUs the job uses one that no other job on the machine has locked; the system releases the lock when
    the process ends. `auto` falls back to the CPU if CUDA does not work.
    """
    resolved = resolve(device)
    if resolved == "cuda":
        acquire_gpu()
        problem = cuda_problem()
        if problem and device == "cuda":
            raise UserError(f"device: cuda does not work here ({problem}); valid here: auto, cpu")
        if problem:
            resolved = "cpu"
    import torch

    torch.set_num_threads(THREADS)
    # Operations without a deterministic form run nevertheless and are recorded. `use_deterministic_algorithms` would
    # also import a compiler, which takes more than a second.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return resolved


def acquire_gpu() -> None:
    """Make one GPU visible to this process: the first whose lock can be acquired, or the first if there is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(i) for i in range(cuda_count())]
    # A scheduler may number the GPUs of each of its jobs from 0, and the lock files of other users cannot be opened.
    owner = "-".join([str(os.getuid()), *(os.environ[name] for name in SCHEDULER_JOB if name in os.environ)])
    for name in names:
        lock = acquire(Path(tempfile.gettempdir()) / f"deepgen_bench-{owner}-gpu-{name}.lock")
        if lock is not None:
            GPU_LOCKS.append(lock)
            os.environ["CUDA_VISIBLE_DEVICES"] = name
            return
    os.environ["CUDA_VISIBLE_DEVICES"] = names[0]


def cuda_problem() -> str:
    """Why CUDA does not work in this process; empty if it works."""
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
