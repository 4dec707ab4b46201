"""The spread over seeds: one row for each group of measurements that may be averaged."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot, isfinite, isnan, nan, sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepgen_bench.report.data.paired import FILE, paired_differences
from deepgen_bench.report.data.selection import OVER_EXAMPLES, has_value
from deepgen_bench.report.data.statistics import half_width
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import read_arrays, write_text
from deepgen_bench.storage.keys import Variant
from deepgen_bench.storage.results import merge, read_rows


class Comparable(NamedTuple):
    """What two numbers must share to be averaged or compared."""

    metric: str
    variant: str
    unit: str
    n_real: int | None
    n_generated: int | None
    reference_split: str

    def admits(self, other: "Comparable") -> bool:
        """Whether all that `other`, which has no value, says of itself is true of this one too."""
        return (
            self.metric == other.metric
            and Variant.parse(self.variant).includes(Variant.parse(other.variant))
            and all(theirs in ("", None, ours) for ours, theirs in zip(self[2:], other[2:], strict=True))
        )


class Group(NamedTuple):
    """The measurements of one model that differ in the seed alone; `output` is what a sample is (draw, mean or ""),
    `estimator` how a likelihood was come by, where it says so."""

    experiment: str
    dataset: str
    model: str
    output: str
    estimator: str
    checkpoint: str
    comparable: Comparable

    def admits(self, other: "Group") -> bool:
        """Whether a measurement without a value that says `other` of itself may belong here."""
        return (
            (self.experiment, self.dataset, self.model, self.checkpoint)
            == (other.experiment, other.dataset, other.model, other.checkpoint)
            and other.output in ("", self.output)
            and other.estimator in ("", self.estimator)
            and self.comparable.admits(other.comparable)
        )


class Event(NamedTuple):
    """What a replicate says of a measurement that is not `ok`."""

    status: str
    seed: int
    reason: str


@dataclass(frozen=True)
class Spread:
    """A group over its seeds. `std_error` and `mc_error` are means of the measurements' own; NaN: not known."""

    group: Group
    mean: float
    sd: float
    half_width: float
    min: float
    max: float
    n_seeds: int
    n_total: int
    n_diverged: int
    std_error: float
    mc_error: float
    bound: str
    direction: str
    statuses: dict[str, int]
    events: tuple[Event, ...]
    values: dict[int, float]  # by seed

    @property
    def column(self) -> Comparable:
        return self.group.comparable

    @property
    def margin(self) -> float:
        """What a table shows after ±: the half-width over seeds, for likelihoods together with that over the test
        examples, which all seeds share; NaN where neither is known."""
        n = self.column.n_real
        if self.column.metric not in OVER_EXAMPLES or n is None or not isfinite(self.std_error):
            return self.half_width
        over_examples = half_width(self.std_error * sqrt(n), n)
        return hypot(0.0 if isnan(self.half_width) else self.half_width, over_examples)

    def record(self) -> dict[str, object]:
        """As a row of `summary.csv`."""
        names = ["min", "max", "n_seeds", "n_total", "n_diverged", "std_error", "mc_error", "bound", "direction"]
        return {
            **dict(zip(Group._fields[:5], self.group, strict=False)),
            **self.column._asdict(),
            "checkpoint": self.group.checkpoint,
            **{"mean": self.mean, "sd": self.sd},
            **{"ci_low": self.mean - self.half_width, "ci_high": self.mean + self.half_width},
            **{name: getattr(self, name) for name in names},
            "statuses": ";".join(f"{status}={count}" for status, count in self.statuses.items()),
            "reasons": "; ".join(dict.fromkeys(event.reason for event in self.events if event.reason)),
        }


COLUMNS = [*Group._fields[:5], *Comparable._fields, "checkpoint", "mean", "sd", "ci_low", "ci_high", "min", "max"]
COLUMNS += ["n_seeds", "n_total", "n_diverged", "std_error", "mc_error", "bound", "direction", "statuses", "reasons"]


# of the tidy table, what a spread is made of
USED = ("seed", "value", "std_error", "mc_error", "bound", "direction", "status", "reason")


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Every group of comparable measurements over its seeds, in order of appearance, columns `COLUMNS`.

    One row per experiment, dataset, model, output, estimator, metric, variant, unit, checkpoint, n_real, n_generated
    and reference_split. The keys `output` and `estimator` of a variant are columns of their own, as they say what the
    model's sample is and how a number was come by. All values enter `mean`, `sd` (n - 1), `min`, `max` and `n_seeds`,
    those of status `suspect` and `not_converged` too; `n_total` counts all seeds, `n_diverged` the diverged ones,
    `statuses` all (`ok=4;diverged=1`), `reasons` what they gave. `ci_low` and `ci_high` are the 95 % t interval of the
    mean over seeds, given the one test set; `std_error` and `mc_error` means of the measurements' own. Empty: not
    known, as is every spread of one seed. A measurement without a value is counted in every group of its model and
    metric that it does not contradict.
    """
    records = pd.DataFrame([spread.record() for spread in spreads(rows)], columns=COLUMNS)
    return records.astype({"n_real": "Int64", "n_generated": "Int64"})


def spreads(rows: pd.DataFrame) -> Iterator[Spread]:
    """The groups of `rows`, in order of appearance. Errors: `UserError` if a seed stands twice in one."""
    # arrays, because a data frame's parts take a thousand times as long to pick, and there are thousands of groups
    columns = {name: rows[name].to_numpy() for name in USED} | {"known": has_value(rows).to_numpy()}
    for group, indices in _members(rows).items():
        yield _spread(group, {name: column[indices] for name, column in columns.items()})


def aggregate(parts: Sequence[Path], output_dir: Path) -> list[Path]:
    """Join the measurement files `parts`, in their order, to an experiment's tables.

    An `.npz` file beside a part holds the per-example values behind its likelihoods. Written to `output_dir`, and
    returned, are `metrics.csv`, `summary.csv` and `paired.csv`. Errors: `UserError` if a measurement is there twice, or
    a file does not keep to the schema.
    """
    if not parts:
        raise UserError(f"{output_dir}: no measurement files to aggregate")
    rows = merge([(str(part), read_rows(Path(part))) for part in parts], repeats=False)
    vectors: dict[str, np.ndarray] = {}
    for part in parts:
        if part.with_suffix(".npz").is_file():
            vectors |= read_arrays(part.with_suffix(".npz"))
    paired = paired_differences(rows, vectors)
    tables = {"metrics.csv": rows, "summary.csv": summarise(rows), FILE: paired}
    for name, table in tables.items():
        write_text(output_dir / name, table.to_csv(index=False, lineterminator="\n"))
    return [output_dir / name for name in tables]


def group_of(row: pd.Series) -> Group:
    """The group that a row of the tidy table belongs to by what it says of itself."""
    variant = Variant.parse(row.variant)
    n_real, n_generated = (None if pd.isna(n) else int(n) for n in (row.n_real, row.n_generated))
    comparable = Comparable(row.metric, str(variant.comparable), row.unit, n_real, n_generated, row.reference_split)
    return Group(
        row.experiment, row.dataset, row.model, variant.output, str(variant.estimator or ""), row.checkpoint, comparable
    )


def _members(rows: pd.DataFrame) -> dict[Group, list[int]]:
    """Positions of the rows of each group, groups in order of their first row."""
    groups = [group_of(row) for row in rows.itertuples(index=False)]
    valued = dict.fromkeys(group for group, known in zip(groups, has_value(rows), strict=True) if known)
    members: dict[Group, list[int]] = {}
    for i, group in enumerate(groups):
        homes = [group] if group in valued else [home for home in valued if home.admits(group)] or [group]
        for home in homes:
            members.setdefault(home, []).append(i)
    return members


def _spread(group: Group, rows: dict[str, np.ndarray]) -> Spread:
    """The group's spread, from the columns `USED` of its rows, and which of them have a value (`known`)."""
    known, seed, status = rows["known"], rows["seed"].astype(int), rows["status"]
    seeds, values = seed[known], rows["value"][known].astype(float)
    if len(twice := [int(each) for i, each in enumerate(seeds) if each in seeds[:i]]):
        raise UserError(f"seed {twice[0]} appears twice in {group}")
    said: dict[str, str] = {}
    for column in ("bound", "direction"):
        found = list(dict.fromkeys(rows[column][known] if known.any() else rows[column][:1]))
        if len(found) > 1:
            raise UserError(f"column {column} has several values in {group}: {', '.join(found)}")
        said[column] = found[0]
    sd = _sd(values)
    doubts = status != "ok"
    statuses = Counter(map(str, status))
    return Spread(
        group,
        _mean(values),
        sd,
        half_width(sd, len(values)),
        float(values.min()) if len(values) else nan,
        float(values.max()) if len(values) else nan,
        len(values),
        len(set(seed.tolist())),
        len(set(seed[status == "diverged"].tolist())),
        _mean(rows["std_error"][known]),
        _mean(rows["mc_error"][known]),
        said["bound"],
        said["direction"],
        dict(statuses),
        tuple(map(Event, status[doubts], seed[doubts].tolist(), rows["reason"][doubts])),
        dict(zip(seeds.tolist(), values.tolist(), strict=True)),
    )


def _mean(values: np.ndarray) -> float:
    """The mean of those that are known; NaN of none."""
    known = values.astype(float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else nan


def _sd(values: np.ndarray) -> float:
    """Standard deviation (n - 1); 0 of numbers equal but for rounding, NaN of fewer than two or infinite ones."""
    if len(values) < 2 or not np.isfinite(values).all():
        return nan
    return 0.0 if np.ptp(values) <= 1e-14 * np.abs(values).max() else float(values.std(ddof=1))
