"""Selection of rows of the tidy table: those with a value, of one checkpoint, of real data."""

import numpy as np
import pandas as pd

from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.results import CHOICES

# The role of real data that are measured in place of a model's samples.
REAL = "oracle"
# A doubtful value is shown with a mark; rows with any other status have no value.
VALUED = ("ok", "suspect", "not_converged")


def has_value(rows: pd.DataFrame) -> pd.Series:
    """Whether each row has a value that enters a mean."""
    return rows["value"].notna() & rows["status"].isin(VALUED)


def is_real(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is a measurement of real data, which are never ranked."""
    return rows["role"] == REAL


def real_labels(rows: pd.DataFrame) -> list[str]:
    """The labels of real data, in order of appearance."""
    return list(dict.fromkeys(rows.loc[is_real(rows), "model"]))


def of_checkpoint(rows: pd.DataFrame, checkpoint: str) -> pd.DataFrame:
    """The rows of one checkpoint; the `final` rows of a model that has no value at `best` on a dataset."""
    if checkpoint not in CHOICES["checkpoint"]:
        raise UserError(f"checkpoint {checkpoint!r}; valid: {', '.join(CHOICES['checkpoint'])}")
    models = pd.MultiIndex.from_frame(rows[["experiment", "dataset", "model"]])
    has_best = models.isin(models[(rows["checkpoint"] == "best") & has_value(rows)])
    return rows[rows["checkpoint"] == np.where(has_best, checkpoint, "final")]
