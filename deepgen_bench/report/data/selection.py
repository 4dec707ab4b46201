"""Which rows of the tidy table enter a table: those with a value, at the checkpoint asked for."""

import numpy as np
import pandas as pd

from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.results import CHOICES

ORACLE = "oracle"
# Measured on the same test examples for every model and seed, so that models can be compared example by example.
LIKELIHOODS = ("log_likelihood", "elbo", "iw_elbo", "bits_per_dim", "log_density_ratio")
# Means over those examples, whose error is also that of drawing the examples.
OVER_EXAMPLES = (*LIKELIHOODS, "ais", "train_test_gap", "reconstruction", "kl", "parzen", "parzen_of_train")
# A doubtful value is a value, and is marked; the other statuses say that there is none.
VALUED = ("ok", "suspect", "not_converged")


def has_value(rows: pd.DataFrame) -> pd.Series:
    """Whether each row has a value that enters a mean."""
    return rows["value"].notna() & rows["status"].isin(VALUED)


def of_checkpoint(rows: pd.DataFrame, checkpoint: str) -> pd.DataFrame:
    """The rows of one checkpoint; `final` ones of a model that has no value at `best` on a dataset."""
    if checkpoint not in CHOICES["checkpoint"]:
        raise UserError(f"checkpoint {checkpoint!r}; valid: {', '.join(CHOICES['checkpoint'])}")
    models = pd.MultiIndex.from_frame(rows[["experiment", "dataset", "model"]])
    has_best = models.isin(models[(rows["checkpoint"] == "best") & has_value(rows)])
    return rows[rows["checkpoint"] == np.where(has_best, checkpoint, "final")]
