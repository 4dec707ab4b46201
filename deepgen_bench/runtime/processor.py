"""Identification of the processor, on which the rounding of sums depends. Imports no large library."""

import platform
from pathlib import Path


def cpu_info() -> dict[str, str]:
    """The entries of `/proc/cpuinfo` for the last processor; empty on systems other than Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def vector_instructions() -> list[str]:
    """The processor's vector instruction sets, by which libraries choose their kernels."""
    info = cpu_info()
    flags = (info.get("flags") or info.get("Features") or "").split()
    return sorted(flag for flag in flags if flag.startswith(("avx", "amx", "fma", "sve", "asimd")))


def processor() -> str:
    """The processor's name, model, vector instructions and caches, on which the rounding of sums depends.

    The name alone is not enough, as virtual machines give different processors the same name.
    """
    info = cpu_info()
    if not info:
        return platform.processor() or platform.machine()
    model = [f"{key} {info[key]}" for key in ("cpu family", "model", "stepping", "CPU part") if key in info]
    name = info.get("model name", platform.machine())
    return ", ".join([name, *model, " ".join(vector_instructions()), *caches()])


def caches() -> list[str]:
    """Sizes of the first processor's caches, by which some libraries choose the blocks of their sums."""
    sizes = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    return ["caches " + " ".join(size.read_text().strip() for size in sizes)] if sizes else []
