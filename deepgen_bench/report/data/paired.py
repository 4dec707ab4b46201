"""Paired differences between models over test examples: `paired.csv` beside `metrics.csv`."""

from collections.abc import Hashable, Mapping
from itertools import combinations
from math import isclose, nan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepgen_bench.report.data.groups import Spread
from deepgen_bench.report.data.metrics import LIKELIHOODS
from deepgen_bench.report.data.selection import has_value, is_real, of_checkpoint
from deepgen_bench.runtime.errors import UserError, shown
from deepgen_bench.storage.keys import InfluenceName, Variant, VectorName
from deepgen_bench.storage.results import metric_files

FILE = "paired.csv"
COLUMN = ["experiment", "dataset", "checkpoint", "metric", "variant", "n_real", "n_generated"]
PAIR = [*COLUMN, "model_a", "output_a", "model_b", "output_b"]
COLUMNS = [*PAIR, "difference", "std_error", "n"]
# For one experiment and checkpoint: the key of `pair_key` -> standard error of the difference of two models.
PairedErrors = Mapping[Hashable, float]
# A model and the kind of its samples.
Subject = tuple[str, str]


def pair_key(
    dataset: str, metric: str, variant: str, n_real: int | None, n_generated: int | None, a: Subject, b: Subject
) -> Hashable:
    """The key of two models in `PairedErrors`, in either order, or of one model with itself."""
    return dataset, metric, variant, n_real, n_generated, frozenset((a, b))


def paired_differences(rows: pd.DataFrame, vectors: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The mean difference of every two models over the test examples that both were measured on, columns `COLUMNS`.

    `vectors` holds values of single examples under the names of `storage.keys.VectorName`, and influences of the test
    examples on sample metrics under those of `InfluenceName`. With a(x) the mean over seeds of one model's value at
    example x and b(x) that of the other, `difference` is the mean of a(x) - b(x) over the n examples and `std_error`
    its standard error over examples, s/√n: what is common to both models cancels. The value at an example is the
    measurement plus the example's influence for sample metrics; for these there is also a row of each model with
    itself, whose `std_error` is that of its mean over test examples. Checkpoints are those of the tables: a model
    without a `best` one enters with its `final` one. Real data are left out, as is a model where the values of one of
    its measurements are missing.
    """
    records = []
    for checkpoint in rows["checkpoint"].unique():
        selected = of_checkpoint(rows, checkpoint)
        selected = selected[has_value(selected) & ~is_real(selected) & (selected["reference_split"] == "test")]
        variants = [Variant.parse(text) for text in selected["variant"]]
        selected = selected.assign(
            comparable=[str(v.comparable) for v in variants], output=[v.output for v in variants]
        )
        by = ["experiment", "dataset", "metric", "comparable", "n_real", "n_generated"]
        for key, column in selected.groupby(by, sort=False, dropna=False):
            experiment, dataset, metric, variant, *sizes = key
            means = {s: _over_seeds(part, vectors) for s, part in column.groupby(["model", "output"], sort=False)}
            known = [(subject, values) for subject, values in means.items() if values is not None]
            pairs = [(each, each) for each in known if metric not in LIKELIHOODS]
            for (subject_a, a), (subject_b, b) in [*pairs, *combinations(known, 2)]:
                if len(a) != len(b):
                    continue
                own = subject_a == subject_b
                of_examples = a - a.mean() if own else a - b
                error = float(of_examples.std(ddof=1) / sqrt(len(a)))
                place = (experiment, dataset, checkpoint, metric, variant, *sizes)
                difference = 0.0 if own else float(of_examples.mean())
                records.append((*place, *subject_a, *subject_b, difference, error, len(a)))
    return pd.DataFrame(records, columns=COLUMNS).astype({"n_real": "Int64", "n_generated": "Int64"})


def load_paired(*paths: str | Path) -> pd.DataFrame:
    """The `paired.csv` beside each `metrics.csv` that `load_results` reads from the same paths; empty without any.

    Of a pair that appears several times (the same models on two machines) the row with the larger error is kept.
    """
    files = [file.with_name(FILE) for path in paths for file in metric_files(Path(path))]
    tables = [_read(file) for file in dict.fromkeys(files) if file.is_file()]
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(tables).sort_values("std_error", kind="stable").drop_duplicates(PAIR, keep="last")


def paired_errors(paired: pd.DataFrame, experiment: str, checkpoint: str) -> PairedErrors:
    """Standard errors of differences, for the tables of one experiment at one checkpoint."""
    selected = paired[(paired["experiment"] == experiment) & (paired["checkpoint"] == checkpoint)]
    errors: dict[Hashable, float] = {}
    for row in selected.itertuples(index=False):
        n_real, n_generated = (None if pd.isna(n) else int(n) for n in (row.n_real, row.n_generated))
        a, b = (row.model_a, row.output_a), (row.model_b, row.output_b)
        errors[pair_key(row.dataset, row.metric, row.variant, n_real, n_generated, a, b)] = row.std_error
    return errors


def test_error(spread: Spread, errors: PairedErrors) -> float:
    """Standard error of the mean of a sample metric over test examples; NaN if it is unknown."""
    column, subject = spread.column, (spread.group.model, spread.group.output)
    key = pair_key(
        spread.group.dataset, column.metric, column.variant, column.n_real, column.n_generated, subject, subject
    )
    return nan if column.metric in LIKELIHOODS else errors.get(key, nan)


def _over_seeds(rows: pd.DataFrame, vectors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Values at the test examples (n,) of a model, averaged over its seeds; None unless all of them are known."""
    known = [values for row in rows.itertuples(index=False) if (values := _values(row, vectors)) is not None]
    return np.mean(known, axis=0) if len(known) == len(rows) and len({len(values) for values in known}) == 1 else None


def _values(row: Any, vectors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The values of one measurement at the test examples; None if they are missing or their mean is not its value."""
    if row.metric in LIKELIHOODS:
        values = vectors.get(VectorName(row.metric, Variant.parse(row.variant).get("K")).at(row.checkpoint, row.run_id))
        if values is None:
            return None
        fits = values.shape == (row.n_real,) and row.n_real > 1 and isclose(values.mean(), row.value, rel_tol=1e-9)
        return values if fits and np.isfinite(values).all() else None
    n_real, n_generated = (None if pd.isna(n) else int(n) for n in (row.n_real, row.n_generated))
    name = InfluenceName(row.metric, "", "test", row.variant, n_real, n_generated)
    influence = vectors.get(name.at(row.checkpoint, row.run_id))
    if influence is None or influence.ndim != 1 or len(influence) < 2 or not np.isfinite(influence).all():
        return None
    return row.value + influence.astype(np.float64)


def _read(path: Path) -> pd.DataFrame:
    dtypes = dict.fromkeys(PAIR, "str") | {"n_real": "Int64", "n_generated": "Int64", "n": "int64"}
    dtypes |= {"difference": "float64", "std_error": "float64"}
    missing = {"n_real": [""], "n_generated": [""]}
    try:
        table = pd.read_csv(path, dtype=dtypes, keep_default_na=False, na_values=missing)
    except (ValueError, OverflowError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable table of paired differences ({why})") from None
    if list(table) != COLUMNS:
        raise UserError(f"{path}: found columns {shown(list(table))}; valid: {', '.join(COLUMNS)}")
    return table
