"""Kernel density estimate: a Gaussian on every training example, as wide as validation data like best. No torch."""

import numpy as np

from deepgen_bench.models.classical.base import ClassicalModel
from deepgen_bench.models.classical.kernel_density import best_bandwidth, choose_bandwidth, kernel_log_density
from deepgen_bench.training.result import Fit, State


class KDE(ClassicalModel):
    """1/n Σ_i N(x_i, h²I) (Rosenblatt 1956, Parzen 1962), h by the mean log-likelihood of validation examples."""

    random = False

    def fit_points(self, train: np.ndarray, validation: np.ndarray, seed: int) -> Fit:
        s, train = self.settings, train.astype(np.float32).astype(np.float64)  # as it is kept
        curves = choose_bandwidth(train, validation[: s.n_validation], s.narrowest, s.widest, s.step)
        state = {"points": train.astype(np.float32), "bandwidth": np.array([best_bandwidth(curves)])}
        return Fit({"final": state}, curves=curves, steps=1, examples=len(train), parameters=train.size + 1)

    def load(self, state: State) -> None:
        self.centres, self.bandwidth = state["points"].astype(np.float64), float(state["bandwidth"][0])

    def sample_points(self, n: int, rng: np.random.Generator) -> np.ndarray:
        choices, noise = rng.spawn(2)
        centres = self.centres[choices.integers(len(self.centres), size=n)]
        return centres + self.bandwidth * noise.standard_normal(centres.shape)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density of x (n, D), nats per example."""
        return kernel_log_density(x, self.centres, self.bandwidth)
