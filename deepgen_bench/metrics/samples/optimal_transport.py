"""Wasserstein distances between samples: exact, centred, by sorting in one dimension, and sliced."""

import os
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from deepgen_bench.metrics.arrays import as_pair
from deepgen_bench.metrics.estimate import Estimate, error_of_means
from deepgen_bench.runtime.errors import UserError

LARGEST_GAP = 1e-6
"""Largest relative difference between the cost and the dual value of an optimal plan."""

MAX_POINTS = 5000
"""Largest sample for exact transport: it takes about 15 s and 1 GB; time grows with n^2.5 and memory with n^2."""

ROWS = 100
"""Rows of costs per block; a block fits a processor's cache."""


class NotConverged(RuntimeError):
    """The solver stopped before the optimum, or rounding errors hide it: its value is no distance."""


@dataclass(frozen=True, eq=False)
class Transport:
    """W_p between two empirical distributions, in the units of the data.

    `u` (n,) and `v` (m,) are optimal dual potentials of W_p^p in the order of the points, each centred to mean 0: the
    first-order contribution of each point to W_p^p. `std_error` is the sampling error of W_p about its expectation at
    this n and m: that of W_p^p from u and v (`error_of_means`; the central limit theorem of del Barrio and Loubes
    2019), mapped to W_p by the delta method. It is conservative for equal distributions, and None if W_p is 0 or a
    sample is a single point. `influence` (n,) is that of the points x on W_p, as in `Estimate`. `duality_gap` is the
    relative difference between the primal cost and a feasible dual value, which certifies optimality.
    """

    value: float
    std_error: float | None
    duality_gap: float
    u: np.ndarray = field(repr=False)
    v: np.ndarray = field(repr=False)
    influence: np.ndarray | None = field(default=None, repr=False)


def wasserstein(x: np.ndarray, y: np.ndarray, p: int, max_iterations: int = 10**8) -> Transport:
    """Exact W_p, p = 1 or 2, between the uniform distributions on `x` (n, d) and `y` (m, d) with Euclidean distances.

    In one dimension by sorting, for any n; otherwise by the network simplex (POT) on at most 5,000 points each. The
    plug-in estimate is biased upwards, by about n^(-1/d). Raises `NotConverged` if the simplex needs more than
    `max_iterations`, or if its duality gap exceeds 1e-6, for example if costs are 1e15 times larger than the optimum.
    """
    x, y = as_pair(x, y, names=("x", "y"))
    _check_order(p)
    if x.shape[1] == 1:
        line = _solve_sorted(x.T, y.T, p)
        cost, dual, u, v = float(line.cost[0]), float(line.dual[0]), line.u, line.v
    else:
        for name, points in (("x", x), ("y", y)):
            if len(points) > MAX_POINTS:
                raise UserError(f"{name}: {len(points)} points, exact transport takes at most {MAX_POINTS}")
        cost, dual, u, v = _solve_simplex(_costs(x, y, p), max_iterations)
    u, v = u - u.mean(), v - v.mean()
    std_error = _root_error(cost, p, u, v)
    return Transport(
        value=cost ** (1 / p),
        std_error=std_error,
        duality_gap=abs(cost - dual) / cost if cost > 0 else abs(dual),
        u=u,
        v=v,
        influence=None if std_error is None else u / _slope(cost, p),
    )


def centred_w2(x: np.ndarray, x2: np.ndarray, y: np.ndarray, y2: np.ndarray) -> Estimate:
    """W_2²(x, y) - W_2²(x, x2)/2 - W_2²(y, y2)/2 of four independent samples of one size n >= 2, each (n, d).

    `x` and `x2` are from one distribution, `y` and `y2` from the other (Papp and Sherlock 2022, arXiv 2203.11627). The
    subtracted terms estimate the bias of the plug-in estimate at this n. In squared units of the data. For equal
    distributions the expectation is 0, and about half of the values are negative. Unbiased for a translation in any
    dimension; in high dimension a difference in scale is underestimated, with the right sign. `std_error` is from the
    dual potentials of the three solutions, summed for each of the four samples; as in `wasserstein` it is about the
    expectation of the statistic at this n, and conservative for equal distributions. `influence` (2n,) is that of the
    examples of x, then of x2.
    """
    x, x2 = as_pair(x, x2, at_least=2, names=("x", "x2"))
    y, y2 = as_pair(y, y2, at_least=2, names=("y", "y2"))
    for name, points in (("x2", x2), ("y", y), ("y2", y2)):
        if len(points) != len(x):
            raise UserError(f"{name}: {len(points)} points, but x has {len(x)}; the four samples must be of one size")
    return centre(wasserstein(x, y, 2), wasserstein(x, x2, 2), wasserstein(y, y2, 2))


def centre(between: Transport, within_x: Transport, within_y: Transport) -> Estimate:
    """`centred_w2` of solved transports x to y, x to x2 and y to y2, all with p = 2."""
    value = between.value**2 - (within_x.value**2 + within_y.value**2) / 2
    parts = between.u - within_x.u / 2, within_x.v / 2, between.v - within_y.u / 2, within_y.v / 2
    return Estimate(value, error_of_means(*parts), 2 * np.concatenate(parts[:2]))


def random_projections(d: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` directions uniform on the unit sphere of R^d, shape (count, d)."""
    directions = rng.standard_normal((count, d))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


@dataclass(frozen=True)
class SlicedTransport:
    """Sliced W_p, its sampling error, its Monte-Carlo error over directions, and the influence of the points x.

    All but the value are None if not defined. `influence` (n,) is as in `Estimate`, on the scale of the value.
    """

    value: float
    std_error: float | None
    mc_error: float | None
    influence: np.ndarray | None = field(default=None, compare=False, repr=False)


def sliced_wasserstein(x: np.ndarray, y: np.ndarray, projections: np.ndarray, p: int = 2) -> SlicedTransport:
    """Sliced W_p (Bonneel et al. 2015) of `x` (n, d) and `y` (m, d) over `projections` (L, d).

    The value is (mean over slices of W_p^p)^(1/p). Its plug-in bias is that of one dimension for every d: of the order
    of n^(-1/2) for equal distributions, and of 1/n on W_p^p otherwise. `std_error` is the sampling error of x and y for
    these directions, as in `wasserstein`, but from the mean potential of each point over the slices; `mc_error` is the
    error of the average over directions. Both use the delta method and are None for a value of 0; `std_error` also for
    a single point, `mc_error` also for a single direction.
    """
    x, y = as_pair(x, y, names=("x", "y"))
    projections, _ = as_pair(projections, x, names=("projections", "x"))
    _check_order(p)
    costs, u, v = [], np.zeros(len(x)), np.zeros(len(y))
    on_x, on_y = projections @ x.T, projections @ y.T
    for start in range(0, len(projections), 20):  # blocks that fit a processor's cache
        lines = _solve_sorted(on_x[start : start + 20], on_y[start : start + 20], p)
        costs.append(lines.cost)
        u += lines.u
        v += lines.v
    slices = np.concatenate(costs)
    cost = float(slices.mean())
    u, v = ((potential - potential.mean()) / len(slices) for potential in (u, v))
    std_error = _root_error(cost, p, u, v)
    return SlicedTransport(
        value=cost ** (1 / p),
        std_error=std_error,
        mc_error=_root_error(cost, p, slices),
        influence=None if std_error is None else u / _slope(cost, p),
    )


def _check_order(p: int) -> None:
    if p not in (1, 2):
        raise UserError(f"p: {p}, expected 1 or 2")


def _root_error(cost: float, p: int, *parts: np.ndarray) -> float | None:
    """The error of cost^(1/p) from that of the cost (delta method); None if it is not defined."""
    if cost == 0 or min(map(len, parts)) < 2:
        return None
    return error_of_means(*parts) / _slope(cost, p)


def _slope(cost: float, p: int) -> float:
    """The derivative of W_p^p in W_p."""
    return p * cost ** (1 - 1 / p)


class _Solution(NamedTuple):
    cost: float
    dual: float
    u: np.ndarray
    v: np.ndarray


def _costs(x: np.ndarray, y: np.ndarray, p: int) -> np.ndarray:
    from scipy.spatial.distance import cdist

    # from differences and not the Gram matrix, because equal points must cost exactly 0, also far from the origin
    centre = np.concatenate([x, y]).mean(axis=0)
    return cdist(x - centre, y - centre, metric="sqeuclidean" if p == 2 else "euclidean")


def _solve_simplex(costs: np.ndarray, max_iterations: int) -> _Solution:
    """The solution for `costs` (n, m), which are scaled in place: copying them takes a tenth of the solver's time."""
    # otherwise POT imports torch, which takes two seconds and is not used here
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")
    import warnings

    import ot

    unit = float(costs.max()) or 1.0  # the tolerances of the solver are absolute
    costs /= unit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # errors are raised below instead
        cost, log = ot.emd2([], [], costs, numItermax=max_iterations, log=True)
    u, v = log["u"], log["v"]
    rows = range(0, len(u), ROWS)
    slack = [(costs[i : i + ROWS] - u[i : i + ROWS, None]).min(axis=0) for i in rows]
    dual = u.mean() + np.min(slack, axis=0).mean()
    reason = ""
    if log["result_code"] != 1:
        reason = f"solver result code {log['result_code']}, iteration limit {max_iterations}"
    elif abs(cost - dual) > LARGEST_GAP * cost > 0:
        reason = f"relative duality gap {abs(cost - dual) / cost:.2g}, at most {LARGEST_GAP:g} is accepted"
    if reason:
        raise NotConverged(f"transport of {costs.shape[0]} x {costs.shape[1]} points did not converge: {reason}")
    return _Solution(float(cost) * unit, float(dual) * unit, u * unit, v * unit)


class _Slices(NamedTuple):
    """Transports on L lines: costs and dual values (L,), and potentials of the points (n,), (m,), summed over lines."""

    cost: np.ndarray
    dual: np.ndarray
    u: np.ndarray
    v: np.ndarray


def _solve_sorted(x: np.ndarray, y: np.ndarray, p: int) -> _Slices:
    """The monotone coupling of each row of `x` (L, n) with that of `y` (L, m), and its dual potentials.

    For a convex cost the cells of the staircase are an optimal basis, so u_i + v_j = c_ij on these cells determines the
    potentials: a step to the next row changes u by the difference in cost, a step to the next column changes v.
    """
    i, j, weight, next_row = _staircase(x.shape[1], y.shape[1])
    order_x, order_y = np.argsort(x, axis=1), np.argsort(y, axis=1)
    difference = _sorted(x, order_x).take(i, axis=1) - _sorted(y, order_y).take(j, axis=1)
    cells = np.abs(difference) if p == 1 else difference * difference
    steps = np.diff(cells, axis=1)
    u, v = np.zeros_like(x), np.zeros_like(y)
    np.cumsum(steps[:, next_row], axis=1, out=u[:, 1:])
    np.cumsum(steps[:, ~next_row], axis=1, out=v[:, 1:])
    return _Slices(
        cells @ weight,
        cells[:, 0] + u.mean(axis=1) + v.mean(axis=1),
        np.bincount(order_x.ravel(), weights=u.ravel()),
        np.bincount(order_y.ravel(), weights=v.ravel()),
    )


def _sorted(x: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Same as `np.take_along_axis(x, order, axis=1)`, in a third of its time."""
    return x.take(order + np.arange(len(x))[:, None] * x.shape[1])


def _staircase(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The n + m - 1 cells of the monotone coupling of n and m sorted points (north-west corner rule).

    Returns rows i and columns j of the cells, their masses, and whether the following step is to the next row. Exact in
    units of 1/(n m): row i ends at (i + 1) m, column j at (j + 1) n. At a tie the row ends first, with a cell without
    mass.
    """
    ends = np.concatenate([np.arange(1, n) * m, np.arange(1, m) * n])
    order = np.argsort(ends, kind="stable")
    next_row = order < n - 1
    i, j = (np.concatenate([[0], np.cumsum(step)]) for step in (next_row, ~next_row))
    return i, j, np.diff(ends[order], prepend=0, append=n * m) / (n * m), next_row
