"""A working directory with the workflow, for tests that run Snakemake.

It is a copy of the workflow and the package, so that edits elsewhere cannot disturb it, nor it them.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

from deepgen_bench.experiment.load import Experiment, load_experiment

ROOT = Path(__file__).parents[1]
QUICK = yaml.safe_load((ROOT / "configs" / "quick.yaml").read_text())
PAIRS = [(dataset, model) for dataset in QUICK["datasets"] for model in QUICK["models"]]


def changed(experiment: Experiment, changes: dict[str, Any]) -> Experiment:
    """Another experiment with some keys of its file replaced."""
    return load_experiment(experiment.file.model_dump(mode="json") | changes)


class Project:
    """A working directory with the workflow, the package and, perhaps, results."""

    def __init__(self, folder: Path):
        self.folder = folder
        # neither the user's profile and caches, nor a GPU; the copied package, not the installed one
        self.environment = os.environ | {
            "PYTHONPATH": str(folder),
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "XDG_CONFIG_HOME": str(folder / ".config"),
            "TMPDIR": str(folder),
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        self.environment.pop("SNAKEMAKE_PROFILE", None)

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )

    def run(self, *arguments: str, config: str = "configs/quick.yaml") -> str:
        done = self.snakemake("--cores", "2", *arguments, "--configfile", config)
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout

    def plan(self, *arguments: str, config: str = "configs/quick.yaml") -> tuple[dict[str, int], str]:
        """What a dry run would do: the number of jobs of each rule, and what it says."""
        done = self.snakemake("--dry-run", *arguments, "--configfile", config)
        assert done.returncode == 0, done.stdout[-5000:]
        table = re.search(r"^job +count\n-+ +-+\n(.*?)\n\n", done.stdout, re.MULTILINE | re.DOTALL)
        if table is None:
            assert "Nothing to be done" in done.stdout
            return {}, done.stdout
        jobs = {name: int(count) for name, count in (line.split() for line in table[1].splitlines())}
        del jobs["total"], jobs["all"]
        return jobs, done.stdout

    def variant(self, **changes: object) -> str:
        """Another experiment file: the quick one with some keys replaced."""
        (self.folder / "variant.yaml").write_text(yaml.safe_dump(QUICK | changes, sort_keys=False))
        return "variant.yaml"

    def outside(self, kind: str, name: str, source: str) -> Path:
        """A package of somebody else's with one plug-in, `MADE`, found by its entry point; its source file."""
        info = self.folder / "outside-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[deepgen_bench.{kind}]\n{name} = outside:MADE\n")
        (self.folder / "outside.py").write_text(textwrap.dedent(source))
        return self.folder / "outside.py"

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / "deepgen_bench" / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def files(self, pattern: str) -> dict[Path, int]:
        """When the results that match were last written."""
        return {
            path.relative_to(self.folder): path.stat().st_mtime_ns for path in self.folder.glob(f"results/{pattern}")
        }


def project(folder: Path) -> Project:
    folder.mkdir(exist_ok=True)
    shutil.copy2(ROOT / "Snakefile", folder)
    for name in ("workflow", "profiles", "configs", "deepgen_bench"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return Project(folder)
