"""One dataset's measurements laid out: models against what can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from deepgen_bench.report.data.selection import LIKELIHOODS, ORACLE, has_value, of_checkpoint
from deepgen_bench.report.data.summary import Comparable, Spread, spreads
from deepgen_bench.report.tables.headings import family, position
from deepgen_bench.storage.keys import Variant


@dataclass(frozen=True)
class Row:
    """A model as tables show it: `output` is set where one model gives two kinds of sample.

    `seeds` is the number of its replicates with a value, `diverged` of those that diverged; `lost` is why it has no
    measurement in a column: "diverged" if all did, "failed" if jobs failed, else empty.
    """

    label: str
    model: str
    output: str
    seeds: int
    diverged: int
    lost: str


class Sheet:
    """The measurements of one dataset at one checkpoint: its `rows`, its `columns`, and what stands where they meet."""

    def __init__(self, measured: pd.DataFrame):
        self.spreads = [_ranked(spread) for spread in spreads(measured)]
        self.columns = _columns(self.spreads)
        self.rows = [row for model in _models(measured) for row in self._rows(measured[measured["model"] == model])]

    def find(self, row: Row, column: Comparable) -> Spread | None:
        """The group of `row` in `column`: the one with a value if there is one, else what is said of its lack."""
        mine = [spread for spread in self.spreads if spread.group.model == row.model]
        mine = [spread for spread in mine if spread.group.output in ("", row.output)]
        exact = [spread for spread in mine if spread.column == column]
        exact.sort(key=lambda spread: (spread.n_seeds == 0, spread.group.output == ""))
        silent = [spread for spread in mine if spread.n_seeds == 0 and column.admits(spread.column)]
        if column.metric in LIKELIHOODS:  # a model that has no density says so once, of log_likelihood
            silent += [spread for spread in mine if spread.n_seeds == 0 and spread.column.metric == "log_likelihood"]
        return next(iter([*exact, *silent]), None)

    def competing(self, column: Comparable) -> list[Spread]:
        """The groups with a value in a column, each once, without the oracle."""
        found = [self.find(row, column) for row in self.rows if row.model != ORACLE]
        return list({spread.group: spread for spread in found if spread and spread.n_seeds}.values())

    def largest(self, columns: Sequence[Comparable]) -> list[Comparable]:
        """`columns` without those at a smaller K or n of a measurement that all their models have at a larger one."""
        models = {
            column: {s.group.model for s in self.spreads if s.column == column and s.n_seeds} for column in columns
        }
        return [
            column
            for column in columns
            if not any(
                _family(other) == _family(column)
                and bool(_size(other)[0])
                == bool(_size(column)[0])  # a bound at some K does not stand for the exact value
                and _size(other) > _size(column)
                and models[other] >= models[column]
                for other in columns
            )
        ]

    def _rows(self, own: pd.DataFrame) -> list[Row]:
        model = own["model"].iloc[0]
        lost = set(own.loc[own["status"] == "diverged", "seed"])
        statuses = set(own["status"])
        word = "failed" if "failed" in statuses else "diverged" if statuses == {"diverged"} else ""
        counts = len(set(own.loc[has_value(own), "seed"]) - lost), len(lost), word
        outputs = [s.group.output for s in self.spreads if s.group.model == model and s.group.output]
        outputs = list(dict.fromkeys(outputs))
        if len(outputs) > 1:
            return [Row(f"{model} ({output})", model, output, *counts) for output in outputs]
        return [Row(model, model, "".join(outputs), *counts)]


def sheets(rows: pd.DataFrame, checkpoint: str) -> dict[str, Sheet]:
    """One experiment's measurements at a checkpoint, by dataset."""
    shown = of_checkpoint(rows, checkpoint)
    return {str(dataset): Sheet(measured) for dataset, measured in shown.groupby("dataset", sort=False)}


def _models(measured: pd.DataFrame) -> list[str]:
    """In the order of the results, the oracle first."""
    return sorted(measured["model"].unique(), key=lambda model: model != ORACLE)


def _columns(groups: Sequence[Spread]) -> list[Comparable]:
    """All that has a value, then what was tried and has none; by metric, then as they come, then by K and n."""
    columns: dict[Comparable, None] = {}
    for group in sorted(groups, key=lambda group: group.n_seeds == 0):
        failed = group.n_seeds == 0 and set(group.statuses) != {"not_applicable"}
        if group.n_seeds or failed and not any(other.admits(group.column) for other in columns):
            columns.setdefault(group.column)
    families = list(dict.fromkeys(map(_family, columns)))
    return sorted(columns, key=lambda c: (position(c.metric), families.index(_family(c)), _size(c)))


def _ranked(spread: Spread) -> Spread:
    """Nearness to the training data, or a high likelihood of them, is no merit in itself."""
    apart = spread.column.reference_split == "train" and family(spread.column.metric) != "memorisation"
    return replace(spread, direction="none") if apart else spread


def _family(column: Comparable) -> Comparable:
    """A column without its K and n."""
    variant = Variant.parse(column.variant).without("K")
    return column._replace(variant=str(variant), n_real=None, n_generated=None)


def _size(column: Comparable) -> tuple[int, int, int]:
    """K and n; 0 where there is none."""
    return int(Variant.parse(column.variant).get("K", "0")), column.n_real or 0, column.n_generated or 0
