"""Comparison tables: models against metrics, with what tests over seeds can tell apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from deepgen_bench.report.data.comparisons import Comparisons, compare, direction_of
from deepgen_bench.report.data.paired import PairedErrors, paired_errors
from deepgen_bench.report.data.published import published_tables
from deepgen_bench.report.data.ranks import rank_table
from deepgen_bench.report.data.selection import ORACLE
from deepgen_bench.report.data.sheet import Row, Sheet, sheets
from deepgen_bench.report.data.summary import Comparable, Spread
from deepgen_bench.report.tables.about import about
from deepgen_bench.report.tables.headings import ARROWS, FAMILIES, family, headings
from deepgen_bench.report.tables.notes import WORDS, notes, number
from deepgen_bench.report.tables.render import (
    Cell,
    Emphasis,
    Table,
    to_csv,
    to_document,
    to_latex,
    to_markdown,
    to_text,
)
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import write_text

Checkpoint = Literal["final", "best"]
SIZED = ("frechet_distance", "frechet_distance_infinity", "kernel_distance")
MISSING = "–"


def comparison_tables(
    rows: pd.DataFrame, checkpoint: Checkpoint = "final", paired: pd.DataFrame | None = None
) -> list[Table]:
    """Tables of one experiment's measurements; `paired` are differences as `load_paired` gives them.

    Per dataset `<dataset>`, which shows measurements at their largest K and n against held-out data, and where they say
    more `<dataset>_latent`, `<dataset>_parzen`, `<dataset>_sample_size` and `<dataset>_memorisation`; last `ranks` over
    all datasets.
    Checkpoint `best` shows models that have only a final one with it. Models that no other is shown to beat are bold.
    """
    if len(names := rows["experiment"].unique()) > 1:
        raise UserError(f"rows of {len(names)} experiments ({', '.join(names)}); tables are made of one")
    errors = {} if paired is None else paired_errors(paired, "".join(names), checkpoint)
    return tables_of(sheets(rows, checkpoint), errors, checkpoint)


def tables_of(measured: Mapping[str, Sheet], errors: PairedErrors, checkpoint: str) -> list[Table]:
    """The tables of sheets by dataset."""
    tables, main = [], []
    for dataset, sheet in measured.items():
        parts = parts_of(sheet)
        main.append([sheet.competing(column) for column in parts[0][2]])
        judged: dict[Comparable, list[Spread]] = {}
        for suffix, subject, columns in parts:
            shown = _applying(sheet, columns) if suffix else sheet.rows
            comparisons = _compared(sheet, columns, errors, judged)
            if not suffix:
                judged = dict(zip(columns, comparisons.best, strict=True))
            if columns:
                name, title = f"{dataset}{suffix}", f"{dataset}: {subject}"
                tables.append(_table(name, title, dataset, sheet, shown, columns, comparisons, checkpoint))
    ranks = rank_table(main)
    return [*tables, *([ranks] if ranks else [])]


def write_tables(
    rows: pd.DataFrame,
    directory: Path,
    checkpoint: Checkpoint = "final",
    paired: pd.DataFrame | None = None,
    published: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write every table of `comparison_tables`, and those of `published_tables`, as `<name>.csv`, `.md` and `.tex` in
    `directory`, and `_all.tex`, a LaTeX document of them all; the paths written."""
    paths = []
    tables = comparison_tables(rows, checkpoint, paired)
    tables += published_tables(sheets(rows, checkpoint), published or {})
    for table in tables:
        for suffix, render in ((".csv", to_csv), (".md", to_markdown), (".tex", to_latex)):
            paths.append(directory / f"{table.name}{suffix}")
            write_text(paths[-1], render(table))
    if tables:
        paths.append(directory / "_all.tex")
        write_text(paths[-1], to_document(tables))
    return paths


def show(
    rows: pd.DataFrame, checkpoint: Checkpoint = "final", paired: pd.DataFrame | None = None, width: int = 120
) -> str:
    """The tables of all experiments in `rows` for a terminal of `width` characters; a note stands once."""
    parts = []
    said: set[str] = set()
    for experiment, group in rows.groupby("experiment", sort=False):
        for table in comparison_tables(group, checkpoint, paired):
            fresh = [note for note in table.notes if note not in said]
            said.update(fresh)
            parts.append(to_text(replace(table, title=f"{experiment} / {table.title}", notes=fresh), width))
    return "\n".join(parts)


def parts_of(sheet: Sheet) -> list[tuple[str, str, list[Comparable]]]:
    """Suffix, subject and columns of a dataset's tables: the main one, and those that show what it does not."""
    apart = [column for column in sheet.columns if _is_memorisation(column)]
    rest = [column for column in sheet.columns if column not in apart]
    latent = [column for column in rest if column.metric in FAMILIES["latent variables"]]
    parzen = [column for column in rest if column.metric in FAMILIES["historical"]]
    main = sheet.largest([column for column in rest if column not in (*latent, *parzen)])
    likelihood = [column for column in main if column.metric == "log_likelihood"]
    parts = [
        ("_latent", "latent variables", [*(column for column in rest if column.metric == "iw_elbo"), *latent]),
        ("_parzen", "Parzen windows, of historical interest", [*likelihood, *sheet.largest(parzen)] if parzen else []),
        ("_sample_size", "by sample size", [column for column in rest if column.metric in SIZED]),
        ("_memorisation", "memorisation", sheet.largest(apart)),
    ]
    return [("", "comparison", main), *(part for part in parts if not set(part[2]) <= set(main))]


def _is_memorisation(column: Comparable) -> bool:
    return column.metric in FAMILIES["memorisation"] or column.reference_split == "train"


def _applying(sheet: Sheet, columns: Sequence[Comparable]) -> list[Row]:
    """The models to which some of these columns apply, once where they do not depend on the kind of sample."""
    distinct: dict[tuple, Row] = {}
    for row in sheet.rows:
        found = [sheet.find(row, column) for column in columns]
        if row.lost or any(spread and (spread.n_seeds or "not_applicable" not in spread.statuses) for spread in found):
            distinct.setdefault((row.model, *(spread and spread.group for spread in found)), row)
    rows = list(distinct.values())
    several = {row.model for row in sheet.rows if row.label != row.model}
    once = several & {model for model, count in Counter(row.model for row in rows).items() if count == 1}
    return [replace(row, label=row.model, output="") if row.model in once else row for row in rows]


def _compared(
    sheet: Sheet, columns: Sequence[Comparable], errors: PairedErrors, judged: Mapping[Comparable, list[Spread]]
) -> Comparisons:
    """The tests of a table, but for columns that another one has `judged`, whose best they keep."""
    found = compare([[] if column in judged else sheet.competing(column) for column in columns], errors)
    best = [judged.get(column, best) for column, best in zip(columns, found.best, strict=True)]
    return replace(found, best=best, repeated=any(column in judged for column in columns))


def _table(
    name: str,
    title: str,
    dataset: str,
    sheet: Sheet,
    rows: Sequence[Row],
    columns: Sequence[Comparable],
    comparisons: Comparisons,
    checkpoint: str,
) -> Table:
    found = [[sheet.find(row, column) for column in columns] for row in rows]
    names = headings(columns)
    valued = [[spread for line in found if (spread := line[j]) and spread.n_seeds] for j in range(len(columns))]
    arrows = [ARROWS[direction_of(column)] for column in valued]
    cells = []
    for row, line in zip(rows, found, strict=True):
        style: Emphasis = "italic" if row.model == ORACLE else ""
        own = [Cell(row.label, style)]
        own += [Cell(str(count), style, value=count) for count in (row.seeds, row.diverged)]
        for spread, best in zip(line, comparisons.best, strict=True):
            emphasis: Emphasis = "bold" if spread in best else style
            known = spread if spread and spread.n_seeds else None
            own.append(Cell(_text(spread, row), emphasis, about(known) if known else "", known.mean if known else None))
        cells.append(own)
    header = ["model", "seeds", "diverged", *(n + arrow for n, arrow in zip(names, arrows, strict=True))]
    below = list(notes(sheet, rows, columns, names, found, comparisons, checkpoint))
    families = [family(column.metric) for column in columns]
    return Table(name, title, header, cells, below, families, lead=3, dataset=dataset)


def _text(spread: Spread | None, row: Row) -> str:
    """A number, and that of its seeds where it is not the row's; a word without a value."""
    if spread is None:
        return WORDS[row.lost] if row.lost else MISSING
    if spread.n_seeds:
        seeds = "" if spread.n_seeds == row.seeds else f" ({spread.n_seeds} seed{'s' if spread.n_seeds > 1 else ''})"
        return number(spread) + seeds
    return next(word for status, word in WORDS.items() if status in spread.statuses)
