"""Kernel density estimate with its bandwidth chosen by validation likelihood. Imports no torch."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, PositiveFloat

from deepgen_bench.models.base import Tractable
from deepgen_bench.models.classical.base import ClassicalModel
from deepgen_bench.models.classical.kernel_density import best_bandwidth, choose_bandwidth, kernel_log_density
from deepgen_bench.models.settings import ModelSettings, ModelSpec
from deepgen_bench.training.result import State, TrainingResult


class KDESettings(ModelSettings):
    """The bandwidth maximises the likelihood of `n_validation` validation examples.

    It is searched from `min_bandwidth` to `max_bandwidth` times the data's standard deviation by factors of 2, then
    around the best one by factors of `step`.
    """

    renamed: ClassVar[dict[str, str]] = {"narrowest": "min_bandwidth", "widest": "max_bandwidth"}

    min_bandwidth: PositiveFloat = 0.001
    max_bandwidth: PositiveFloat = 2.0
    step: Annotated[float, Field(gt=1)] = 1.1
    n_validation: Annotated[int, Field(ge=10)] = 1000


class KDE(ClassicalModel):
    """1/n Σ_i N(x_i, h²I) over the training examples (Rosenblatt 1956, Parzen 1962)."""

    random = False

    def fit_points(self, train: np.ndarray, validation: np.ndarray, seed: int) -> TrainingResult:
        # rounded as in the state
        s, train = self.settings, train.astype(np.float32).astype(np.float64)
        curves = choose_bandwidth(train, validation[: s.n_validation], s.min_bandwidth, s.max_bandwidth, s.step)
        state = {"points": train.astype(np.float32), "bandwidth": np.array([best_bandwidth(curves)])}
        return TrainingResult({"final": state}, curves=curves, steps=1, examples=len(train), parameters=train.size + 1)

    def load(self, state: State) -> None:
        self.centres, self.bandwidth = state["points"].astype(np.float64), float(state["bandwidth"][0])

    def sample_points(self, n: int, rng: np.random.Generator) -> np.ndarray:
        choices, noise = rng.spawn(2)
        centres = self.centres[choices.integers(len(self.centres), size=n)]
        return centres + self.bandwidth * noise.standard_normal(centres.shape)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log 1/n Σ_i N(x; x_i, h²I), (n,), for x (n, D), in nats."""
        return kernel_log_density(x, self.centres, self.bandwidth)


KDE_SPEC = ModelSpec(KDESettings, Tractable, "deepgen_bench.models.classical.kde:KDE")
