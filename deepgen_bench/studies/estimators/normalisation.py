"""A density integrates to 1, whatever it was trained on."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveFloat

from deepgen_bench.datasets.base import SyntheticDataset
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.studies.estimators.check import Line
from deepgen_bench.studies.estimators.trained import TrainedCheck, TrainedSettings


class DensityIntegralSettings(TrainedSettings):
    """`n` points; `margin` is how far beyond the data they reach on every side, in standard deviations of these."""

    n: Annotated[int, Field(ge=100)] = 4000
    margin: PositiveFloat = 1.5


class DensityIntegral(TrainedCheck):
    """∫ p(x) dx of a trained model on vectors, by importance sampling: half of the points from the data's own law, half
    evenly from a box around them. Of a diffusion model it is the density of its probability flow."""

    Settings = DensityIntegralSettings
    settings: DensityIntegralSettings

    def lines(self) -> list[Line]:
        from deepgen_bench.metrics.likelihood.diffusion import flow

        s, rng, made = self.settings, self.rng("points"), self.store.experiment.dataset(self.settings.dataset)
        if not isinstance(made, SyntheticDataset):
            raise UserError(f"calibration.{self.name}.settings.dataset: {s.dataset}; valid: one with a known density")
        model: Any = Replicate(self.store.run_dir(s.dataset, s.model, s.seed)).model("final", "cpu")
        data = made.sample(s.n // 2, rng)
        reach = s.margin * data.std(0)
        low, high = data.min(0) - reach, data.max(0) + reach
        x = np.concatenate([data, low + (high - low) * rng.random(data.shape)])
        log_p = model.log_prob(x) if hasattr(model, "log_prob") else flow(model, x).values
        inside = ((x >= low) & (x <= high)).all(1)
        proposal = 0.5 * np.exp(made.log_prob(x)) + 0.5 * inside / np.prod(high - low)
        weights = (np.exp(log_p) / proposal).reshape(2, -1)
        # each half by itself: the proposal was stratified
        error = float(np.sqrt((weights.var(1, ddof=1) / weights.shape[1]).sum()) / 2)
        return [Line("∫ p(x) dx", f"{s.dataset}/{s.model}, n={x.shape[0]}", 1.0, float(weights.mean()), error)]
