"""The measurements of one dataset laid out: models in rows, comparable measurements in columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from deepgen_bench.report.data.groups import Comparable, Spread, spreads
from deepgen_bench.report.data.metrics import LIKELIHOODS, family, position
from deepgen_bench.report.data.paired import PairedErrors, test_error
from deepgen_bench.report.data.selection import REAL, has_value, of_checkpoint, real_labels
from deepgen_bench.storage.keys import RowLabel


@dataclass(frozen=True)
class Row:
    """A model in tables and figures, or one of its kinds of sample where it has several.

    `output` is the kind of sample ("" if unknown); the label names it only where the model has several. `seeds` is the
    number of replicates with a value, `diverged` that of diverged ones. `lost` says why measurements are missing:
    "diverged" if all replicates did, "failed" if jobs failed, else "".
    """

    label: RowLabel
    role: str
    output: str
    seeds: int
    diverged: int
    lost: str

    @property
    def model(self) -> str:
        return self.label.model

    @property
    def is_real(self) -> bool:
        """Whether the samples are real data, which are never ranked."""
        return self.role == REAL


@dataclass(frozen=True)
class Grid:
    """The spreads of a table, `cells[row][column]`; None where a model has nothing in a column."""

    rows: Sequence[Row]
    columns: Sequence[Comparable]
    cells: Sequence[Sequence[Spread | None]]

    def valued(self, column: int) -> list[Spread]:
        """The spreads with a value in a column."""
        return [spread for line in self.cells if (spread := line[column]) and spread.n_seeds]


class Sheet:
    """The measurements of one dataset at one checkpoint: `rows`, `columns`, and the spread where they meet."""

    def __init__(self, measurements: pd.DataFrame, errors: PairedErrors | None = None):
        self.spreads = [_without_rank_on_training_data(spread) for spread in spreads(measurements)]
        self.spreads = [replace(spread, test_error=test_error(spread, errors or {})) for spread in self.spreads]
        self.columns = _columns(self.spreads)
        # in the order of the results, real data first
        real = real_labels(measurements)
        models = sorted(measurements["model"].unique(), key=lambda model: model not in real)
        self.rows = [row for model in models for row in self._rows(measurements[measurements["model"] == model])]

    def find(self, row: Row, column: Comparable) -> Spread | None:
        """The group of `row` in `column`: one with a value if there is one, else one that says why there is none."""
        of_model = [spread for spread in self.spreads if spread.group.model == row.model]
        of_model = [spread for spread in of_model if spread.group.output in ("", row.output)]
        exact = [spread for spread in of_model if spread.column == column]
        exact.sort(key=lambda spread: (spread.n_seeds == 0, spread.group.output == ""))
        without_value = [spread for spread in of_model if spread.n_seeds == 0]
        admitted = [spread for spread in without_value if column.admits(spread.column)]
        if column.metric in LIKELIHOODS:  # a model without a density says so once, for log_likelihood
            admitted += [spread for spread in without_value if spread.column.metric == "log_likelihood"]
        return next(iter([*exact, *admitted]), None)

    def grid(self, rows: Sequence[Row], columns: Sequence[Comparable]) -> Grid:
        return Grid(rows, columns, [[self.find(row, column) for column in columns] for row in rows])

    def competing(self, column: Comparable) -> list[Spread]:
        """The groups with a value in a column, each once, without real data."""
        candidates = [self.find(row, column) for row in self.rows if not row.is_real]
        return list({spread.group: spread for spread in candidates if spread and spread.n_seeds}.values())

    def largest(self, columns: Sequence[Comparable]) -> list[Comparable]:
        """`columns` without those at a smaller K or n of a measurement that all their models have at a larger one."""
        models = {
            column: {s.group.model for s in self.spreads if s.column == column and s.n_seeds} for column in columns
        }

        def replaces(other: Comparable, column: Comparable) -> bool:
            # a bound at some K does not replace an exact value, which has no K
            same_kind = bool(_size(other)[0]) == bool(_size(column)[0])
            larger = _size(other) > _size(column) and models[other] >= models[column]
            return _without_size(other) == _without_size(column) and same_kind and larger

        return [column for column in columns if not any(replaces(other, column) for other in columns)]

    def _rows(self, measurements: pd.DataFrame) -> list[Row]:
        """The rows of one model: one for each kind of sample, in order of appearance."""
        model, role = measurements["model"].iloc[0], measurements["role"].iloc[0]
        diverged = set(measurements.loc[measurements["status"] == "diverged", "seed"])
        statuses = set(measurements["status"])
        lost = "failed" if "failed" in statuses else "diverged" if statuses == {"diverged"} else ""
        seeds = len(set(measurements.loc[has_value(measurements), "seed"]) - diverged)
        outputs = [s.group.output for s in self.spreads if s.group.model == model and s.group.output]
        outputs = list(dict.fromkeys(outputs)) or [""]
        labels = [RowLabel(model, output if len(outputs) > 1 else "") for output in outputs]
        return [
            Row(label, role, output, seeds, len(diverged), lost) for label, output in zip(labels, outputs, strict=True)
        ]


def sheets(rows: pd.DataFrame, checkpoint: str, errors: PairedErrors | None = None) -> dict[str, Sheet]:
    """The measurements of one experiment at a checkpoint, by dataset; `errors` are those over its test examples."""
    selected = of_checkpoint(rows, checkpoint)
    by_dataset = selected.groupby("dataset", sort=False)
    return {str(dataset): Sheet(measurements, errors) for dataset, measurements in by_dataset}


def _columns(groups: Sequence[Spread]) -> list[Comparable]:
    """All columns with a value, and those of measurements that failed everywhere; by metric, appearance, K and n."""
    columns: dict[Comparable, None] = {}
    for group in sorted(groups, key=lambda group: group.n_seeds == 0):
        failed = group.n_seeds == 0 and set(group.statuses) != {"not_applicable"}
        if group.n_seeds or failed and not any(other.admits(group.column) for other in columns):
            columns.setdefault(group.column)
    order = list(dict.fromkeys(map(_without_size, columns)))
    return sorted(columns, key=lambda c: (position(c.metric), order.index(_without_size(c)), _size(c)))


def _without_rank_on_training_data(spread: Spread) -> Spread:
    """The spread without a direction where models are not ranked: being near the training data, or giving them a high
    likelihood, is no merit in itself."""
    unranked = spread.column.reference_split == "train" and family(spread.column.metric) != "memorisation"
    return replace(spread, direction="none") if unranked else spread


def _without_size(column: Comparable) -> Comparable:
    """A column without its K and n."""
    return column._replace(variant=str(column.settings.without("K")), n_real=None, n_generated=None)


def _size(column: Comparable) -> tuple[int, int, int]:
    """K, n_real and n_generated; 0 where there is none."""
    return int(column.settings.get("K", "0")), column.n_real or 0, column.n_generated or 0
