"""Exact and sliced Wasserstein distances, compared with POT and SciPy."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contest import OURS, Contender, Contest
from benchmarks.fidelity import timed

Measured = Callable[[], dict[str, Any]]
PROJECTIONS = 500


def points(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d)), 1.1 * rng.standard_normal((n, d)) + 0.1


def ours(n: int, d: int, p: int) -> Measured:
    from deepgen_bench.metrics.samples.optimal_transport import wasserstein

    x, y = points(n, d)
    return timed(lambda: wasserstein(x, y, p).value)


def emd2(n: int, d: int, p: int, **options: int) -> Measured:
    """POT with its defaults, except for these `options`."""
    import ot

    x, y = points(n, d)
    metric = "sqeuclidean" if p == 2 else "euclidean"
    warnings.simplefilter("ignore")
    return timed(lambda: float(ot.emd2([], [], ot.dist(x, y, metric=metric), **options)) ** (1 / p))


def assignment(n: int, d: int, p: int) -> Measured:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    x, y = points(n, d)

    def distance() -> float:
        costs = cdist(x, y, metric="sqeuclidean" if p == 2 else "euclidean")
        return float(costs[linear_sum_assignment(costs)].mean()) ** (1 / p)

    return timed(distance)


def ours_sliced(n: int, d: int) -> Measured:
    from deepgen_bench.metrics.samples.optimal_transport import random_projections, sliced_wasserstein

    x, y = points(n, d)
    directions = random_projections(d, PROJECTIONS, np.random.default_rng(1))
    return timed(lambda: sliced_wasserstein(x, y, directions).value)


def pot_sliced(n: int, d: int) -> Measured:
    import ot

    from deepgen_bench.metrics.samples.optimal_transport import random_projections

    x, y = points(n, d)
    directions = random_projections(d, PROJECTIONS, np.random.default_rng(1)).T
    return timed(lambda: float(ot.sliced_wasserstein_distance(x, y, projections=directions)))


def contests() -> list[Contest]:
    found = []
    for n in (500, 2000, 5000):
        for p in (1, 2):
            settings = {"n": n, "d": 2, "p": p}
            contenders = [
                Contender(OURS, "transport", "ours", settings),
                Contender("ot.emd2", "transport", "emd2", settings),
                Contender("linear_sum_assignment", "transport", "assignment", settings),
            ]
            peer, remark = "ot.emd2", ""
            if n == 5000:
                peer = "ot.emd2 to the optimum"
                remark = "to the optimum ours makes the same call; by default the call ends early with a wrong value"
                contenders.append(Contender(peer, "transport", "emd2", settings | {"numItermax": 10**8}))
            # a tenth of the time is for the certificate of optimality and the errors, which emd2 does not compute
            case = f"exact W{p}, n = {n:,}, d = 2"
            found.append(Contest(case, "s", tuple(contenders), {peer: 0.9}, agreement=1e-9, remark=remark))
    for d in (2, 64):
        settings = {"n": 5000, "d": d}
        both = tuple(
            Contender(name, "transport", function, settings, threads)
            for name, function in ((OURS, "ours_sliced"), ("POT", "pot_sliced"))
            for threads in (1, 2)
        )
        case = f"sliced W2, n = 5,000, d = {d}, {PROJECTIONS} directions"
        remark = "ours includes errors of both kinds, whose argsorts take half of the time"
        found.append(Contest(case, "s", both, {"POT": 6.0}, agreement=1e-9, remark=remark))
    return found
