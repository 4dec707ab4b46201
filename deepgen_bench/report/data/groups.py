"""Groups of measurements that may be averaged, and their spread over seeds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot, isfinite, isnan, nan, sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepgen_bench.report.data.metrics import OVER_EXAMPLES
from deepgen_bench.report.data.selection import has_value
from deepgen_bench.report.data.statistics import half_width
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.keys import Variant


class Comparable(NamedTuple):
    """What two numbers must share to be averaged or compared: a column of a table."""

    metric: str
    variant: str
    unit: str
    n_real: int | None
    n_generated: int | None
    reference_split: str

    @property
    def settings(self) -> Variant:
        """The parsed variant, without `output` and the estimator's keys."""
        return Variant.parse(self.variant)

    def admits(self, other: "Comparable") -> bool:
        """Whether nothing that `other`, which has no value, states contradicts this column."""
        return (
            self.metric == other.metric
            and self.settings.includes(other.settings)
            and all(theirs in ("", None, ours) for ours, theirs in zip(self[2:], other[2:], strict=True))
        )


class Group(NamedTuple):
    """The measurements of one model that differ in the seed alone.

    `output` is the kind of sample ("draw", "mean" or ""), `estimator` the text of a `storage.keys.Estimator` or "".
    """

    experiment: str
    dataset: str
    model: str
    output: str
    estimator: str
    checkpoint: str
    comparable: Comparable

    def admits(self, other: "Group") -> bool:
        """Whether a measurement without a value, whose own group is `other`, may belong to this group."""
        return (
            (self.experiment, self.dataset, self.model, self.checkpoint)
            == (other.experiment, other.dataset, other.model, other.checkpoint)
            and other.output in ("", self.output)
            and other.estimator in ("", self.estimator)
            and self.comparable.admits(other.comparable)
        )


class Event(NamedTuple):
    """Status and reason of a measurement that is not `ok`."""

    status: str
    seed: int
    reason: str


@dataclass(frozen=True)
class Spread:
    """A group over its seeds. `std_error` and `mc_error` are means over the measurements; NaN if unknown.

    `test_error` is the standard error of the mean of a sample metric over test examples; NaN if unknown.
    """

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
    test_error: float = nan

    @property
    def column(self) -> Comparable:
        return self.group.comparable

    @property
    def margin(self) -> float:
        """The number after ± in a table; NaN if unknown.

        It is the half-width of the interval over seeds, combined (root of the sum of squares) with the half-width over
        the test examples, which all seeds share: of sample metrics where it is known, and of likelihoods.
        """
        if isfinite(self.test_error):
            return hypot(self.half_width, NORMAL_QUANTILE * self.test_error)
        n = self.column.n_real
        if self.column.metric not in OVER_EXAMPLES or n is None or not isfinite(self.std_error):
            return self.half_width
        over_examples = half_width(self.std_error * sqrt(n), n)
        return hypot(0.0 if isnan(self.half_width) else self.half_width, over_examples)


NORMAL_QUANTILE = 1.96
"""Half-width of a 95 % interval in standard errors of a mean over many examples."""

# The columns of the tidy table that a spread is computed from.
INPUTS = ("seed", "value", "std_error", "mc_error", "bound", "direction", "status", "reason")


def spreads(rows: pd.DataFrame) -> Iterator[Spread]:
    """The spread of every group in `rows`, in order of appearance.

    A measurement without a value counts in every group of its model and metric that it does not contradict.
    Errors: `UserError` if a group has two values for a seed, or values of different bound or direction.
    """
    # Arrays, because selecting rows of a data frame takes a thousand times as long, and there are thousands of groups.
    columns = {name: rows[name].to_numpy() for name in INPUTS} | {"valued": has_value(rows).to_numpy()}
    for group, indices in _members(rows).items():
        yield _spread(group, {name: column[indices] for name, column in columns.items()})


def group_of(row: pd.Series) -> Group:
    """The group of a row of the tidy table, by its own columns."""
    variant = Variant.parse(row.variant)
    n_real, n_generated = (None if pd.isna(n) else int(n) for n in (row.n_real, row.n_generated))
    comparable = Comparable(row.metric, str(variant.comparable), row.unit, n_real, n_generated, row.reference_split)
    estimator = str(variant.estimator or "")
    return Group(row.experiment, row.dataset, row.model, variant.output, estimator, row.checkpoint, comparable)


def _members(rows: pd.DataFrame) -> dict[Group, list[int]]:
    """Positions of the rows of each group, groups in order of their first row."""
    groups = [group_of(row) for row in rows.itertuples(index=False)]
    valued = dict.fromkeys(group for group, known in zip(groups, has_value(rows), strict=True) if known)
    members: dict[Group, list[int]] = {}
    for i, group in enumerate(groups):
        targets = [group] if group in valued else [other for other in valued if other.admits(group)] or [group]
        for target in targets:
            members.setdefault(target, []).append(i)
    return members


def _spread(group: Group, rows: dict[str, np.ndarray]) -> Spread:
    """The spread of a group, from the columns `INPUTS` of its rows and whether each has a value (`valued`)."""
    valued, seed, status = rows["valued"], rows["seed"].astype(int), rows["status"]
    seeds, values = seed[valued], rows["value"][valued].astype(float)
    if len(repeated := [int(each) for i, each in enumerate(seeds) if each in seeds[:i]]):
        raise UserError(f"seed {repeated[0]} appears twice in {group}")
    common: dict[str, str] = {}
    for column in ("bound", "direction"):
        distinct = list(dict.fromkeys(rows[column][valued] if valued.any() else rows[column][:1]))
        if len(distinct) > 1:
            raise UserError(f"column {column} has several values in {group}: {', '.join(distinct)}")
        common[column] = distinct[0]
    sd = _sd(values)
    not_ok = status != "ok"
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
        _mean(rows["std_error"][valued]),
        _mean(rows["mc_error"][valued]),
        common["bound"],
        common["direction"],
        dict(Counter(map(str, status))),
        tuple(map(Event, status[not_ok], seed[not_ok].tolist(), rows["reason"][not_ok])),
        dict(zip(seeds.tolist(), values.tolist(), strict=True)),
    )


def _mean(values: np.ndarray) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    known = values.astype(float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else nan


def _sd(values: np.ndarray) -> float:
    """Standard deviation (n - 1); 0 for numbers equal up to rounding, NaN for fewer than two or infinite ones."""
    if len(values) < 2 or not np.isfinite(values).all():
        return nan
    return 0.0 if np.ptp(values) <= 1e-14 * np.abs(values).max() else float(values.std(ddof=1))
