"""The benchmark of the benchmark: `make bench` writes benchmarks/results/cpu.md and cpu.csv.

python -m benchmarks.run                               every contest, three rounds
python -m benchmarks.run --only 'exact W' --rounds 1   some of them, which writes nothing
"""

import argparse
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import fidelity, importance, pipeline, training, transport
from benchmarks.contest import ROOT, Contender, Contest, measured, results, rounds
from deepgen_bench.processor import fields

DEFAULT = ROOT / "configs" / "default.yaml"
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("torch", "numpy", "scipy", "POT", "torch-fidelity", "pythae", "pytorch-fid", "prdc", "snakemake")


def number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def markdown(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    return "\n".join(lines + ["| " + " | ".join(number(row[name]) for name in names) + " |" for row in rows])


def page(lines: list[dict[str, Any]], grown: list[dict[str, Any]], account: list[dict[str, Any]], count: int) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    cores, name = len(os.sched_getaffinity(0)), fields().get("model name", platform.machine())
    return f"""# Speed beside what else is used

{datetime.now(UTC):%Y-%m-%d}, {cores} cores of {name}, Python {platform.python_version()}; {packages}.
`make bench` makes this page. Every number is the median of {count} rounds, in which ours and all peers were run in
turns, each in processes of its own. Of a peer, and of ours, that way counts which was fastest; cpu.csv has all. A ratio
above 1 means that ours is faster; its range is over rounds. MB are peak memory, ours / theirs.

{markdown(lines)}

## How ours grows

One process of one thread, one round.

{markdown(grown)}

## The pipeline: configs/default.yaml

{markdown(account)}
"""


def growth_row(case: str, contender: Contender) -> dict[str, Any]:
    unit = "examples·K/s" if contender.module == "importance" else "seed-steps/s"
    found = measured(contender, unit)
    return {"case": case, "ours": found["value"], "unit": unit, "MB": round(found["peak_mb"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "bench", help="folder for the pipeline's run")
    parser.add_argument("--only", help="contests whose name has this in it; nothing is written")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    contests: list[Contest] = [
        contest
        for module in (training, importance, fidelity, transport)
        for contest in module.contests()
        if given.only is None or given.only in contest.case
    ]
    records: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for contest in contests:
        found = list(rounds(contest, given.rounds))
        records += found
        lines += results(contest, found)
    if not lines:
        raise SystemExit(f"error: --only {given.only}: no contest has this in its name")
    print(markdown(lines))
    if given.only is None:
        grown = [growth_row(case, contender) for case, contender in [*training.growth(), *importance.growth()]]
        account = pipeline.account(DEFAULT, given.results.resolve(), len(os.sched_getaffinity(0)))
        RESULTS.mkdir(exist_ok=True)
        pd.DataFrame(records).to_csv(RESULTS / "cpu.csv", index=False)
        (RESULTS / "cpu.md").write_text(page(lines, grown, account, given.rounds))


if __name__ == "__main__":
    main()
