"""Tables of measured studies: estimators against known values (calibration), and textbook claims (theory)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path

import pandas as pd

from deepgen_bench.plugins import StudyKind
from deepgen_bench.report.tables.render import Cell, Table, to_markdown
from deepgen_bench.storage.files import write_text
from deepgen_bench.studies.result import Result, read_result
from deepgen_bench.studies.study import Row

COLUMNS = ["label", "quantity", "setting", "prediction", "measurement", "std_error", "relation"]
COLUMNS += ["deviation", "deviation_in_errors", "tolerance", "verdict", "expected"]
HEADER = ["quantity", "setting", "prediction", "measured", "error", "deviation", "in errors", "tolerance", "verdict"]
SIGNS = {"equal": "", "at most": "≤ ", "at least": "≥ "}
VERDICTS = (
    "A row holds if measurement ± 2 errors lies within the tolerance of the prediction, and fails if no part of this "
    "interval does; undecided: the run is too small to tell."
)
THEORY_NOTE = f"{VERDICTS} The error is the standard error over seeds or examples. Rows without a verdict are context."


def write_study_table(kind: StudyKind, paths: Mapping[str, Path], directory: Path) -> str:
    """Write `<kind>.csv` (all digits) and `<kind>.md` in `directory`; return a summary in one line."""
    results = {label: read_result(path) for label, path in paths.items()}
    records = [record(label, row) for label, result in results.items() for row in result.rows]
    write_text(directory / f"{kind}.csv", pd.DataFrame(records)[COLUMNS].to_csv(index=False, lineterminator="\n"))
    markdown, summary = {
        "calibration": (calibration_markdown, calibration_summary),
        "theory": (theory_markdown, theory_summary),
    }[kind]
    write_text(directory / f"{kind}.md", markdown(results))
    return summary(results)


def record(label: str, row: Row) -> dict[str, object]:
    """A row of the CSV file."""
    computed = {"deviation": row.deviation, "deviation_in_errors": deviation_in_errors(row), "verdict": row.verdict}
    return {"label": label} | asdict(row) | computed


def deviation_in_errors(row: Row) -> float | None:
    """The deviation in standard errors; None without a prediction, or if the error is rounding and not sampling."""
    if row.deviation is None or row.prediction is None:
        return None
    sampled = row.std_error > 1e-6 * max(abs(row.prediction), 1)
    return row.deviation / row.std_error if sampled else None


def row_table(title: str, rows: Sequence[Row], name: str = "", notes: Sequence[str] = ()) -> Table:
    """The rows as a table; those with an unexpected verdict are bold."""
    return Table(name or title, title, HEADER, [cells(row) for row in rows], list(notes))


def cells(row: Row) -> list[Cell]:
    predicted, in_errors = row.prediction is not None, deviation_in_errors(row)
    exact = "exact" if predicted and row.relation == "equal" and not isnan(row.std_error) else "–"
    verdict: str = row.verdict if predicted else "–"
    if row.expected and (row.expected == "fails" or row.verdict != row.expected):
        verdict += f" (expected: {row.expected})"
    texts: list[tuple[str, float | None]] = [
        (row.quantity, None),
        (row.setting, None),
        ("–" if row.prediction is None else f"{SIGNS[row.relation]}{row.prediction:.5g}", row.prediction),
        (f"{row.measurement:.5g}", row.measurement),
        (f"{row.std_error:.2g}" if row.std_error else "–", row.std_error),
        ("–" if row.deviation is None else f"{row.deviation:+.2g}", row.deviation),
        (exact if in_errors is None else f"{in_errors:+.1f}", in_errors),
        (f"{row.tolerance:g}" if predicted else "–", row.tolerance),
        (verdict, None),
    ]
    unexpected = predicted and row.verdict != (row.expected or "holds")
    return [Cell(text, "bold" if unexpected else "", value=value) for text, value in texts]


def calibration_summary(results: Mapping[str, Result]) -> str:
    """How many rows have the expected verdict, and the labels of the studies with others."""
    outcomes = [(label, row.verdict == row.expected) for label, result in results.items() for row in result.rows]
    unexpected = list(dict.fromkeys(label for label, as_expected in outcomes if not as_expected))
    count = sum(as_expected for _, as_expected in outcomes)
    summary = f"{count} of {len(outcomes)} rows as expected"
    return summary + (f"; not: {', '.join(unexpected)}" if unexpected else "")


def calibration_table(results: Mapping[str, Result]) -> Table:
    """The rows of all checks; those that should fail are last."""
    rows = [row for result in results.values() for row in result.rows]
    rows.sort(key=lambda row: row.expected == "fails")
    notes = [
        f"{calibration_summary(results)}.",
        f"{VERDICTS} The error is that of measurement − prediction on the same examples (likelihoods) or of the mean "
        "over replications. The experiment file sets the tolerances.",
        "≤: a lower bound, which is wrong only above the prediction. Expected to fail: deliberate mistakes, and "
        "statistics with a known bias, whose size the row shows.",
    ]
    return row_table("Estimators against known values", rows, "calibration", notes)


def calibration_markdown(results: Mapping[str, Result]) -> str:
    return to_markdown(calibration_table(results), columns=9)


def claim_verdict(result: Result) -> str:
    """The worst verdict of a claim's rows."""
    verdicts = {row.verdict for row in result.rows}
    return next((verdict for verdict in ("fails", "undecided", "holds") if verdict in verdicts), "undecided")


def theory_summary(results: Mapping[str, Result]) -> str:
    """How many claims hold, fail and are undecided."""
    verdicts = [claim_verdict(result) for result in results.values()]
    words = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "undecided": ("is undecided", "are undecided")}
    counts = {verdict: verdicts.count(verdict) for verdict in words}
    return ", ".join(f"{n} of {len(results)} claims {words[verdict][n > 1]}" for verdict, n in counts.items() if n)


def theory_markdown(results: Mapping[str, Result]) -> str:
    """A section for each claim: its words, then its rows."""
    sections = ["# Textbook claims, measured", f"{theory_summary(results)}.", THEORY_NOTE]
    for result in results.values():
        words = result.words
        assert words is not None
        text = f"{words.statement} ({words.source})\n\n$${words.formula}$$\n\n{words.text}"
        table = to_markdown(row_table(words.title, result.rows), columns=9)
        sections.append(table.replace("\n\n", f"\n\n{text}\n\n", 1))
    return "\n\n".join(sections)
