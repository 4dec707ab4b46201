"""Contests: this package and its peers, measured in turns in separate processes, and a table of their ratios."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepgen_bench.runtime.device import mkl_mode
from deepgen_bench.runtime.memory import KEPT_BLOCK_BYTES, KEPT_BYTES
from deepgen_bench.runtime.processor import cpu_info

ROOT = Path(__file__).resolve().parents[1]
OURS = "deepgen_bench"


@dataclass(frozen=True)
class Contender:
    """A `function` of a module in this folder, called with `settings` in `processes` with `threads` each.

    The processes are measured at the same time. Rates are summed over processes; of durations the longest counts.
    """

    name: str
    module: str
    function: str
    settings: dict[str, Any] = field(default_factory=dict)
    threads: int = 1
    processes: int = 1

    @property
    def tried(self) -> str:
        """The way in which it was run, as text."""
        own = [f"{key} {value}" for key, value in self.settings.items() if key in ("workers", "rows")]
        count = f"{self.processes} × " if self.processes > 1 else ""
        return ", ".join([f"{count}{self.threads} thread{'s' * (self.threads > 1)}", *own])


@dataclass(frozen=True)
class Contest:
    """One quantity, measured for several contenders. All names except `OURS` are peers; the fastest way of each counts.

    For the `unit` "s" lower is better, all others are rates. `targets` are the required ratios of ours to the peer (of
    durations: peer to ours), by peer; a peer without one is shown for information. Values called `check` must agree to
    `agreement` (relative) where it is given.
    """

    case: str
    unit: str
    contenders: tuple[Contender, ...]
    targets: dict[str, float] = field(default_factory=dict)
    agreement: float | None = None
    remark: str = ""


def where() -> str:
    """When and on what something was measured, as it stands with every number."""
    name = cpu_info().get("model name", platform.machine())
    return f"{datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores of {name}"


def environment(contender: Contender) -> dict[str, str]:
    threads = str(contender.threads)
    chosen = {name: threads for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    if contender.name == OURS:
        # what the command line sets; strict kernels cost speed as well
        chosen |= {"MKL_CBWR": mkl_mode(), "OMP_WAIT_POLICY": "PASSIVE"}
        chosen |= {"MALLOC_MMAP_THRESHOLD_": str(KEPT_BLOCK_BYTES), "MALLOC_TRIM_THRESHOLD_": str(KEPT_BYTES)}
    return os.environ | chosen | {"POT_BACKEND_DISABLE_PYTORCH": "1"}


def measured(contender: Contender, unit: str) -> dict[str, Any]:
    """The measurement of a contender over all of its processes."""
    command = [sys.executable, "-m", "benchmarks.measure", contender.module, contender.function]
    command.append(json.dumps(contender.settings))
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes: list[subprocess.Popen[str]] = [
        subprocess.Popen(command, cwd=ROOT, env=environment(contender), **pipe)  # type: ignore[call-overload]
        for _ in range(contender.processes)
    ]
    for process in processes:
        assert process.stdin and process.stdout
        # skip what libraries print
        while (line := process.stdout.readline()) and line != "ready\n":
            pass
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate() for process in processes]
    if failed := [error for (_, error), process in zip(said, processes, strict=True) if process.returncode]:
        raise SystemExit(f"error: {contender.name}, {contender.tried}: {failed[0].strip().splitlines()[-1]}")
    found = [json.loads(out.strip().splitlines()[-1]) for out, _ in said]
    values = [each["value"] for each in found]
    together = max(values) if unit == "s" else sum(values)
    return found[0] | {"value": together, "peak_mb": max(each["peak_mb"] for each in found)}


def record(contest: Contest, contender: Contender, number: int) -> dict[str, Any]:
    """One measurement as a row of the CSV file."""
    found = measured(contender, contest.unit)
    print(f"{contest.case}: {contender.name} ({contender.tried}) {found['value']:.5g} {contest.unit}", flush=True)
    return {
        "case": contest.case,
        "contender": contender.name,
        "tried": contender.tried,
        "round": number,
        "value": found["value"],
        "unit": contest.unit,
        "check": found.get("check"),
        "peak_mb": round(found["peak_mb"]),
        "where": where(),
    }


def rounds(contest: Contest, count: int) -> Iterator[dict[str, Any]]:
    """A record for each round and contender; in a round, the contenders run one after the other."""
    for number in range(count):
        for contender in contest.contenders:
            yield record(contest, contender, number)


def best(records: list[dict[str, Any]], name: str, unit: str) -> list[dict[str, Any]]:
    """The records, one per round, of the way of running a contender that has the best median."""
    tried: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record["contender"] == name:
            tried.setdefault(record["tried"], []).append(record)
    return (min if unit == "s" else max)(
        tried.values(), key=lambda rows: statistics.median(row["value"] for row in rows)
    )


def results(contest: Contest, records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line of the table for each peer."""
    ours = best(records, OURS, contest.unit)
    for peer in dict.fromkeys(contender.name for contender in contest.contenders if contender.name != OURS):
        theirs = best(records, peer, contest.unit)
        # within one round the state of the machine is about the same
        ratios = [a["value"] / b["value"] for a, b in zip(ours, theirs, strict=True)]
        if contest.unit == "s":
            ratios = [1 / ratio for ratio in ratios]
        ratio, target = statistics.median(ratios), contest.targets.get(peer)
        differs = ""
        if contest.agreement is not None and theirs[0]["check"] is not None:
            off = abs(ours[0]["check"] - theirs[0]["check"]) / max(abs(ours[0]["check"]), 1e-300)
            differs = f"{off:.1e}" + ("" if off <= contest.agreement else " (!)")
        yield {
            "case": contest.case,
            "ours": statistics.median(row["value"] for row in ours),
            "our way": ours[0]["tried"],
            "peer": peer,
            "theirs": statistics.median(row["value"] for row in theirs),
            "their best way": theirs[0]["tried"],
            "unit": contest.unit,
            "ratio": ratio,
            "range": f"{min(ratios):.2f} … {max(ratios):.2f}",
            "limit": "" if target is None else target,
            "reached": "" if target is None else "yes" if ratio >= target else "no",
            "values differ by": differs,
            "MB": f"{ours[0]['peak_mb']} / {theirs[0]['peak_mb']}",
            "remark": contest.remark,
            "where": ours[0]["where"],
        }
