"""The calibration table: every estimator beside the truth that it was held against."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from deepgen_bench.report.tables.render import Cell, Table, to_markdown
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import read_json, write_text

COLUMNS = ["check", "estimator", "setting", "truth", "estimate", "std_error", "relation"]
COLUMNS += ["deviation", "deviation_in_errors", "tolerance", "verdict", "expected"]


def write_calibration(parts: Sequence[Path], directory: Path) -> str:
    """Write `calibration.csv` (all digits) and `calibration.md` in `directory`; one line that sums them up."""
    lines = read_lines(parts)
    write_text(directory / "calibration.csv", lines[COLUMNS].to_csv(index=False, lineterminator="\n"))
    write_text(directory / "calibration.md", to_markdown(table(lines), columns=9))
    return summary(lines)


def read_lines(parts: Sequence[Path]) -> pd.DataFrame:
    """The lines of all checks, with columns `COLUMNS`. Errors: `UserError` naming a file that is no such thing."""
    lines = pd.DataFrame([row for part in parts for row in _read(part)])
    lines["deviation"] = lines["estimate"] - lines["truth"]
    # below this it is rounding, not sampling
    error = lines["std_error"].where(lines["std_error"] > 1e-6 * lines["truth"].abs().clip(lower=1))
    lines["deviation_in_errors"] = lines["deviation"] / error
    return lines


def _read(path: Path) -> list[dict]:
    rows = read_json(path)
    needed = {*COLUMNS} - {"deviation", "deviation_in_errors"}
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) and needed <= set(row) for row in rows)):
        raise UserError(
            f"{path}: not lines of a check, each with {', '.join(sorted(needed))}; delete it to run it anew"
        )
    return rows


def summary(lines: pd.DataFrame) -> str:
    surprises = lines.loc[lines["verdict"] != lines["expected"], "check"].unique()
    right = int((lines["verdict"] == lines["expected"]).sum())
    return f"{right} of {len(lines)} lines as expected" + (f"; not: {', '.join(surprises)}" if len(surprises) else "")


def table(lines: pd.DataFrame) -> Table:
    """For people: the controls, which must fail, after the rest."""
    header = ["estimator", "setting", "truth", "estimate", "error", "deviation", "in errors", "tolerance", "verdict"]
    rows = []
    for line in lines.sort_values("expected", ascending=False, kind="stable").itertuples(index=False):
        expected = line.verdict == line.expected
        verdict = f"{line.verdict}{'' if line.expected == 'pass' and expected else f' ({line.expected} expected)'}"
        in_errors = None if pd.isna(line.deviation_in_errors) else line.deviation_in_errors
        cells: list[tuple[str, float | None]] = [
            (line.estimator, None),
            (line.setting, None),
            (f"{'≤ ' * (line.relation == 'at most')}{line.truth:.5g}", line.truth),
            (f"{line.estimate:.5g}", line.estimate),
            (f"{line.std_error:.2g}", line.std_error),
            (f"{line.deviation:+.2g}", line.deviation),
            ("–" if pd.isna(line.std_error) else "exact" if in_errors is None else f"{in_errors:+.1f}", in_errors),
            (f"{line.tolerance:g}", line.tolerance),
            (verdict, None),
        ]
        rows.append([Cell(text, "" if expected else "bold", value=value) for text, value in cells])
    notes = [
        f"{summary(lines)}.",
        "Pass: estimate ± 2 errors lies within the tolerance of the truth; fail: none of it does; undecided: the run "
        "is too small to tell. The error is that of estimate − truth on the same examples (likelihoods) or of the mean "
        "over replications. Tolerances stand in the experiment file.",
        "≤: a lower bound, wrong only above the truth. Expected to fail: deliberate mistakes, and statistics with a "
        "known bias, whose size the line shows.",
    ]
    return Table("calibration", "Calibration against known truth", header, rows, notes)
