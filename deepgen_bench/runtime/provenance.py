"""What a result says about how it came about: versions, platform, commit, time and memory."""

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
    """What must be equal for bits to be equal: device, processor, threads and library versions."""
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
    """The batch scheduler's job that this process belongs to and the GPUs it was given, as its environment says."""
    return {name: os.environ[name] for name in (*SCHEDULER_JOB, "CUDA_VISIBLE_DEVICES") if name in os.environ}


def determinism() -> dict[str, Any]:
    """The flags that decide how sums are rounded, as they are in this process; torch's only where it is used."""
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
    """The names of torch's operations that ran inside the block and have no deterministic form on their device."""
    found: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=f".*{NONDETERMINISTIC}")
        show = warnings.showwarning

        def note(message: Warning | str, *rest: Any, **others: Any) -> None:
            if NONDETERMINISTIC in str(message):
                found[:] = sorted({*found, str(message).split()[0]})
            else:
                show(message, *rest, **others)

        warnings.showwarning = note
        yield found


def git_state() -> dict[str, Any]:
    """Commit and dirty flag of the checkout the package runs from; None outside one."""

    def git(*arguments: str) -> str | None:
        here = Path(__file__).parent
        try:
            done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # installed into an environment that lies in a repository of something else
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
