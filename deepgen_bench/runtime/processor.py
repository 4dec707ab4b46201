"""The processor that sums are rounded by. Imports nothing that is heavy."""

import platform
from pathlib import Path


def fields() -> dict[str, str]:
    """What Linux says of the last processor; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def vector_instructions() -> list[str]:
    """Those by which libraries choose their kernels."""
    found = fields()
    flags = (found.get("flags") or found.get("Features") or "").split()
    return sorted(flag for flag in flags if flag.startswith(("avx", "amx", "fma", "sve", "asimd")))


def processor() -> str:
    """The processor's model, vector instructions and caches, which decide how sums are rounded. Virtual machines give
    different processors the same name, so it is not enough."""
    found = fields()
    if not found:
        return platform.processor() or platform.machine()
    model = [f"{key} {found[key]}" for key in ("cpu family", "model", "stepping", "CPU part") if key in found]
    name = found.get("model name", platform.machine())
    return ", ".join([name, *model, " ".join(vector_instructions()), *caches()])


def caches() -> list[str]:
    """The sizes of the first processor's caches, by which some libraries block their sums."""
    sizes = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    return ["caches " + " ".join(size.read_text().strip() for size in sizes)] if sizes else []
