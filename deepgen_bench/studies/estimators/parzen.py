"""Parzen windows compared with a known density, which they underestimate, and as a ranking of two models."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.metrics.samples.parzen import NARROWEST, STEP, WIDEST
from deepgen_bench.models.classical.kernel_density import best_bandwidth, choose_bandwidth, kernel_log_density
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Check, Evidence, mean_row


class ParzenGaussianSettings(Settings):
    """Data are N(0, I); samples of the model have the standard deviation `scale`.

    `statistic` "value" is the estimate for the model's samples; "ranking" is the estimate for samples from the true
    distribution minus that for the model's samples.
    """

    statistic: Literal["value", "ranking"] = "value"
    dim: PositiveInt = 64
    scale: PositiveFloat = 1.0
    n: PositiveInt = 1000
    replications: Annotated[int, Field(ge=2)] = 5


class ParzenGaussian(Check):
    """The mean log density of N(0, I) test examples under a Parzen window, compared with the exact value."""

    Settings = ParzenGaussianSettings
    settings: ParzenGaussianSettings

    def measure(self) -> Evidence:
        s, rng = self.settings, self.rng("samples")

        def window(samples: np.ndarray) -> float:
            held_out, test = rng.standard_normal((2, s.n, s.dim))
            width = best_bandwidth(choose_bandwidth(samples, held_out, NARROWEST, WIDEST, STEP))
            return float(kernel_log_density(test, samples, width).mean())

        log_normaliser, true_log_normaliser = (
            s.dim / 2 * np.log(2 * np.pi * s.scale**2),
            s.dim / 2 * np.log(2 * np.pi),
        )
        setting = f"samples with sd {s.scale:g}, D={s.dim}, n={s.n}, {s.replications} replications"
        values = [window(s.scale * rng.standard_normal((s.n, s.dim))) for _ in range(s.replications)]
        exact = -log_normaliser - s.dim / 2 / s.scale**2
        if s.statistic == "value":
            return Evidence([mean_row("Parzen window", setting, exact, values)])
        true_values = [window(rng.standard_normal((s.n, s.dim))) for _ in range(s.replications)]
        differences = [float(a - b) for a, b in zip(true_values, values, strict=True)]
        exact_difference = -true_log_normaliser - s.dim / 2 - exact
        quantity = "Parzen window: true distribution minus model"
        return Evidence([mean_row(quantity, setting, exact_difference, differences)])
