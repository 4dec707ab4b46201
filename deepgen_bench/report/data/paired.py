"""Paired differences of likelihoods between models over test examples: `paired.csv` beside `metrics.csv`."""

from collections.abc import Hashable, Mapping
from itertools import combinations
from math import isclose, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepgen_bench.report.data.metrics import LIKELIHOODS
from deepgen_bench.report.data.selection import has_value, is_real, of_checkpoint
from deepgen_bench.runtime.errors import UserError, shown
from deepgen_bench.storage.keys import Variant, VectorName
from deepgen_bench.storage.results import metric_files

FILE = "paired.csv"
PAIR = ["experiment", "dataset", "checkpoint", "metric", "variant", "model_a", "model_b", "n"]
COLUMNS = [*PAIR[:-1], "difference", "std_error", "n"]
# For one experiment and checkpoint: the key of `pair_key` -> standard error of the difference of two models.
PairedErrors = Mapping[Hashable, float]


def pair_key(dataset: str, metric: str, variant: str, n: int | None, model_a: str, model_b: str) -> Hashable:
    """The key of a pair of models in `PairedErrors`, in either order of the two."""
    return dataset, metric, variant, n, frozenset((model_a, model_b))


def paired_differences(rows: pd.DataFrame, vectors: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The mean difference of every two models over the test examples that both were measured on, columns `COLUMNS`.

    `vectors` holds per-example values under the names of `storage.keys.VectorName`. With a(x) the mean over seeds of
    one model's value at example x and b(x) that of the other, `difference` is the mean of a(x) - b(x) over the n
    examples and `std_error` its standard error over examples, s/√n: what is common to both models cancels. Checkpoints
    are those of the tables: a model without a `best` one enters with its `final` one. Real data are left out, as is a
    model where the per-example values of one of its measurements are missing.
    """
    records = []
    for checkpoint in rows["checkpoint"].unique():
        selected = of_checkpoint(rows, checkpoint)
        selected = selected[selected["metric"].isin(LIKELIHOODS) & has_value(selected) & ~is_real(selected)]
        selected = selected[selected["reference_split"] == "test"]
        selected = selected.assign(comparable=[str(Variant.parse(text).comparable) for text in selected["variant"]])
        for key, column in selected.groupby(["experiment", "dataset", "metric", "comparable", "n_real"], sort=False):
            experiment, dataset, metric, variant, n = key
            means = {model: _over_seeds(part, vectors) for model, part in column.groupby("model", sort=False)}
            known = [(model, values) for model, values in means.items() if values is not None]
            for (model_a, a), (model_b, b) in combinations(known, 2):
                difference, error = float((a - b).mean()), float((a - b).std(ddof=1) / sqrt(n))
                pair = (experiment, dataset, checkpoint, metric, variant, model_a, model_b)
                records.append((*pair, difference, error, n))
    return pd.DataFrame(records, columns=COLUMNS)


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
    return {
        pair_key(row.dataset, row.metric, row.variant, int(row.n), row.model_a, row.model_b): row.std_error
        for row in selected.itertuples(index=False)
    }


def _over_seeds(rows: pd.DataFrame, vectors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Per-example values (n,) of a model, averaged over its seeds; None unless those of every seed are known."""
    known = [values for row in rows.itertuples(index=False) if (values := _values(row, vectors)) is not None]
    return np.mean(known, axis=0) if len(known) == len(rows) else None


def _values(row: Any, vectors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The per-example values of one measurement; None where they are missing or their mean is not its value."""
    name = VectorName(row.metric, Variant.parse(row.variant).get("K"))
    values = vectors.get(name.at(row.checkpoint, row.run_id))
    if values is None:
        return None
    fits = values.shape == (row.n_real,) and row.n_real > 1 and isclose(values.mean(), row.value, rel_tol=1e-9)
    return values if fits and np.isfinite(values).all() else None


def _read(path: Path) -> pd.DataFrame:
    dtypes = dict.fromkeys(PAIR[:-1], "str") | {"difference": "float64", "std_error": "float64", "n": "int64"}
    try:
        table = pd.read_csv(path, dtype=dtypes, keep_default_na=False)
    except (ValueError, OverflowError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable table of paired differences ({why})") from None
    if list(table) != COLUMNS:
        raise UserError(f"{path}: found columns {shown(list(table))}; valid: {', '.join(COLUMNS)}")
    return table
