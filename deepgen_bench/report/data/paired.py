"""Differences of likelihoods between models, example by example: `paired.csv` beside an experiment's `metrics.csv`."""

from collections.abc import Hashable, Mapping
from itertools import combinations
from math import isclose, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepgen_bench.report.data.selection import LIKELIHOODS, ORACLE, has_value, of_checkpoint
from deepgen_bench.runtime.errors import UserError, shown
from deepgen_bench.storage.keys import Variant, VectorName
from deepgen_bench.storage.results import metric_files

FILE = "paired.csv"
PAIR = ["experiment", "dataset", "checkpoint", "metric", "variant", "model_a", "model_b", "n"]
COLUMNS = [*PAIR[:-1], "difference", "std_error", "n"]
# Of one experiment and checkpoint: (dataset, metric, variant, n, the two models) -> standard error of their difference.
PairedErrors = Mapping[Hashable, float]


def paired_differences(rows: pd.DataFrame, vectors: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Every two models' mean difference over the test examples that both were measured on, columns `COLUMNS`.

    `vectors` holds per-example values by `<run_id>/<measurement>_<checkpoint>`. With a(x) the mean over seeds of a
    model's value at example x, `difference` is the mean of a(x) - b(x) over the n examples and `std_error` its standard
    error over examples, s/√n: what is common to both models cancels. Checkpoints as tables show them: `best` takes a
    model without one as it is finally. A model is left out where the values behind one of its measurements are not
    there.
    """
    records = []
    for checkpoint in rows["checkpoint"].unique():
        shown = of_checkpoint(rows, checkpoint)
        shown = shown[shown["metric"].isin(LIKELIHOODS) & has_value(shown) & (shown["model"] != ORACLE)]
        shown = shown[shown["reference_split"] == "test"]
        shown = shown.assign(comparable=[str(Variant.parse(text).comparable) for text in shown["variant"]])
        for key, column in shown.groupby(["experiment", "dataset", "metric", "comparable", "n_real"], sort=False):
            experiment, dataset, metric, variant, n = key
            found = {model: _over_seeds(own, vectors) for model, own in column.groupby("model", sort=False)}
            known = [(model, values) for model, values in found.items() if values is not None]
            for (model_a, a), (model_b, b) in combinations(known, 2):
                difference, error = float((a - b).mean()), float((a - b).std(ddof=1) / sqrt(n))
                pair = (experiment, dataset, checkpoint, metric, variant, model_a, model_b)
                records.append((*pair, difference, error, n))
    return pd.DataFrame(records, columns=COLUMNS)


def load_paired(*paths: str | Path) -> pd.DataFrame:
    """The `paired.csv` beside each `metrics.csv` that `load_results` reads from the same paths; empty without any.

    A pair found twice (the same models on two machines) counts with the larger error.
    """
    files = [file.with_name(FILE) for path in paths for file in metric_files(Path(path))]
    tables = [_read(file) for file in dict.fromkeys(files) if file.is_file()]
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(tables).sort_values("std_error", kind="stable").drop_duplicates(PAIR, keep="last")


def paired_errors(paired: pd.DataFrame, experiment: str, checkpoint: str) -> PairedErrors:
    """Standard errors of differences, for the tables of one experiment at one checkpoint."""
    own = paired[(paired["experiment"] == experiment) & (paired["checkpoint"] == checkpoint)]
    return {
        (row.dataset, row.metric, row.variant, int(row.n), frozenset((row.model_a, row.model_b))): row.std_error
        for row in own.itertuples(index=False)
    }


def _over_seeds(rows: pd.DataFrame, vectors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Per-example values (n,) of a model, averaged over its seeds; None unless those of every seed are there."""
    found = [values for row in rows.itertuples(index=False) if (values := _values(row, vectors)) is not None]
    return np.mean(found, axis=0) if len(found) == len(rows) else None


def _values(row: Any, vectors: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The values behind one measurement, or None: not kept, or not those that its value is the mean of."""
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
