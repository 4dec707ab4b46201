"""Tables of published numbers beside those measured here."""

from collections.abc import Iterator, Mapping

from deepgen_bench.experiment.schema import PublishedEntry
from deepgen_bench.report.data.groups import Spread
from deepgen_bench.report.data.metrics import display_name
from deepgen_bench.report.data.sheet import Sheet
from deepgen_bench.report.tables.render import Cell, Table
from deepgen_bench.report.tables.tooltips import tooltip
from deepgen_bench.report.tables.wording import MARKS, MISSING, STATUSES, number
from deepgen_bench.storage.keys import Variant


def published_tables(sheets: Mapping[str, Sheet], published: Mapping[str, PublishedEntry]) -> Iterator[Table]:
    """A table for each entry of an experiment's `published`."""
    for label, entry in published.items():
        name = display_name(entry.metric)
        header = ["model", "dataset", f"{name} here", "published", "here − published"]
        spreads = [
            (model, dataset, measurement(sheets[dataset], model, entry) if dataset in sheets else None, value)
            for dataset, values in entry.values.items()
            for model, value in values.items()
        ]
        statuses = {status for _, _, spread, _ in spreads if spread for status in spread.statuses}
        notes = [
            f"Published: {entry.source}.",
            "± here: half-width of the 95 % interval over seeds (for likelihoods also over test examples). Published "
            f"numbers: {entry.spread}.",
            *(f"{mark} {STATUSES[status]}." for status, mark in MARKS.items() if status in statuses),
            *(f"{each.of}: published {each.published}; here {each.here}." for each in entry.differences),
        ]
        rows = [_row(*spread) for spread in spreads]
        yield Table(f"published_{label}", f"{name} beside {entry.source}", header, rows, notes)


def measurement(sheet: Sheet, model: str, entry: PublishedEntry) -> Spread | None:
    """The measurement that corresponds to a published number; None if there is none.

    It is the one with the largest n, and that of the last kind of sample, by which the model is ranked.
    """
    wanted = Variant.of(entry.variant)
    columns = [
        column
        for column in sheet.columns
        if column.metric == entry.metric
        and column.reference_split == entry.reference_split
        and column.settings.includes(wanted)
    ]
    rows = [row for row in sheet.rows if row.model == model]
    spreads = [sheet.find(row, column) for row in rows[-1:] for column in reversed(sheet.largest(columns))]
    return next((spread for spread in spreads if spread and spread.n_seeds), None)


def _row(model: str, dataset: str, spread: Spread | None, value: float | tuple[float, float]) -> list[Cell]:
    published, error = value if isinstance(value, tuple) else (value, None)
    cell = Cell(f"{published:g}" + ("" if error is None else f" ± {error:g}"), value=published)
    if spread is None:
        return [Cell(model), Cell(dataset), Cell(MISSING), cell, Cell(MISSING)]
    difference = spread.mean - published
    here = Cell(number(spread), tooltip=tooltip(spread), value=spread.mean)
    return [Cell(model), Cell(dataset), here, cell, Cell(f"{difference:+.2f}", value=difference)]
