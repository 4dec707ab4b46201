"""The modules behind every identity of code, by stage or plug-in. Run as a script, it writes the pinned file."""

import json
from pathlib import Path

from deepgen_bench.experiment.identity import ENTRIES, closure
from deepgen_bench.plugins import CHECKS, CLAIMS, DATASETS, METRICS, MODELS

FILE = Path(__file__).with_name("closures.json")


def closures() -> dict[str, list[str]]:
    """Names of modules without that of the package, by what they decide."""
    entries = {f"stage {name}": modules for name, modules in ENTRIES.items()}
    for registry in (DATASETS, METRICS, CHECKS, CLAIMS):
        entries |= {f"{registry.kind} {name}": (registry.target(name).split(":")[0],) for name in registry}
    entries |= {f"model {name}": (MODELS[name].implementation.split(":")[0],) for name in MODELS}
    return {name: [m.removeprefix("deepgen_bench.") for m in closure(*modules)] for name, modules in entries.items()}


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(modules)}" for name, modules in closures().items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
