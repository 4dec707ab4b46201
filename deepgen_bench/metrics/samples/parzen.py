"""Parzen-window estimates, of historical interest: the likelihood of test data under kernels on samples.

They misrank models (Theis, van den Oord and Bethge 2016, arXiv 1511.01844, section 3.2). Kernels on as many training
examples, a trivial competitor, and correct log-likelihoods show this. Models are not ranked by them.
"""

from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.representation import dequantise
from deepgen_bench.metrics.context import Context
from deepgen_bench.metrics.family import MetricFamily, MetricSettings
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.models.classical.kernel_density import best_bandwidth, choose_bandwidth, kernel_log_density
from deepgen_bench.runtime.seeds import derive_rng

# range of bandwidths, in standard deviations of the samples; the final search is in factors of `STEP`
NARROWEST, WIDEST, STEP = 0.001, 2.0, 1.1


class ParzenSettings(MetricSettings):
    n: int = Field(default=10_000, ge=2, description="at most so many examples of each sample")


class Parzen(MetricFamily[ParzenSettings]):
    """parzen, the mean log density in nats of test examples under Gaussian kernels on samples (Goodfellow et al. 2014,
    section 5), with the bandwidth chosen by validation likelihood; and parzen_of_train, with kernels on training data.

    Images are dequantised first, samples as well as data, so that the numbers are log densities on [0, 1)^D.
    """

    Settings = ParzenSettings

    def __init__(self, settings: ParzenSettings):
        super().__init__(settings)
        # cached, because a job measures many samples against the same data
        self._training_row: tuple[tuple[Any, ...], Measurement] | None = None

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        n = min(self.settings.n, len(real), len(generated))
        row = self._row("parzen", real[:n], generated[:n], "generated", context)
        key = (id(real), id(context.train), n)
        if self._training_row is None or self._training_row[0] != key:
            self._training_row = key, self._row("parzen_of_train", real[:n], context.train[:n], "train", context)
        return [row, self._training_row[1]]

    def _row(self, metric: str, real: np.ndarray, points: np.ndarray, role: str, context: Context) -> Measurement:
        started = perf_counter()
        kernels, x = self._represent(points, role, context), self._represent(real, "test", context)
        assert context.validation is not None
        held_out = self._represent(context.validation[: self.settings.n], "validation", context)
        width = best_bandwidth(choose_bandwidth(kernels, held_out, NARROWEST, WIDEST, STEP))
        values = kernel_log_density(x, kernels, width)
        return Measurement(
            metric,
            float(values.mean()),
            {"representation": context.spec.support if context.spec.levels is None else "dequantised"},
            float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None,
            unit="nats",
            n_real=len(x),
            n_generated=len(kernels),
            seconds=perf_counter() - started,
            influence=values - values.mean(),
        )

    @staticmethod
    def _represent(x: np.ndarray, role: str, context: Context) -> np.ndarray:
        if context.spec.levels is None:
            return x.reshape(len(x), -1).astype(np.float64)
        return dequantise(
            x, context.spec.levels, derive_rng(context.base_seed, "metric", context.dataset, "parzen", role)
        )
