"""The integral of a trained density, which is 1 for every training."""

from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from deepgen_bench.models.base import DiffusionProcess
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.studies.estimators.trained import ReplicateCheck, ReplicateSettings
from deepgen_bench.studies.study import Evidence, Row


class DensityIntegralSettings(ReplicateSettings):
    """`n` points; `margin` is how far the box extends beyond the data on every side, in their standard deviations."""

    n: Annotated[int, Field(ge=100)] = 4000
    margin: PositiveFloat = 1.5


class DensityIntegral(ReplicateCheck):
    """∫ p(x) dx of a trained model on vectors, by importance sampling.

    Half of the points are drawn from the distribution of the data, half uniformly from a box around them. The density
    of a diffusion model is that of its probability flow.
    """

    Settings = DensityIntegralSettings
    settings: DensityIntegralSettings

    def measure(self) -> Evidence:
        from deepgen_bench.metrics.likelihood.diffusion import flow

        s, rng, dataset = self.settings, self.rng("points"), self.source.dataset
        if dataset.exact_density is None or dataset.exact_sampler is None:
            raise UserError(f"calibration.{self.label}.settings.dataset: {s.dataset}; valid: one with a known density")
        model = self.model()
        data = dataset.exact_sampler(s.n // 2, rng)
        reach = s.margin * data.std(0)
        low, high = data.min(0) - reach, data.max(0) + reach
        x = np.concatenate([data, low + (high - low) * rng.random(data.shape)])
        log_p = flow(model, x).values if isinstance(model, DiffusionProcess) else model.log_prob(x)
        inside = ((x >= low) & (x <= high)).all(1)
        proposal = 0.5 * np.exp(dataset.exact_density(x)) + 0.5 * inside / np.prod(high - low)
        weights = (np.exp(log_p) / proposal).reshape(2, -1)
        # the variance is the sum of those within the halves, because the proposal is stratified
        error = float(np.sqrt((weights.var(1, ddof=1) / weights.shape[1]).sum()) / 2)
        return Evidence([Row("∫ p(x) dx", f"{s.dataset}/{s.model}, n={x.shape[0]}", 1.0, float(weights.mean()), error)])
