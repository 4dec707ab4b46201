"""Tables of the seeds that would tell a model from the best one."""

from collections.abc import Sequence
from math import isinf, isnan

import pandas as pd

from deepgen_bench.report.data.comparisons import compare, direction_of, kind, test_variances
from deepgen_bench.report.data.groups import Spread
from deepgen_bench.report.data.headings import headings
from deepgen_bench.report.data.metrics import family
from deepgen_bench.report.data.paired import PairedErrors, paired_errors
from deepgen_bench.report.data.parts import main_part
from deepgen_bench.report.data.power import POWER, seeds_to_tell
from deepgen_bench.report.data.sheet import Sheet, sheets
from deepgen_bench.report.tables.render import Cell, Table
from deepgen_bench.report.tables.wording import ARROWS, MISSING

MANY = 1000


def seeds_tables(rows: pd.DataFrame, checkpoint: str = "final", paired: pd.DataFrame | None = None) -> list[Table]:
    """The table of every dataset of one experiment that has one; `paired` as for `comparison_tables`."""
    errors = {} if paired is None else paired_errors(paired, rows["experiment"].iloc[0], checkpoint)
    tables = [seeds_table(dataset, sheet, errors) for dataset, sheet in sheets(rows, checkpoint, errors).items()]
    return [table for table in tables if table]


def seeds_table(dataset: str, sheet: Sheet, errors: PairedErrors) -> Table | None:
    """For the columns of the comparison that do not single out a model, the seeds that would tell each from the best.

    None where there is no such column.
    """
    part = main_part(sheet)
    comparisons = compare([sheet.competing(column) for column in part.columns], errors)
    results = zip(part.columns, comparisons.best, comparisons.left_out, strict=True)
    columns = [(column, best, left_out) for column, best, left_out in results if len(best) > 1]
    rows = [row for row in sheet.rows if not row.is_real]
    if not columns:
        return None
    grid = sheet.grid(rows, [column for column, _, _ in columns])
    names = headings(grid.columns)
    header = ["model", *(f"{name}{ARROWS[direction_of(grid.valued(j))]}" for j, name in enumerate(names))]
    lines = []
    for row, spreads in zip(rows, grid.cells, strict=True):
        cells = [_cell(s, best, left_out, errors) for s, (_, best, left_out) in zip(spreads, columns, strict=True)]
        lines.append([Cell(str(row.label), model=row.model), *cells])
    notes = [
        f"Seeds of both models at which a difference from the best model of the size seen here would be found with a "
        f"probability of {POWER * 100:.0f} %, if values are normal. The size is itself uncertain. worse: told apart "
        "already. test set: no number of seeds is enough, because the difference is small beside what other test "
        "examples would change; more test examples are needed."
    ]
    families = [family(column.metric) for column in grid.columns]
    return Table(f"{dataset}_seeds", "seeds that would tell", header, lines, notes, families, dataset=dataset)


def _cell(spread: Spread | None, best: Sequence[Spread], left_out: Sequence[Spread], errors: PairedErrors) -> Cell:
    if spread is None or not spread.n_seeds or spread in left_out:
        return Cell(MISSING)
    sign = 1 if spread.direction == "max" else -1
    leader = max(best, key=lambda group: sign * group.mean)
    if spread not in best:  # a bound that is not among the best need not be worse
        return Cell("worse" if kind(spread) == kind(leader) else MISSING)
    if spread == leader:
        return Cell("best", "bold")
    variances = test_variances([leader, spread], errors)
    seeds = seeds_to_tell(leader, spread, 0.0 if variances is None else float(variances[0, 1]))
    if isnan(seeds):
        return Cell(MISSING)
    text = "test set" if isinf(seeds) else f"> {MANY}" if seeds > MANY else str(int(seeds))
    return Cell(text, value=seeds)
