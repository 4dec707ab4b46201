"""What papers have published, beside what was obtained here."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deepgen_bench.report.data.sheet import Sheet
from deepgen_bench.report.data.summary import Spread
from deepgen_bench.report.tables.about import about
from deepgen_bench.report.tables.headings import NAMES
from deepgen_bench.report.tables.notes import MARKS, number
from deepgen_bench.report.tables.render import Cell, Table
from deepgen_bench.storage.files import read_json
from deepgen_bench.storage.keys import Variant


def published_tables(measured: Mapping[str, Sheet], published: Mapping[str, Any]) -> Iterator[Table]:
    """A table for each entry of an experiment's `published`, in the form in which `experiment.json` has it."""
    for label, entry in published.items():
        name = NAMES.get(entry["metric"], entry["metric"])
        header = ["model", "dataset", f"{name} here", "published", "here − published"]
        rows = [
            row_of(model, dataset, found(measured[dataset], model, entry) if dataset in measured else None, value)
            for dataset, values in entry["values"].items()
            for model, value in values.items()
        ]
        notes = [
            f"Published: {entry['source']}.",
            f"± here: half-width of the 95 % interval over seeds (likelihoods: and test examples); {entry['spread']}.",
        ]
        texts = [row[2].text for row in rows]
        notes += [f"{m} {s.replace('_', ' ')}." for s, m in MARKS.items() if any(f" {m}" in text for text in texts)]
        notes += [f"{each['of']}: published {each['published']}; here {each['here']}." for each in entry["differences"]]
        yield Table(f"published_{label}", f"published: {name}, {entry['source']}", header, rows, notes)


def published_in(home: Path) -> dict[str, Any]:
    """The `published` of an experiment folder; nothing where there is but a metrics.csv."""
    path = home / "experiment.json"
    return dict(read_json(path).get("published", {})) if path.is_file() else {}


def found(sheet: Sheet, model: str, entry: Mapping[str, Any]) -> Spread | None:
    """The measurement that stands for the published one: of the largest n, and of the kind of sample a model is ranked
    by."""
    wanted = Variant.of(entry["variant"])
    fitting = [
        column
        for column in sheet.columns
        if column.metric == entry["metric"]
        and column.reference_split == entry["reference_split"]
        and Variant.parse(column.variant).includes(wanted)
    ]
    rows = [row for row in sheet.rows if row.model == model]
    spreads = [sheet.find(row, column) for row in rows[-1:] for column in reversed(sheet.largest(fitting))]
    return next((spread for spread in spreads if spread and spread.n_seeds), None)


def row_of(model: str, dataset: str, spread: Spread | None, value: Any) -> list[Cell]:
    theirs, error = value if isinstance(value, list | tuple) else (value, None)
    text = f"{theirs:g}" + ("" if error is None else f" ± {error:g}")
    cells = [Cell(model), Cell(dataset)]
    if spread is None:
        return [*cells, Cell("–"), Cell(text, value=theirs), Cell("–")]
    difference = spread.mean - theirs
    obtained = Cell(number(spread), about=about(spread), value=spread.mean)
    return [*cells, obtained, Cell(text, value=theirs), Cell(f"{difference:+.2f}", value=difference)]
