"""The overhead of the pipeline beside computing: `python -m benchmarks.pipeline configs/default.yaml`.

The experiment runs from the beginning in a separate folder. In every job Python records the durations of imports
(PYTHONPROFILEIMPORTTIME) in the job's log; Snakemake measures the jobs themselves.
"""

import argparse
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.contest import ROOT, where

IMPORT = re.compile(r"^import time:\s+(\d+) \|", re.MULTILINE)


def snakemake(config: Path, folder: Path, cores: int, profile: bool) -> float:
    """Run the experiment; the wall time in seconds."""
    command = ["snakemake", "--cores", str(cores), "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    began = time.perf_counter()
    environment = os.environ | ({"PYTHONPROFILEIMPORTTIME": "1"} if profile else {})
    done = subprocess.run(
        [*command, "--configfile", str(config)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)}: {done.stderr.strip().splitlines()[-1]}")
    return time.perf_counter() - began


def jobs(home: Path) -> pd.DataFrame:
    """Durations of every job and of its imports, in seconds."""
    rows = []
    for path in sorted(home.glob("benchmarks/**/*.tsv")):
        log = home / "logs" / path.relative_to(home / "benchmarks").with_suffix(".log")
        imports = sum(map(int, IMPORT.findall(log.read_text()))) / 1e6
        seconds = float(pd.read_csv(path, sep="\t")["s"].iloc[0])
        rows.append({"s": seconds, "imports": imports})
    return pd.DataFrame(rows)


def account(config: Path, folder: Path, cores: int) -> list[dict[str, Any]]:
    """Quantities and their values. `folder` is emptied first and contains the results afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wall = snakemake(config, folder, cores, profile=True)
    again = snakemake(config, folder, cores, profile=False)
    done = jobs(folder / "results" / yaml.safe_load(config.read_text())["name"])
    compute = float((done["s"] - done["imports"]).sum())
    share = 1 - compute / (wall * cores)
    idle = wall * cores - float(done["s"].sum())
    values = [
        {"case": "wall time, s", "value": wall},
        {"case": f"jobs' pure compute on {cores} cores, s", "value": compute / cores},
        {"case": "orchestration and imports, share of the wall time", "value": share},
        {"case": "jobs", "value": len(done)},
        {"case": "imports, s a job", "value": float(done["imports"].mean())},
        {"case": "cores without a job, s a job", "value": idle / len(done)},
        {"case": "a second run with nothing to do, s", "value": again},
    ]
    return [row | {"where": where()} for row in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "bench", help="a folder, emptied first")
    given = parser.parse_args()
    for row in account(given.config.resolve(), given.results.resolve(), given.cores):
        print(f"{row['case']}: {row['value']:.4g}")


if __name__ == "__main__":
    main()
