"""The tables of an experiment: `metrics.csv`, `summary.csv` (the spread over seeds) and `paired.csv`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from deepgen_bench.report.data import paired
from deepgen_bench.report.data.groups import Comparable, Group, Spread, spreads
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import read_arrays, write_text
from deepgen_bench.storage.results import merge, read_rows

OF_GROUP = ("experiment", "dataset", "model", "output", "estimator")
NUMBERS = ("min", "max", "n_seeds", "n_total", "n_diverged", "std_error", "mc_error", "bound", "direction")
COLUMNS = [*OF_GROUP, *Comparable._fields, "checkpoint", "mean", "sd", "ci_low", "ci_high"]
COLUMNS += [*NUMBERS, "statuses", "reasons"]


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Every group of comparable measurements over its seeds, in order of appearance, with columns `COLUMNS`.

    There is one row per experiment, dataset, model, output, estimator, metric, variant, unit, checkpoint, n_real,
    n_generated and reference_split. `output` (the kind of sample) and `estimator` (such as `laplace(draws=1000)`) are
    keys of the variant in the tidy table and columns of their own here. `mean`, `sd` (n - 1), `min`, `max` and
    `n_seeds` are over all values, including those of status `suspect` and `not_converged`; `n_total` counts all seeds,
    `n_diverged` the diverged ones, `statuses` all statuses (`ok=4;diverged=1`); `reasons` lists their reasons.
    `ci_low` and `ci_high` are the 95 % t interval of the mean over seeds, given the one test set; `std_error` and
    `mc_error` are means over the measurements. An empty cell is unknown, such as the spread of a single seed. A
    measurement without a value counts in every group of its model and metric that it does not contradict.
    """
    records = pd.DataFrame([_record(spread) for spread in spreads(rows)], columns=COLUMNS)
    return records.astype({"n_real": "Int64", "n_generated": "Int64"})


def aggregate(parts: Sequence[Path], output_dir: Path) -> list[Path]:
    """Join the measurement files `parts`, in their order, and write the tables of the experiment to `output_dir`.

    An `.npz` file beside a part holds the per-example values of its likelihoods. Returns the paths of `metrics.csv`,
    `summary.csv` and `paired.csv`. Errors: `UserError` for a duplicate measurement or a file that violates the schema.
    """
    if not parts:
        raise UserError(f"{output_dir}: no measurement files to aggregate")
    rows = merge([(str(part), read_rows(Path(part))) for part in parts], repeats=False)
    vectors: dict[str, np.ndarray] = {}
    for part in parts:
        if part.with_suffix(".npz").is_file():
            vectors |= read_arrays(part.with_suffix(".npz"))
    differences = paired.paired_differences(rows, vectors)
    tables = {"metrics.csv": rows, "summary.csv": summarise(rows), paired.FILE: differences}
    for name, table in tables.items():
        write_text(output_dir / name, table.to_csv(index=False, lineterminator="\n"))
    return [output_dir / name for name in tables]


def _record(spread: Spread) -> dict[str, object]:
    """A row of `summary.csv`."""
    group: Group = spread.group
    return {
        **{name: getattr(group, name) for name in (*OF_GROUP, "checkpoint")},
        **spread.column._asdict(),
        **{"mean": spread.mean, "sd": spread.sd},
        **{"ci_low": spread.mean - spread.half_width, "ci_high": spread.mean + spread.half_width},
        **{name: getattr(spread, name) for name in NUMBERS},
        "statuses": ";".join(f"{status}={count}" for status, count in spread.statuses.items()),
        "reasons": "; ".join(dict.fromkeys(event.reason for event in spread.events if event.reason)),
    }
