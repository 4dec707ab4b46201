"""Wasserstein distances between samples: exact optimal transport, sorting in one dimension, and slices."""

import os
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np
from pydantic import Field

from deepgen_bench.errors import UserError
from deepgen_bench.metrics.arrays import as_pair
from deepgen_bench.metrics.features import Context, as_vectors
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.seeds import derive_rng
from deepgen_bench.settings import Settings

MAX_POINTS = 5000
"""Exact transport of 5,000 points takes about 15 s and 1 GB; time grows with n^2.5 and memory with n^2."""

RANKED_DIMENSION = 10
"""Above it a plug-in W_p is mostly its own bias, which falls when the model's variance collapses: not ranked."""


class NotConverged(RuntimeError):
    """The solver stopped before the optimum; its value would not be a distance."""


@dataclass(frozen=True)
class Transport:
    """W_p between two empirical distributions, in the units of the data.

    `std_error` is the sampling error of W_p, from the variances of the centred dual potentials u and v on W_p^p,
    sqrt(var(u)/n + var(v)/m) (the central limit theorem of del Barrio and Loubes 2019), carried to W_p by the delta
    method; it is conservative where the two distributions are equal, and None where W_p is 0. `duality_gap` is the
    relative difference between the primal cost and a feasible dual value: a certificate of optimality.
    """

    value: float
    std_error: float | None
    duality_gap: float
    n: int
    m: int


def wasserstein(x: np.ndarray, y: np.ndarray, p: int, max_iterations: int = 10**8) -> Transport:
    """Exact W_p, p = 1 or 2, between the uniform distributions on `x` (n, d) and `y` (m, d) with Euclidean distances.

    In one dimension by sorting, for any n; otherwise by the network simplex (POT) on at most 5,000 points each. The
    plug-in estimate is biased upwards, by about n^(-1/d). Raises `NotConverged` if the simplex needs more than
    `max_iterations`.
    """
    x, y = as_pair(x, y, names=("x", "y"))
    if p not in (1, 2):
        raise UserError(f"p: {p}, expected 1 or 2")
    if x.shape[1] == 1:
        cost, dual, u, v = _solve_sorted(x[:, 0], y[:, 0], p)
    else:
        for name, points in (("x", x), ("y", y)):
            if len(points) > MAX_POINTS:
                raise UserError(f"{name}: {len(points)} points, exact transport takes at most {MAX_POINTS}")
        cost, dual, u, v = _solve_simplex(_costs(x, y, p), max_iterations)
    value = cost ** (1 / p)
    cost_error = np.sqrt(u.var() / len(u) + v.var() / len(v))
    return Transport(
        value=value,
        std_error=float(cost_error / (p * value ** (p - 1))) if value > 0 else None,
        duality_gap=abs(cost - dual) / cost if cost > 0 else abs(dual),
        n=len(x),
        m=len(y),
    )


class _Solution(NamedTuple):
    cost: float
    dual: float
    u: np.ndarray
    v: np.ndarray


def _costs(x: np.ndarray, y: np.ndarray, p: int) -> np.ndarray:
    from scipy.spatial.distance import cdist

    # differences, not the Gram matrix: equal points must cost exactly 0, also far from the origin
    centre = np.concatenate([x, y]).mean(axis=0)
    return cdist(x - centre, y - centre, metric="sqeuclidean" if p == 2 else "euclidean")


def _solve_simplex(costs: np.ndarray, max_iterations: int) -> _Solution:
    # POT would otherwise import torch, which costs two seconds and is not used here
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")
    import warnings

    import ot

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where we raise
        cost, log = ot.emd2([], [], costs, numItermax=max_iterations, log=True)
    if log["result_code"] != 1:
        reason = f"solver result code {log['result_code']}, iteration limit {max_iterations}"
        raise NotConverged(f"transport of {costs.shape[0]} x {costs.shape[1]} points did not converge: {reason}")
    u, v = log["u"], log["v"]
    return _Solution(float(cost), float(u.mean() + (costs - u[:, None]).min(axis=0).mean()), u, v)


def _solve_sorted(x: np.ndarray, y: np.ndarray, p: int) -> _Solution:
    """The monotone coupling, and the dual potentials along its staircase of cells (north-west corner rule).

    For a convex cost the cells of the staircase are an optimal basis, so u_i + v_j = c_ij on them determines the
    potentials.
    """
    x, y = np.sort(x), np.sort(y)
    n, m = len(x), len(y)

    def cost(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return np.abs(x[i] - y[j]) ** p

    i, j, weight = _quantile_coupling(n, m)
    # in units of 1/(n m), the staircase leaves row i at (i + 1) m and column j at (j + 1) n; at a tie first the row
    rows, columns = np.arange(n - 1), np.arange(m - 1)
    column_there, row_there = ((rows + 1) * m - 1) // n, (columns + 1) * n // m
    u = np.concatenate([[0.0], np.cumsum(cost(rows + 1, column_there) - cost(rows, column_there))])
    v = np.concatenate([[0.0], np.cumsum(cost(row_there, columns + 1) - cost(row_there, columns))])
    v += np.abs(x[0] - y[0]) ** p
    return _Solution(float(weight @ cost(i, j)), float(u.mean() + v.mean()), u, v)


def _quantile_coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices i, j and weights: sorted point i of n meets sorted point j of m with this mass. Integers, so exact."""
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    return (ends - 1) // m, (ends - 1) // n, np.diff(ends, prepend=0) / (n * m)


def random_projections(d: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` directions uniform on the unit sphere of R^d, shape (count, d)."""
    directions = rng.standard_normal((count, d))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def sliced_wasserstein(x: np.ndarray, y: np.ndarray, projections: np.ndarray, p: int = 2) -> tuple[float, float | None]:
    """Sliced W_p (Bonneel et al. 2015) of `x` (n, d) and `y` (m, d) over `projections` (L, d), and a Monte-Carlo error.

    The value is (mean over slices of W_p^p)^(1/p). The error is that of the average over directions only (delta
    method; None for a value of 0 or a single slice), not the sampling error of x and y.
    """
    x, y = as_pair(x, y, names=("x", "y"))
    projections, _ = as_pair(projections, x, names=("projections", "x"))
    if p not in (1, 2):
        raise UserError(f"p: {p}, expected 1 or 2")
    i, j, weight = _quantile_coupling(len(x), len(y))
    slices = np.concatenate(
        [
            # transposed so that each slice is contiguous: sorting along the other axis is many times slower
            np.abs(np.sort(block @ x.T, axis=1)[:, i] - np.sort(block @ y.T, axis=1)[:, j]) ** p @ weight
            for block in np.array_split(projections, -(-len(projections) // 100))
        ]
    )
    value = float(slices.mean()) ** (1 / p)
    if value == 0 or len(slices) == 1:
        return value, None
    return value, float(slices.std(ddof=1) / np.sqrt(len(slices)) / (p * value ** (p - 1)))


class TransportSettings(Settings):
    n: int = Field(default=2000, ge=2, le=MAX_POINTS, description="points of each sample")
    projections: int = Field(default=500, ge=500, description="random directions of the sliced distance")


class TransportDistances:
    """w1, w2 and sliced_w2 between the data, flattened and with levels scaled to [0, 1], and as many samples.

    `std_error` is the sampling error for w1 and w2, and the Monte-Carlo error over directions for sliced_w2.
    """

    Settings = TransportSettings

    def __init__(self, settings: TransportSettings):
        self.settings = settings

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """Measure the first n of `real` and `generated`, both as stored; n is the smallest of both and the setting."""
        n = min(self.settings.n, len(real), len(generated))
        x, y = as_pair(as_vectors(real[:n], context.spec), as_vectors(generated[:n], context.spec), at_least=2)
        return [self._exact(x, y, 1), self._exact(x, y, 2), self._sliced(x, y, context)]

    def _exact(self, x: np.ndarray, y: np.ndarray, p: int) -> Measurement:
        start = perf_counter()
        value, std_error, reason = None, None, ""
        try:
            transport = wasserstein(x, y, p)
            value, std_error = transport.value, transport.std_error
        except NotConverged as error:
            reason = str(error)
        return Measurement(
            metric=f"w{p}",
            value=value,
            std_error=std_error,
            direction="min" if x.shape[1] <= RANKED_DIMENSION else "none",
            n_real=len(x),
            n_generated=len(y),
            status="not_converged" if reason else "ok",
            reason=reason,
            seconds=perf_counter() - start,
        )

    def _sliced(self, x: np.ndarray, y: np.ndarray, context: Context) -> Measurement:
        start = perf_counter()
        rng = derive_rng(context.base_seed, "metric", context.dataset, "projections")
        value, std_error = sliced_wasserstein(x, y, random_projections(x.shape[1], self.settings.projections, rng))
        return Measurement(
            metric="sliced_w2",
            value=value,
            variant={"projections": self.settings.projections},
            std_error=std_error,
            direction="min",
            n_real=len(x),
            n_generated=len(y),
            seconds=perf_counter() - start,
        )
