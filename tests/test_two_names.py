"""One model entered under two names: real metrics of real samples, through the statistics of the tables."""

import numpy as np
import pandas as pd
from tidy_rows import row

from deepgen_bench.metrics.features.frechet import frechet_distance
from deepgen_bench.metrics.features.kernel import gaussian_mmd, kernel_distance
from deepgen_bench.metrics.features.neighbours import precision_recall
from deepgen_bench.metrics.samples.optimal_transport import random_projections, sliced_wasserstein
from deepgen_bench.report.data.comparisons import compare
from deepgen_bench.report.data.sheet import Sheet

REPLICATIONS, SEEDS, N = 200, 5, 40


def measured(real: np.ndarray, generated: np.ndarray, projections: np.ndarray) -> dict[str, tuple[float, str]]:
    precision, recall = precision_recall(real, generated)
    return {
        "frechet_distance": (frechet_distance(real, generated).value, "min"),
        "kernel_distance": (kernel_distance(real, generated).value, "min"),
        "precision": (precision.value, "max"),
        "recall": (recall.value, "max"),
        "sliced_w2": (sliced_wasserstein(real, generated, projections).value, "min"),
        "mmd": (gaussian_mmd(real, generated, 1.5).value, "min"),
    }


def test_the_same_model_under_two_names_ties() -> None:
    """Both are held against one test set, as in an experiment, and are wrong in the same way."""
    rng = np.random.default_rng(0)
    projections = random_projections(2, 50, rng)
    separated = 0
    for _ in range(REPLICATIONS):
        real = rng.standard_normal((N, 2))
        rows = [
            row(model=name, seed=seed, metric=metric, variant="", value=value, direction=direction)
            for name in ("one", "other")
            for seed in range(SEEDS)
            for metric, (value, direction) in measured(real, 0.8 * rng.standard_normal((N, 2)), projections).items()
        ]
        sheet = Sheet(pd.DataFrame(rows))
        comparisons = compare([sheet.competing(column) for column in sheet.columns], {})
        assert comparisons.tested == 6
        separated += sum(len(best) < 2 for best in comparisons.best)
    # of columns, which are correlated, up to the error of the replications
    assert separated / (6 * REPLICATIONS) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / REPLICATIONS)
