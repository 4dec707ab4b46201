"""Multivariate normal distribution by maximum likelihood. Imports no torch."""

from typing import Annotated

import numpy as np
from pydantic import Field

from deepgen_bench.models.base import Tractable
from deepgen_bench.models.classical.base import ClassicalModel
from deepgen_bench.models.settings import ModelSettings, ModelSpec
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.training.result import State, TrainingResult


class GaussianSettings(ModelSettings):
    """`ridge`, a variance in squared data units, is added to the diagonal of the covariance."""

    ridge: Annotated[float, Field(ge=0)] = 0.0


class Gaussian(ClassicalModel):
    """N(μ, Σ + ridge·I) with the mean and the (biased, maximum-likelihood) covariance of the training split."""

    random = False

    def fit_points(self, train: np.ndarray, validation: np.ndarray, seed: int) -> TrainingResult:
        from scipy.linalg import LinAlgError, cholesky

        mean, ridge = train.mean(0), self.settings.ridge
        covariance = np.cov(train, rowvar=False, ddof=0).reshape(len(mean), -1) + ridge * np.eye(len(mean))
        try:
            factor = cholesky(covariance, lower=True)
        except LinAlgError:
            raise UserError(
                f"ridge: the covariance of the training data is singular with ridge {ridge}; "
                f"valid: a positive variance, such as {1e-6 * covariance.trace() / len(mean):.1g}"
            ) from None
        parameters = len(mean) * (len(mean) + 3) // 2
        return TrainingResult(
            {"final": {"mean": mean, "factor": factor}}, steps=1, examples=len(train), parameters=parameters
        )

    def load(self, state: State) -> None:
        self.mean, self.factor = state["mean"], state["factor"]

    def sample_points(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.mean + rng.standard_normal((n, len(self.mean))) @ self.factor.T

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log N(x; μ, Σ), (n,), for x (n, D), in nats."""
        from scipy.linalg import solve_triangular

        white = solve_triangular(self.factor, (x - self.mean).T, lower=True)
        log_determinant = np.log(np.diag(self.factor)).sum()
        return -0.5 * ((white**2).sum(0) + len(self.mean) * np.log(2 * np.pi)) - log_determinant


GAUSSIAN = ModelSpec(GaussianSettings, Tractable, "deepgen_bench.models.classical.gaussian:Gaussian")
