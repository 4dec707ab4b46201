"""Speed of this package: `make bench` writes benchmarks/results/cpu.md, and all single numbers beside it.

python -m benchmarks.run                               all contests, three rounds, and the pipeline
python -m benchmarks.run --only 'exact W' pipeline     repeats those whose names begin so, and keeps the others
"""

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import fidelity, importance, pipeline, training, transport
from benchmarks.contest import ROOT, Contender, Contest, record, results, rounds

DEFAULT = ROOT / "configs" / "default.yaml"
RESULTS = ROOT / "benchmarks" / "results"
CONTESTS, GROWTH, PIPELINE = (RESULTS / f"cpu_{name}.csv" for name in ("contests", "growth", "pipeline"))
PACKAGES = ("torch", "numpy", "scipy", "POT", "torch-fidelity", "pythae", "pytorch-fid", "prdc", "snakemake")


def number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def markdown(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "Not measured."
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    return "\n".join(lines + ["| " + " | ".join(number(row[name]) for name in names) + " |" for row in rows])


def placed(rows: list[dict[str, Any]]) -> str:
    """The machines on which rows were measured, and a table, with a column for the machine if there are several."""
    places = list(dict.fromkeys(row["where"] for row in rows))
    if len(places) > 1:
        rows = [row | {"where": places.index(row["where"]) + 1} for row in rows]
        return "\n".join(f"{i}. {place}" for i, place in enumerate(places, 1)) + f"\n\n{markdown(rows)}"
    rows = [{name: value for name, value in row.items() if name != "where"} for row in rows]
    return "\n\n".join([*(f"{place}." for place in places), markdown(rows)])


def versions() -> str:
    """Versions of all packages. Errors: `SystemExit` if one is not installed."""
    try:
        return ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        raise SystemExit(
            f"error: {error.name} is not installed; `make bench` has the peers where they are found"
        ) from None


def page(packages: str, lines: list[dict[str, Any]], grown: list[dict[str, Any]], account: list[dict[str, Any]]) -> str:
    return f"""# Speed compared with other software

Python {platform.python_version()}; {packages}.
`make bench` writes this page from the numbers of cpu_contests.csv, cpu_growth.csv and cpu_pipeline.csv. In every round
this package and all peers run one after the other, each in separate processes. Values are medians over rounds. Of each
contender, the fastest way of running it counts. A ratio above 1 means that ours is faster; its range is over rounds. MB
is peak memory, ours / theirs.

{placed(lines)}

## Scaling of this package

One process of one thread, one round.

{placed(grown)}

## The pipeline: configs/default.yaml

A run from the beginning. In every job Python records the durations of imports, which makes them slower.

{placed(account)}
"""


def known(path: Path) -> list[dict[str, Any]]:
    """Records of a file; empty cells are None."""
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    return table.astype(object).where(table.notna(), None).to_dict("records")


def updated(path: Path, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All records of a file after replacing those of the same cases."""
    cases = {each["case"] for each in records}
    rows = [each for each in known(path) if each["case"] not in cases] + records
    if records:
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False)
    return rows


def growth(chosen: list[tuple[str, Contender]]) -> list[dict[str, Any]]:
    found = []
    for case, contender in chosen:
        unit = "examples·K/s" if contender.module == "importance" else "seed-steps/s"
        row = record(Contest(case, unit, (contender,)), contender, 0)
        found.append({"case": case, "ours": row["value"], "unit": unit, "MB": row["peak_mb"], "where": row["where"]})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="beginnings of names of contests, or pipeline")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "bench", help="folder for the pipeline's run")
    given = parser.parse_args()

    def chosen(case: str) -> bool:
        return given.only is None or any(case.startswith(each) for each in given.only)

    packages = versions()
    contests = [each for module in (training, importance, fidelity, transport) for each in module.contests()]
    grown = [*training.growth(), *importance.growth()]
    if not any(map(chosen, ["pipeline", *(each.case for each in contests), *(case for case, _ in grown)])):
        raise SystemExit(f"error: --only {' '.join(given.only)}: no contest begins so")
    for contest in filter(lambda each: chosen(each.case), contests):
        records = updated(CONTESTS, list(rounds(contest, given.rounds)))
    records = known(CONTESTS)
    lines: list[dict[str, Any]] = []
    for contest in contests:
        if own := [each for each in records if each["case"] == contest.case]:
            lines += results(contest, own)
    growths = updated(GROWTH, growth([each for each in grown if chosen(each[0])]))
    accounts = known(PIPELINE)
    if chosen("pipeline"):
        accounts = updated(PIPELINE, pipeline.account(DEFAULT, given.results.resolve(), len(os.sched_getaffinity(0))))
    (RESULTS / "cpu.md").write_text(page(packages, lines, growths, accounts))
    print((RESULTS / "cpu.md").read_text())


if __name__ == "__main__":
    main()
