"""Comparison tables: models against metrics, with the models in bold that are not told from the best one."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from deepgen_bench.report.data.comparisons import Comparisons, compare, direction_of
from deepgen_bench.report.data.groups import Comparable, Spread
from deepgen_bench.report.data.headings import headings, short_names
from deepgen_bench.report.data.metrics import family
from deepgen_bench.report.data.paired import PairedErrors, paired_errors
from deepgen_bench.report.data.parts import Part, parts_of
from deepgen_bench.report.data.sheet import Row, Sheet, sheets
from deepgen_bench.report.tables.notes import notes
from deepgen_bench.report.tables.ranks import rank_table
from deepgen_bench.report.tables.render import Cell, Emphasis, Table
from deepgen_bench.report.tables.tooltips import tooltip
from deepgen_bench.report.tables.wording import ARROWS, MISSING, STATUSES, number, plural
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.keys import RowLabel

# the columns before the first metric: heading, and its cell in a row
LEAD: dict[str, Callable[[Row, Emphasis], Cell]] = {
    "model": lambda row, style: Cell(str(row.label), style, model=row.model),
    "seeds": lambda row, style: Cell(str(row.seeds), style, value=row.seeds),
    "diverged": lambda row, style: Cell(str(row.diverged), style, value=row.diverged),
}


def comparison_tables(rows: pd.DataFrame, checkpoint: str = "final", paired: pd.DataFrame | None = None) -> list[Table]:
    """The tables of one experiment; `paired` are differences as `load_paired` returns them.

    For each dataset there is `<dataset>` with measurements at their largest K and n against held-out data and, where
    they have further columns, `<dataset>_latent`, `<dataset>_parzen`, `<dataset>_sample_size` and
    `<dataset>_memorisation`; `ranks` over all datasets comes last. Checkpoint `best` uses the final one of models that
    have no other. Models that are not told from the best one are bold, real data never. Errors: `UserError` if `rows`
    are of several experiments.
    """
    if len(names := rows["experiment"].unique()) > 1:
        raise UserError(f"rows of {len(names)} experiments ({', '.join(names)}); valid: those of one")
    errors = {} if paired is None else paired_errors(paired, "".join(names), checkpoint)
    return tables_of_sheets(sheets(rows, checkpoint, errors), errors, checkpoint)


def tables_of_sheets(by_dataset: Mapping[str, Sheet], errors: PairedErrors, checkpoint: str) -> list[Table]:
    """The tables of sheets by dataset."""
    tables, compared = [], []
    for dataset, sheet in by_dataset.items():
        main, *others = parts_of(sheet)
        compared.append([sheet.competing(column) for column in main.columns])
        comparisons = _compare(sheet, main.columns, errors, {})
        best = dict(zip(main.columns, comparisons.best, strict=True))
        if main.columns:
            tables.append(_table(dataset, sheet, main, sheet.rows, comparisons, checkpoint))
        for part in others:
            comparisons = _compare(sheet, part.columns, errors, best)
            tables.append(_table(dataset, sheet, part, _applicable(sheet, part.columns), comparisons, checkpoint))
    ranks = rank_table(compared)
    return [*tables, *([ranks] if ranks else [])]


def _applicable(sheet: Sheet, columns: Sequence[Comparable]) -> list[Row]:
    """The models to which some columns apply; one row each if the columns do not depend on the kind of sample."""
    distinct: dict[tuple, Row] = {}
    for row in sheet.rows:
        spreads = [sheet.find(row, column) for column in columns]
        if row.lost or any(s and (s.n_seeds or "not_applicable" not in s.statuses) for s in spreads):
            distinct.setdefault((row.model, *(spread and spread.group for spread in spreads)), row)
    rows = list(distinct.values())
    counts = Counter(row.model for row in rows)
    return [
        replace(row, label=RowLabel(row.model), output="") if row.label.output and counts[row.model] == 1 else row
        for row in rows
    ]


def _compare(
    sheet: Sheet, columns: Sequence[Comparable], errors: PairedErrors, judged: Mapping[Comparable, list[Spread]]
) -> Comparisons:
    """The tests of a table. Columns that the comparison table has `judged` are not tested again."""
    result = compare([[] if column in judged else sheet.competing(column) for column in columns], errors)
    best = [judged.get(column, best) for column, best in zip(columns, result.best, strict=True)]
    return replace(result, best=best, repeated=any(column in judged for column in columns))


def _table(
    dataset: str, sheet: Sheet, part: Part, rows: Sequence[Row], comparisons: Comparisons, checkpoint: str
) -> Table:
    grid = sheet.grid(rows, part.columns)
    names = headings(part.columns)
    header = [f"{name}{ARROWS[direction_of(grid.valued(j))]}" for j, name in enumerate(names)]
    lines = []
    for row, spreads in zip(rows, grid.cells, strict=True):
        style: Emphasis = "italic" if row.is_real else ""
        lead = [cell(row, style) for cell in LEAD.values()]
        cells = [_cell(spread, row, spread in best) for spread, best in zip(spreads, comparisons.best, strict=True)]
        lines.append([*lead, *cells])
    return Table(
        f"{dataset}{part.suffix}",
        part.title,
        [*LEAD, *header],
        lines,
        list(notes(sheet, grid, short_names(names), comparisons, checkpoint)),
        [family(column.metric) for column in part.columns],
        lead=len(LEAD),
        dataset=dataset,
    )


def _cell(spread: Spread | None, row: Row, bold: bool) -> Cell:
    """A number, with its count of seeds if that is not the row's; without a value a word that says why."""
    emphasis: Emphasis = "bold" if bold else "italic" if row.is_real else ""
    if spread is None:
        return Cell(STATUSES[row.lost] if row.lost else MISSING, emphasis)
    if not spread.n_seeds:
        return Cell(next(word for status, word in STATUSES.items() if status in spread.statuses), emphasis)
    seeds = "" if spread.n_seeds == row.seeds else f" ({spread.n_seeds} {plural(spread.n_seeds, 'seed')})"
    return Cell(number(spread) + seeds, emphasis, tooltip(spread), spread.mean)
