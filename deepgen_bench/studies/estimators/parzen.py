"""Parzen windows against a known density, which they miss, and between two models, which they take for each other."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.metrics.samples.parzen import NARROWEST, STEP, WIDEST
from deepgen_bench.models.classical.kernel_density import best_bandwidth, choose_bandwidth, kernel_log_density
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.estimators.check import Check, Line, mean_line


class ParzenGaussianSettings(Settings):
    """Data are N(0, I); the model's samples have the standard deviation `scale`. `statistic` "ranking" is by how much
    the window of samples of the data's own law exceeds that of the model's."""

    statistic: Literal["value", "ranking"] = "value"
    dim: PositiveInt = 64
    scale: PositiveFloat = 1.0
    n: PositiveInt = 1000
    replications: Annotated[int, Field(ge=2)] = 5


class ParzenGaussian(Check):
    """The window's mean log density of N(0, I) test examples against the truth."""

    Settings = ParzenGaussianSettings
    settings: ParzenGaussianSettings

    def lines(self) -> list[Line]:
        s, rng = self.settings, self.rng("samples")

        def window(samples: np.ndarray) -> float:
            held_out, test = rng.standard_normal((2, s.n, s.dim))
            width = best_bandwidth(choose_bandwidth(samples, held_out, NARROWEST, WIDEST, STEP))
            return float(kernel_log_density(test, samples, width).mean())

        own, entropy = s.dim / 2 * np.log(2 * np.pi * s.scale**2), s.dim / 2 * np.log(2 * np.pi)
        setting = f"samples with sd {s.scale:g}, D={s.dim}, n={s.n}, {s.replications} replications"
        values = [window(s.scale * rng.standard_normal((s.n, s.dim))) for _ in range(s.replications)]
        truth = -own - s.dim / 2 / s.scale**2
        if s.statistic == "value":
            return [mean_line("Parzen window", setting, truth, values)]
        of_truth = [window(rng.standard_normal((s.n, s.dim))) for _ in range(s.replications)]
        differences = [float(a - b) for a, b in zip(of_truth, values, strict=True)]
        line = mean_line("Parzen window: true law minus model", setting, -entropy - s.dim / 2 - truth, differences)
        return [line]
