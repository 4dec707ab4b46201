"""What classical density estimators share: each replicate is fitted by itself, on float64 points. Imports no torch."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from deepgen_bench.datasets.representation import dequantise, to_levels
from deepgen_bench.models.base import GenerativeModel, Streams, TrainingData
from deepgen_bench.training.result import TrainingResult


class ClassicalModel(GenerativeModel):
    """A density on points (n, D): vectors as they are, images dequantised with a replicate's own noise."""

    representation = "dequantised"
    #: whether a fit draws random numbers; those that do not are the same for every replicate of vectors
    random: bool = True

    @abstractmethod
    def fit_points(self, train: np.ndarray, validation: np.ndarray, seed: int) -> TrainingResult:
        """Fit one replicate to the points `train` (n, D); `validation` may choose what is not fitted."""

    @abstractmethod
    def sample_points(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`n` draws (n, D), which more draws begin with: different kinds of draws need generators of their own."""

    @abstractmethod
    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density of points (n, D), nats per example (n,)."""

    def fit(
        self,
        data: TrainingData,
        replicates: list[int],
        streams: Streams,
        budget: int,
        progress: Callable[[int, int, str], None],
    ) -> list[TrainingResult]:
        fits: list[TrainingResult] = []
        # the same noise for every replicate and model, as figures on validation data have elsewhere
        validation = self.points(data.validation, streams.validation_seed())
        for done, replicate in enumerate(replicates, 1):
            if fits and not self.random and self.spec.levels is None:
                fits.append(replace(fits[0]))
            else:
                train = self.points(data.train, streams.seed("noise", replicate))
                fits.append(self.fit_points(train, validation, streams.seed("init", replicate)))
            progress(done, len(replicates), "fitted")
        return fits

    def points(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Examples as stored, as points (n, D)."""
        if self.spec.levels is None:
            return x.reshape(len(x), -1)
        return dequantise(x, self.spec.levels, np.random.default_rng(seed))

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        x = self.sample_points(n, np.random.default_rng(seed))
        if self.spec.levels is None:
            return {"": x}
        return {"": to_levels(x, self.spec.levels).reshape(-1, *self.spec.shape)}
