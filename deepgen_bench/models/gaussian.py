"""The classical answer: maximum-likelihood N(μ, Σ). Imports no torch."""

from collections.abc import Callable

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from deepgen_bench.datasets.representation import dequantise, to_levels
from deepgen_bench.errors import UserError
from deepgen_bench.models.base import GenerativeModel, Streams, TrainingData
from deepgen_bench.training.fit import Fit, State


class Gaussian(GenerativeModel):
    """N(μ, Σ + ridge·I) with sample mean and (biased, maximum-likelihood) covariance of the training split."""

    representation = "dequantised"

    def fit(
        self,
        data: TrainingData,
        replicates: list[int],
        streams: Streams,
        budget: int,
        progress: Callable[[int, int, str], None],
    ) -> list[Fit]:
        fits = []
        for done, replicate in enumerate(replicates, 1):
            x = data.train.reshape(len(data.train), -1)
            if self.spec.levels is not None:
                noise = np.random.default_rng(streams.seed("noise", replicate))
                x = dequantise(data.train, self.spec.levels, noise)
            mean = x.mean(0)
            covariance = np.cov(x, rowvar=False, ddof=0).reshape(len(mean), -1) + self.settings.ridge * np.eye(
                len(mean)
            )
            try:
                factor = cholesky(covariance, lower=True)
            except LinAlgError:
                raise UserError(
                    f"ridge: the covariance of the training data is singular with ridge {self.settings.ridge}; "
                    f"valid: a positive variance, such as {1e-6 * covariance.trace() / len(mean):.1g}"
                ) from None
            state = {"mean": mean, "factor": factor}
            size = len(mean) * (len(mean) + 3) // 2
            fits.append(Fit({"final": state}, steps=1, examples=len(x), parameters=size))
            progress(done, len(replicates), "closed form")
        return fits

    def load(self, state: State) -> None:
        self.mean, self.factor = state["mean"], state["factor"]

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        x = self.mean + np.random.default_rng(seed).standard_normal((n, len(self.mean))) @ self.factor.T
        if self.spec.levels is None:
            return {"": x}
        return {"": to_levels(x, self.spec.levels).reshape(-1, *self.spec.shape)}

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log N(x; μ, Σ) for x (n, D), nats per example."""
        white = solve_triangular(self.factor, (x - self.mean).T, lower=True)
        log_determinant = np.log(np.diag(self.factor)).sum()
        return -0.5 * ((white**2).sum(0) + len(self.mean) * np.log(2 * np.pi)) - log_determinant
