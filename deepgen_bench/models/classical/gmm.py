"""Mixture of Gaussians by EM, with the number of components chosen by validation likelihood. Imports no torch."""

import warnings
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from deepgen_bench.models.base import Tractable
from deepgen_bench.models.classical.base import ClassicalModel
from deepgen_bench.models.settings import ModelSettings, ModelSpec
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.training.result import State, TrainingResult

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

ITERATIONS = 500


class GMMSettings(ModelSettings):
    """EM runs from `starts` initialisations for each number of `components`; the validation split chooses the number.

    `ridge`, a variance in squared data units, is added to the diagonals of the covariances.
    """

    components: Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], Field(min_length=1)] = (
        *(1, 2, 4),
        *(8, 16, 32),
    )
    covariance: Literal["full", "diag"] = "full"
    ridge: PositiveFloat = 1e-6
    starts: Annotated[int, Field(ge=1, le=1000)] = 3


class GMM(ClassicalModel):
    """Σ_k w_k N(μ_k, Σ_k) by scikit-learn's EM from a k-means start (Dempster et al. 1977).

    The number of components is the one with the largest mean log-likelihood on the validation split; the curve over
    all of them is kept.
    """

    def fit_points(self, train: np.ndarray, validation: np.ndarray, seed: int) -> TrainingResult:
        from sklearn.exceptions import ConvergenceWarning

        best: GaussianMixture | None = None
        curves: list[dict[str, float]] = []
        # a component needs more points than dimensions, or its covariance is the ridge
        most = max(1, (len(train) - 1) // (train.shape[1] + 1))
        numbers = [k for k in self.settings.components if k <= most]
        if not numbers:
            components = ", ".join(map(str, self.settings.components))
            raise UserError(
                f"components: {components} for {len(train)} training examples; valid here: some of at most {most}"
            )
        for k in numbers:
            mixture = self.mixture(k, seed)
            with warnings.catch_warnings():
                # EM converges slowly at the end; the validation split decides, converged or not
                warnings.simplefilter("ignore", ConvergenceWarning)
                try:
                    mixture.fit(train)
                except ValueError as error:
                    raise UserError(f"ridge: {k} components cannot be fitted ({error}); valid: a larger one") from None
            score = -float(mixture.score(validation))
            if best is None or score < min(row["validation_score"] for row in curves):
                best = mixture
            curves.append({"step": k, "components": k, "validation_score": score})
        assert best is not None
        state = {"weights": best.weights_, "means": best.means_, "covariances": best.covariances_}
        d, k = train.shape[1], len(best.weights_)
        parameters = k * (1 + d + (d * (d + 1) // 2 if self.settings.covariance == "full" else d)) - 1
        return TrainingResult(
            {"final": state}, curves=curves, steps=best.n_iter_, examples=len(train), parameters=parameters
        )

    def mixture(self, k: int, seed: int | None = None) -> "GaussianMixture":
        from sklearn.mixture import GaussianMixture

        s = self.settings
        state = None if seed is None else np.random.RandomState(seed % 2**32)
        return GaussianMixture(
            k, covariance_type=s.covariance, reg_covar=s.ridge, max_iter=ITERATIONS, n_init=s.starts, random_state=state
        )

    def load(self, state: State) -> None:
        self.fitted = self.mixture(len(state["weights"]))
        self.fitted.weights_, self.fitted.means_ = state["weights"], state["means"]
        self.fitted.covariances_ = state["covariances"]
        factors = self.factors = cholesky_factors(state["covariances"])
        # scikit-learn computes densities with inverse factors, upper triangular ones of full matrices
        full = self.settings.covariance == "full"
        self.fitted.precisions_cholesky_ = np.linalg.inv(factors).transpose(0, 2, 1) if full else 1 / factors

    def sample_points(self, n: int, rng: np.random.Generator) -> np.ndarray:
        choices, noise = rng.spawn(2)
        k = choices.choice(len(self.fitted.weights_), size=n, p=self.fitted.weights_)
        z = noise.standard_normal((n, self.fitted.means_.shape[1]))
        x = self.fitted.means_[k]
        if self.settings.covariance == "diag":
            return x + self.factors[k] * z
        for component, factor in enumerate(self.factors):
            x[k == component] += z[k == component] @ factor.T
        return x

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log Σ_k w_k N(x; μ_k, Σ_k), (n,), for x (n, D), in nats."""
        return self.fitted.score_samples(x)


def cholesky_factors(covariances: np.ndarray) -> np.ndarray:
    """Lower factors (k, D, D) of full covariances, or standard deviations (k, D) of diagonal ones."""
    return np.linalg.cholesky(covariances) if covariances.ndim == 3 else np.sqrt(covariances)


GMM_SPEC = ModelSpec(GMMSettings, Tractable, "deepgen_bench.models.classical.gmm:GMM")
