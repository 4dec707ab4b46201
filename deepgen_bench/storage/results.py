"""The tidy results table with one measurement per row, checked against a schema when read and written.

A row without a value (status other than `ok`) has the metric, variant, numbers of examples and split of the missing
measurement as far as they are known; an empty cell means unknown, not different.
"""

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgen_bench.runtime.errors import UserError, printable, shown
from deepgen_bench.storage.files import unreadable, write_text
from deepgen_bench.storage.keys import CHECKPOINTS, RunId, Variant

# jobs that only write rows do not import it
if TYPE_CHECKING:
    import pandas as pd

# Column -> dtype, in the order of the file. Integers are nullable; an empty number is NaN or <NA>, an empty text "".
# `run_id` names the settings that a model was trained with, and may end in /seed_<k>.
COLUMNS = {
    "experiment": "str",
    "dataset": "str",
    "model": "str",
    "role": "str",
    "seed": "Int64",
    "metric": "str",
    "variant": "str",
    "value": "float64",
    "std_error": "float64",
    "mc_error": "float64",
    "bound": "str",
    "unit": "str",
    "direction": "str",
    "n_real": "Int64",
    "n_generated": "Int64",
    "reference_split": "str",
    "checkpoint": "str",
    "status": "str",
    "reason": "str",
    "seconds": "float64",
    "device": "str",
    "run_id": "str",
    "protocol_version": "str",
}
CHOICES = {
    "bound": ("exact", "lower", "upper", "estimate"),
    "direction": ("min", "max", "none"),
    "role": ("model", "oracle"),
    "checkpoint": CHECKPOINTS,
    "status": ("ok", "diverged", "not_applicable", "not_converged", "suspect", "failed"),
}
# Columns that identify a measurement, and columns of its result. The others (seconds, device, reason, …) describe how
# it was obtained.
KEY = [
    *("experiment", "dataset", "model", "seed", "metric", "variant"),
    *("n_real", "n_generated", "reference_split", "checkpoint"),
]
STATEMENT = ["value", "std_error", "mc_error", "bound", "unit", "direction", "status"]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Check `rows` against the schema and write them atomically as CSV, with floats to the last bit.

    Each row has every column of `COLUMNS` (None for an empty cell). Errors: `UserError` naming the file and column.
    """
    names = dict.fromkeys(name for row in rows for name in row) or COLUMNS
    columns = _checked({name: [row.get(name) for row in rows] for name in names}, str(path))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for cells in zip(*columns.values(), strict=True):
        writer.writerow("" if _missing(cell) else cell for cell in cells)
    write_text(path, text.getvalue())


def read_rows(path: Path) -> "pd.DataFrame":
    """Read the table in a CSV file, with the columns and dtypes of `COLUMNS`.

    Errors: `UserError` naming the file and column for a missing or unknown column or an impossible value.
    """
    import pandas as pd

    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file, strict=True)) or [[]]
    except OSError as error:
        raise unreadable(path, error) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable CSV file ({error})") from None
    if len(set(header)) < len(header):
        raise UserError(f"{path}: a column appears twice; valid: {', '.join(COLUMNS)}")
    for number, line in enumerate(lines, 1):
        if len(line) != len(header):
            raise UserError(f"{path}: row {number} has {len(line)} cells, the header has {len(header)} columns")
    columns = _checked({name: [line[i] for line in lines] for i, name in enumerate(header)}, str(path))
    return pd.DataFrame({name: pd.Series(columns[name], dtype=dtype) for name, dtype in COLUMNS.items()})


def load_results(*paths: str | Path) -> "pd.DataFrame":
    """Read and merge the measurements of one or several results folders, experiment folders or CSV files.

    A results folder stands for every `<experiment>/metrics.csv` in it. Of rows with a duplicate `KEY` and equal
    `STATEMENT` the first is kept; a duplicate key with another statement is an error wherever the values were computed,
    as one seed has one value. All seeds of a model must have the same `run_id` up to the seed, which means that they
    were trained with the same settings, and all values of a metric the same `protocol_version`, which means that they
    were measured in the same way.
    """
    if not paths:
        raise UserError("load_results: no path given; valid: results folders, experiment folders or CSV files")
    files = [file for path in paths for file in metric_files(Path(path))]
    return merge([(str(file), read_rows(file)) for file in files])


def merge(tables: "Sequence[tuple[str, pd.DataFrame]]", repeats: bool = True) -> "pd.DataFrame":
    """Concatenate (source, table) pairs in order by the rules of `load_results`.

    With `repeats` False every duplicate key is an error.
    """
    import pandas as pd

    if not any(len(table) for _, table in tables):
        raise UserError(f"{', '.join(source for source, _ in tables)}: no measurements, only a header")
    rows = pd.concat([table for _, table in tables], ignore_index=True)
    sources = [source for source, table in tables for _ in range(len(table))]
    first: dict[tuple[str, ...], int] = {}
    for i in rows.index[rows.duplicated(KEY, keep=False)]:
        j = first.setdefault(tuple(map(str, rows.loc[i, KEY])), i)
        same = list(map(str, rows.loc[i, STATEMENT])) == list(map(str, rows.loc[j, STATEMENT]))
        if i != j and not (same and repeats):
            name = ", ".join(f"{column} {rows.at[i, column]}" for column in KEY if str(rows.at[i, column]))
            values = " and ".join(f"{rows.at[k, 'value']} ({rows.at[k, 'status']}) in {sources[k]}" for k in (j, i))
            raise UserError(f"duplicate measurement: {name}: {values}; remove one")
    trained = rows["run_id"].map(RunId.without_seed)
    for column, scope in (
        (trained, ["experiment", "dataset", "model"]),
        (rows["protocol_version"], [*KEY[:2], "metric"]),
    ):
        for names, group in column.groupby([rows[name] for name in scope], sort=False):
            values = group.drop_duplicates()
            if len(values) > 1:
                where = " and ".join(f"{value!r} in {sources[i]}" for i, value in values.head(2).items())
                raise UserError(f"{column.name} of {' / '.join(map(str, names))}: {where}; they are not comparable")
    return rows[~rows.duplicated(KEY)].reset_index(drop=True)


def metric_files(path: Path) -> list[Path]:
    """The files of measurements at `path`: a file itself, or those of an experiment folder or results folder."""
    if not path.is_dir():
        return [path]
    files = [path / "metrics.csv"] if (path / "metrics.csv").is_file() else sorted(path.glob("*/metrics.csv"))
    if not files:
        raise UserError(f"{path}: no metrics.csv in this folder or in a folder below it")
    return files


def _checked(cells: Mapping[str, Sequence[Any]], source: str) -> dict[str, list[Any]]:
    """Convert columns of cells (text from a file or Python values) to the types of `COLUMNS` and check them.

    The result has texts, floats, which may be NaN, and integers or None. Errors: `UserError` naming column and row.
    """
    if missing := [name for name in COLUMNS if name not in cells]:
        raise UserError(f"{source}: column {missing[0]} is missing; valid: {', '.join(COLUMNS)}")
    if unknown := [name for name in cells if name not in COLUMNS]:
        raise UserError(f"{source}: unknown column {unknown[0]!r}; valid: {', '.join(COLUMNS)}")
    convert = {"str": _text, "Int64": _integer, "float64": _number}
    columns: dict[str, list[Any]] = {}
    for name, dtype in COLUMNS.items():
        columns[name] = []
        for number, cell in enumerate(cells[name], 1):
            try:
                columns[name].append(convert[dtype](cell))
            except (ValueError, TypeError, OverflowError):
                kind = {"Int64": "a whole number", "float64": "a number"}[dtype]
                raise UserError(f"{source}: column {name}, row {number}: found {shown(cell)}, valid: {kind}") from None
    for name, holds, valid in _rules(columns):
        for row, cell in enumerate(columns[name]):
            if not holds(cell, row):
                text = "nothing" if cells[name][row] is None else shown(cells[name][row])
                raise UserError(f"{source}: column {name}, row {row + 1}: found {text}, valid: {valid}")
    return columns


def _rules(columns: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, Callable[[Any, int], bool], str]]:
    """Yield (column, predicate of a cell and its row number, description of valid cells)."""
    for name in ("experiment", "dataset", "model", "metric"):
        yield name, lambda cell, _: _is_name(cell), "a name without / and \\ that does not begin with a dot"
    for name, choices in CHOICES.items():
        yield name, lambda cell, _, choices=choices: cell in choices, ", ".join(choices)  # type: ignore[misc]
    yield "seed", lambda cell, _: cell is not None and cell >= 0, "a whole number from 0"
    for name in ("n_real", "n_generated"):
        yield name, lambda cell, _: cell is None or cell >= 1, "a whole number from 1, or empty"
    for name in ("std_error", "mc_error", "seconds"):
        yield name, lambda cell, _: isnan(cell) or cell >= 0, "a number from 0, or empty"
    status = columns["status"]
    yield "value", lambda cell, row: not isnan(cell) or status[row] != "ok", "a number where status is ok"
    yield "variant", lambda cell, _: _is_variant(cell), "key=value;… with sorted keys and whole K, or empty"


def _is_name(text: str) -> bool:
    """Whether files can be named after the text; unprintable characters are backslash escapes by now."""
    return bool(text) and not text.startswith(".") and not set(text) & set("/\\") and len(text) <= 100


def _is_variant(text: str) -> bool:
    try:
        k = Variant.parse(text).get("K", "0")
    except ValueError:
        return False
    return k.isdecimal() and len(k) < 19


def _missing(cell: Any) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and isnan(cell))


def _text(cell: Any) -> str:
    return "" if _missing(cell) else printable(" ".join(str(cell).splitlines()))


def _number(cell: Any) -> float:
    return float("nan") if _missing(cell) else float(cell)


def _integer(cell: Any) -> int | None:
    if _missing(cell):
        return None
    if int(cell) != (cell if not isinstance(cell, str) else int(cell)):
        raise ValueError(cell)
    if not -(2**63) <= int(cell) < 2**63:
        raise OverflowError(cell)
    return int(cell)
