"""Provenance recorded with results: library versions, platform, commit, determinism and memory."""

import os
import platform
import resource
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deepgen_bench.runtime.device import SCHEDULER_JOB, THREADS
from deepgen_bench.runtime.processor import processor

NONDETERMINISTIC = "does not have a deterministic implementation"
LIBRARIES = ("numpy", "scipy", "torch", "scikit-learn", "POT", "torch-fidelity", "zuko", "pandas", "snakemake")


def platform_key(device: str) -> dict[str, Any]:
    """What must be equal for results to be equal to the bit: device, processor, threads and library versions."""
    name = processor()
    if device == "cuda":
        import torch

        name = torch.cuda.get_device_name()
    return {
        "device": device,
        "processor": name,
        "threads": THREADS,
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in LIBRARIES},
    }


def scheduler_job() -> dict[str, str]:
    """The environment variables that name the batch scheduler's job of this process and its visible GPUs."""
    return {name: os.environ[name] for name in (*SCHEDULER_JOB, "CUDA_VISIBLE_DEVICES") if name in os.environ}


def determinism_flags() -> dict[str, Any]:
    """The flags of this process on which the rounding of sums depends; those of torch if it is imported."""
    flags: dict[str, Any] = {name: os.environ.get(name) for name in ("MKL_CBWR", "CUBLAS_WORKSPACE_CONFIG")}
    if torch := sys.modules.get("torch"):
        flags |= {
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
            "threads": torch.get_num_threads(),
        }
    return flags


@contextmanager
def nondeterministic_operations() -> Iterator[list[str]]:
    """Collect the names of torch operations that run in the block and have no deterministic form on their device."""
    operations: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=f".*{NONDETERMINISTIC}")
        show = warnings.showwarning

        def record(message: Warning | str, *arguments: Any, **options: Any) -> None:
            if NONDETERMINISTIC in str(message):
                operations[:] = sorted({*operations, str(message).split()[0]})
            else:
                show(message, *arguments, **options)

        warnings.showwarning = record
        yield operations


def git_state() -> dict[str, Any]:
    """Commit and dirty flag of the git checkout that the package runs from; None outside one."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        try:
            process = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return process.stdout.strip() if process.returncode == 0 else None

    # The package may be installed in an environment inside the repository of another project.
    if git("ls-files", "--error-unmatch", __file__) is None:
        return {"commit": None, "dirty": None}
    status = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "dirty": bool(status) if status is not None else None}


def peak_memory_mb(device: str) -> dict[str, float]:
    """Peak resident memory of this process so far, and of the GPU, in MB of 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    memory = {"host": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)}
    if device == "cuda":
        import torch

        memory["device"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return memory
