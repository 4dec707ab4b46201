"""Tables of single replicates: how many of a model's failed, and the best and worst beside mean and median."""

from collections.abc import Mapping, Sequence

import numpy as np

from deepgen_bench.experiment.schema import Quality
from deepgen_bench.report.data.comparisons import direction_of
from deepgen_bench.report.data.groups import Comparable, Spread
from deepgen_bench.report.data.headings import headings
from deepgen_bench.report.data.metrics import display_name, family
from deepgen_bench.report.data.parts import headline_columns, main_part
from deepgen_bench.report.data.sheet import Row, Sheet
from deepgen_bench.report.tables.render import Cell, Table
from deepgen_bench.report.tables.wording import ARROWS, MISSING


def replicate_table(dataset: str, sheet: Sheet, quality: Mapping[str, Quality]) -> Table | None:
    """Failures and order statistics over replicates, for the metrics of `quality` or else the headline's sample metric.

    A replicate has failed if it diverged or misses a stated quality. The interval of the share of failures is exact
    (Clopper and Pearson 1934). None for a dataset without such measurements.
    """
    rows = [row for row in sheet.rows if not row.is_real]
    columns = [column for metric in quality if (column := _column(sheet, metric))] or headline_columns(sheet)[-1:]
    if not columns or not rows:
        return None
    grid = sheet.grid(rows, columns)
    header = ["model", "replicates", "failed", "95 % interval"]
    for j, name in enumerate(headings(columns)):
        arrow = ARROWS[direction_of(grid.valued(j))]
        header += [f"{name}{arrow} {what}" for what in ("mean", "median", "best", "worst")]
    lines = []
    for row, spreads in zip(rows, grid.cells, strict=True):
        cells = [Cell(str(row.label), model=row.model), *_failures(row, columns, spreads, quality)]
        lines.append([*cells, *(cell for spread in spreads for cell in _order_statistics(spread, quality))])
    families = [family(column.metric) for column in columns for _ in range(4)]
    return Table(
        f"{dataset}_replicates", "single replicates", header, lines, [_note(quality)], families, 4, dataset=dataset
    )


def _column(sheet: Sheet, metric: str) -> Comparable | None:
    """The column of a metric in the comparison that most models have."""
    columns = [column for column in main_part(sheet).columns if column.metric == metric]
    return max(columns, key=lambda column: len(sheet.competing(column)), default=None)


def _failures(
    row: Row, columns: Sequence[Comparable], spreads: Sequence[Spread | None], quality: Mapping[str, Quality]
) -> list[Cell]:
    from scipy.stats import binomtest

    failed = {
        seed
        for column, spread in zip(columns, spreads, strict=True)
        if spread and column.metric in quality
        for seed, value in spread.values.items()
        if not quality[column.metric].holds(value)
    }
    count, of = len(failed) + row.diverged, row.seeds + row.diverged
    if not of:
        return [Cell("0", value=0), Cell(MISSING), Cell(MISSING)]
    interval = binomtest(count, of).proportion_ci(method="exact")
    share = Cell(f"{interval.low * 100:.0f}–{interval.high * 100:.0f} %")
    return [Cell(str(of), value=of), Cell(str(count), value=count), share]


def _order_statistics(spread: Spread | None, quality: Mapping[str, Quality]) -> list[Cell]:
    """Mean, median, best and worst of the replicates."""
    if spread is None or not spread.n_seeds:
        return [Cell(MISSING)] * 4
    values = np.array(list(spread.values.values()))
    limit = quality.get(spread.column.metric)
    upwards = spread.direction == "max" or limit is not None and limit.at_least is not None
    best, worst = (values.max(), values.min()) if upwards else (values.min(), values.max())
    return [Cell(f"{x:.4g}", value=float(x)) for x in (values.mean(), np.median(values), best, worst)]


def _note(quality: Mapping[str, Quality]) -> str:
    if not quality:
        return (
            "A replicate has failed if it diverged: the experiment file states no quality (datasets.<label>.quality)."
        )
    stated = ", ".join(f"{display_name(metric)} {limit}" for metric, limit in quality.items())
    return f"A replicate has failed if it diverged or misses the quality that the experiment file states: {stated}."
