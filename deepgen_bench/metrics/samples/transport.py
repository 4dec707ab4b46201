"""The transport family: plug-in, centred and sliced Wasserstein distances between data and as many samples."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import numpy as np
from pydantic import Field

from deepgen_bench.metrics.arrays import TooFewExamples, as_pair, as_points
from deepgen_bench.metrics.context import Context, as_vectors
from deepgen_bench.metrics.estimate import Estimate
from deepgen_bench.metrics.family import MetricFamily, MetricSettings
from deepgen_bench.metrics.measurement import Direction, Measurement
from deepgen_bench.metrics.samples.optimal_transport import (
    MAX_POINTS,
    NotConverged,
    SlicedTransport,
    Transport,
    centre,
    random_projections,
    sliced_wasserstein,
    wasserstein,
)
from deepgen_bench.runtime.seeds import derive_rng
from deepgen_bench.storage.files import sha256_of

RANKED_DIMENSION = 10
"""Largest dimension in which centred_w2 is ranked: above, it underestimates differences in scale several times, and is
ranked in a projection instead."""

COMPONENTS = 8
"""Principal components of the training data onto which data of more dimensions are projected."""

PCA_EXAMPLES = 10_000
"""Largest number of training examples from which the components are computed, evenly spaced."""


def principal_components(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal directions (d, k) of the largest variance of `x` (n, d), k <= d, by block power iteration.

    Halko, Martinsson and Tropp 2011, algorithm 4.4 with 4 k vectors: exact if the variances decay beyond the k-th. The
    directions are orthonormal even if fewer than k have any variance.
    """
    x = x - x.mean(axis=0)
    basis = rng.standard_normal((x.shape[1], min(4 * k, x.shape[1])))
    for _ in range(10):
        basis = np.linalg.qr(x.T @ (x @ basis))[0]
    projected = x @ basis
    return basis @ np.linalg.eigh(projected.T @ projected)[1][:, -k:]


class TransportSettings(MetricSettings):
    n: int = Field(default=2000, ge=2, le=MAX_POINTS, description="points of each sample")
    projections: int = Field(default=500, ge=500, description="random directions of the sliced distance")


class TransportDistances(MetricFamily[TransportSettings]):
    """w1, w2, centred_w2 and sliced_w2 between data and samples, both flattened and with levels scaled to [0, 1].

    w1 and w2 are not ranked, because plug-in estimates reward models that vary too little or that bridge modes.
    centred_w2 uses two disjoint samples of each side; above ten dimensions it is ranked in the first eight principal
    components of the training data (`pca=8`).
    """

    Settings = TransportSettings

    def __init__(self, settings: TransportSettings):
        super().__init__(settings)
        # by the content of both samples, because the pair of data samples is the same for every replicate of a job
        self._solved: dict[str, Transport] = {}
        self._components: tuple[np.ndarray, np.ndarray] | None = None

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """Measure the first n of `real` and `generated`, both as stored; n is the smallest of both and the setting.

        For centred_w2 the first 2n of each are two samples, so its n is the smallest of both halves and the setting.
        A metric for which n is too small has the status `not_applicable`. The first of several rows that share a
        computation has its `seconds`.
        """
        n = min(self.settings.n, len(real), len(generated))
        half = min(n, len(real) // 2, len(generated) // 2)
        x, y = as_pair(as_vectors(real[: 2 * n], context.spec), as_vectors(generated[: 2 * n], context.spec))
        low = x.shape[1] <= RANKED_DIMENSION
        count = self.settings.projections

        def projected() -> Estimate:
            components = self._principal_components(context)
            return self._centred(x @ components, y @ components, half)

        def sliced() -> SlicedTransport:
            rng = derive_rng(context.base_seed, "metric", context.dataset, "projections")
            return sliced_wasserstein(x[:n], y[:n], random_projections(x.shape[1], count, rng))

        rows = [
            _row(n, "w1", lambda: wasserstein(x[:n], y[:n], 1)),
            _row(n, "w2", lambda: self._w2(x[:n], y[:n])),
            _row(half, "centred_w2", lambda: self._centred(x, y, half), "min" if low else "none"),
        ]
        if not low:
            rows.append(_row(half, "centred_w2", projected, "min", {"pca": COMPONENTS}))
        rows.append(_row(n, "sliced_w2", sliced, "min", {"projections": count}))
        return rows

    def _centred(self, x: np.ndarray, y: np.ndarray, n: int) -> Estimate:
        if n < 2:
            raise TooFewExamples(f"{len(x)} real and {len(y)} generated examples, at least 4 of each are needed")
        x, x2, y, y2 = x[:n], x[n : 2 * n], y[:n], y[n : 2 * n]
        return centre(self._w2(x, y), self._w2(x, x2), self._w2(y, y2))

    def _w2(self, x: np.ndarray, y: np.ndarray) -> Transport:
        key = sha256_of(x.tobytes()) + sha256_of(y.tobytes())
        if key not in self._solved:
            self._solved[key] = wasserstein(x, y, 2)
        return self._solved[key]

    def _principal_components(self, context: Context) -> np.ndarray:
        if self._components is None or self._components[0] is not context.train:
            stride = -(-len(context.train) // PCA_EXAMPLES) or 1
            train = as_points("train", as_vectors(context.train[::stride], context.spec))
            rng = derive_rng(context.base_seed, "metric", context.dataset, "pca")
            self._components = context.train, principal_components(train, COMPONENTS, rng)
        return self._components[1]


def _row(
    n: int,
    metric: str,
    compute: Callable[[], Transport | Estimate | SlicedTransport],
    direction: Direction = "none",
    variant: dict[str, str | int | float] | None = None,
) -> Measurement:
    start = perf_counter()
    row = Measurement(metric, None, variant or {}, direction=direction, n_real=n, n_generated=n)
    try:
        result = compute()
        mc_error = result.mc_error if isinstance(result, SlicedTransport) else None
        row = replace(row, value=result.value, std_error=result.std_error, mc_error=mc_error)
        row = replace(row, influence=result.influence)
    except NotConverged as error:
        row = replace(row, status="not_converged", reason=str(error))
    except TooFewExamples as error:
        row = replace(row, status="not_applicable", reason=str(error))
    return replace(row, seconds=perf_counter() - start)
