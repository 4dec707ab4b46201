"""The spread over seeds: one row for each group of measurements that may be averaged."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from deepgen_bench.errors import UserError
from deepgen_bench.files import write_text
from deepgen_bench.results import merge, parse_variant, read_rows, write_rows


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
        pairs = parse_variant(self.variant).items()
        return (
            self.metric == other.metric
            and parse_variant(other.variant).items() <= pairs
            and all(theirs in ("", None, ours) for ours, theirs in zip(self[2:], other[2:], strict=True))
        )


class Group(NamedTuple):
    """The measurements of one model that differ in the seed alone; `output` is what a sample is (draw, mean or "")."""

    experiment: str
    dataset: str
    model: str
    output: str
    checkpoint: str
    comparable: Comparable

    def admits(self, other: "Group") -> bool:
        """Whether a measurement without a value that says `other` of itself may belong here."""
        return (
            (self.experiment, self.dataset, self.model, self.checkpoint)
            == (other.experiment, other.dataset, other.model, other.checkpoint)
            and other.output in ("", self.output)
            and self.comparable.admits(other.comparable)
        )


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of every group of comparable measurements, in order of appearance.

    One row per experiment, dataset, model, output, metric, variant, unit, checkpoint, n_real, n_generated and
    reference_split. The key `output` of a variant (draw or mean) is a column of its own, as it says what the model's
    sample is. Only status `ok` enters `mean`, `sd` (ddof 1; NaN for one seed), `min`, `max` and `n_seeds`; `n_total`
    counts all seeds, `n_diverged` the diverged ones, `statuses` all (`ok=4;diverged=1`), `reasons` what they gave.
    A measurement without a value is counted in every group of its model and metric that it does not contradict.
    """
    members = _members(rows)
    records = [_record(group, rows.iloc[indices]) for group, indices in members.items()]
    columns = [*Group._fields[:4], *Comparable._fields, "checkpoint"]
    columns += ["mean", "sd", "min", "max", "n_seeds", "n_total", "n_diverged"]
    columns += ["bound", "direction", "statuses", "reasons"]
    return pd.DataFrame(records, columns=columns).astype({"n_real": "Int64", "n_generated": "Int64"})


def aggregate(parts: Sequence[Path], output_dir: Path) -> None:
    """Concatenate the measurement files `parts`, in their order, to `metrics.csv` and `summary.csv` in `output_dir`.

    Errors: `UserError` if a measurement is there twice, or a file does not keep to the schema.
    """
    if not parts:
        raise UserError(f"{output_dir}: no measurement files to aggregate")
    rows = merge([(str(part), read_rows(Path(part))) for part in parts], repeats=False)
    write_rows(output_dir / "metrics.csv", rows)
    write_text(output_dir / "summary.csv", summarise(rows).to_csv(index=False, lineterminator="\n"))


def group_of(row: pd.Series) -> Group:
    """The group that a row of the tidy table belongs to by what it says of itself."""
    pairs = parse_variant(row.variant)
    output = pairs.pop("output", "")
    variant = ";".join(f"{key}={value}" for key, value in pairs.items())
    n_real, n_generated = (None if pd.isna(n) else int(n) for n in (row.n_real, row.n_generated))
    comparable = Comparable(row.metric, variant, row.unit, n_real, n_generated, row.reference_split)
    return Group(row.experiment, row.dataset, row.model, output, row.checkpoint, comparable)


def _members(rows: pd.DataFrame) -> dict[Group, list[int]]:
    """Positions of the rows of each group, groups in order of their first row."""
    groups = [group_of(row) for row in rows.itertuples(index=False)]
    valued = dict.fromkeys(group for group, status in zip(groups, rows["status"], strict=True) if status == "ok")
    members: dict[Group, list[int]] = {}
    for i, group in enumerate(groups):
        homes = [group] if group in valued else [home for home in valued if home.admits(group)] or [group]
        for home in homes:
            members.setdefault(home, []).append(i)
    return members


def _record(group: Group, rows: pd.DataFrame) -> dict:
    good = rows[rows["status"] == "ok"]
    if good["seed"].duplicated().any():
        raise UserError(f"seed {good['seed'][good['seed'].duplicated()].iloc[0]} appears twice in {group}")
    for column in ("bound", "direction"):
        if good[column].nunique() > 1:
            raise UserError(f"column {column} has several values in {group}: {', '.join(good[column].unique())}")
    typical = (good if len(good) else rows).iloc[0]
    values = good["value"]
    return {
        **group._asdict(),
        **group.comparable._asdict(),
        "mean": values.mean(),
        "sd": values.std(ddof=1),
        "min": values.min(),
        "max": values.max(),
        "n_seeds": len(good),
        "n_total": rows["seed"].nunique(),
        "n_diverged": rows.loc[rows["status"] == "diverged", "seed"].nunique(),
        "bound": typical["bound"],
        "direction": typical["direction"],
        "statuses": ";".join(f"{name}={count}" for name, count in rows["status"].value_counts(sort=False).items()),
        "reasons": "; ".join(dict.fromkeys(reason for reason in rows["reason"] if reason)),
    }
