"""Fréchet distance, kernel distance, and precision, recall, density and coverage, on the same features."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contest import OURS, Contender, Contest
from benchmarks.measure import seconds_of

Measured = Callable[[], dict[str, Any]]


def features(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two samples (n, d), float32 like the output of networks, with the spectrum 1/i typical of image features."""
    rng = np.random.default_rng(0)
    scale = np.arange(1, d + 1) ** -0.5
    mixing = np.linalg.qr(rng.standard_normal((d, d)))[0] * scale
    first, second = (rng.standard_normal((n, d)) @ mixing.T for _ in range(2))
    return first.astype(np.float32), (0.1 * scale + 1.1 * second).astype(np.float32)


def timed(action: Callable[[], float]) -> Measured:
    def measured() -> dict[str, Any]:
        values: list[float] = []
        return {"value": seconds_of(lambda: values.append(float(action()))), "check": values[0]}

    return measured


def ours_frechet(n: int, d: int, trace: bool) -> Measured:
    from deepgen_bench.metrics.features.frechet import frechet_distance, frechet_distance_from_moments, moments

    x, y = features(n, d)
    if n < d:
        return timed(lambda: frechet_distance(x, y).value)

    def both_moments() -> list[np.ndarray]:
        return [*moments(x), *moments(y)]

    known = both_moments()
    return timed(lambda: frechet_distance_from_moments(*(known if trace else both_moments())))


def pytorch_fid(n: int, d: int, trace: bool) -> Measured:
    from pytorch_fid.fid_score import calculate_frechet_distance

    x, y = features(n, d)

    def moments() -> list[np.ndarray]:
        return [m for each in (x, y) for m in (np.mean(each, axis=0), np.cov(each, rowvar=False))]

    known = moments()
    return timed(lambda: calculate_frechet_distance(*(known if trace else moments())))


def torch_fidelity(n: int, d: int, trace: bool) -> Measured:
    import torch
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    x, y = map(torch.from_numpy, features(n, d))

    def moments() -> list[Any]:
        return [fid_features_to_statistics(each) for each in (x, y)]

    known = moments()
    return timed(lambda: fid_statistics_to_metric(*(known if trace else moments()), False)[KEY_METRIC_FID])


def ours_kernel(n: int, d: int) -> Measured:
    from deepgen_bench.metrics.features.kernel import kernel_distance

    x, y = features(n, d)
    return timed(lambda: kernel_distance(x, y).value)


def torch_fidelity_kernel(n: int, d: int) -> Measured:
    """torch-fidelity with its defaults: the mean over 100 random subsets of 1,000."""
    import torch
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    x, y = map(torch.from_numpy, features(n, d))
    return timed(lambda: kid_features_to_metric(x, y, verbose=False)[KEY_METRIC_KID_MEAN])


def ours_neighbours(n: int, d: int) -> Measured:
    from deepgen_bench.metrics.features.neighbours import density_coverage, precision_recall

    x, y = features(n, d)
    return timed(lambda: sum(e.value for e in (*precision_recall(x, y, 5), *density_coverage(x, y, 5))))


def prdc(n: int, d: int) -> Measured:
    import contextlib
    import io

    from prdc import compute_prdc

    x, y = features(n, d)

    def four() -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            return sum(compute_prdc(x, y, nearest_k=5).values())

    return timed(four)


def both(name: str, function: str, settings: dict[str, Any]) -> list[Contender]:
    return [Contender(name, "fidelity", function, settings, threads) for threads in (1, 2)]


# shares of the time on one thread, without the moments
BOUND = "60 % of our time are eigenvalues, 22 % their matrix, 14 % a Cholesky factor"


def contests() -> list[Contest]:
    found = []
    limits = {True: {"pytorch-fid": 8.0, "torch-fidelity": 2.5}, False: {"pytorch-fid": 6.0, "torch-fidelity": 2.0}}
    for d in (64, 768, 2048):
        for trace in (True, False) if d == 2048 else (False,):
            settings = {"n": 5000, "d": d, "trace": trace}
            contenders = [
                *both(OURS, "ours_frechet", settings),
                *both("pytorch-fid", "pytorch_fid", settings),
                *both("torch-fidelity", "torch_fidelity", settings),
            ]
            case = f"Fréchet distance from {'moments' if trace else '5,000 features'}, d = {d:,}"
            targets, remark = (limits[trace], BOUND) if d == 2048 else ({}, "")
            found.append(Contest(case, "s", tuple(contenders), targets, agreement=1e-6, remark=remark))
    fewer = {"n": 1000, "d": 2048, "trace": False}
    contenders = [*both(OURS, "ours_frechet", fewer), *both("torch-fidelity", "torch_fidelity", fewer)]
    case, remark = "Fréchet distance from 1,000 features, d = 2,048", "ours includes an error, from 13 distances"
    found.append(Contest(case, "s", tuple(contenders), {}, agreement=1e-4, remark=remark))
    points = {"n": 5000, "d": 64}
    contenders = [*both(OURS, "ours_kernel", points), *both("torch-fidelity", "torch_fidelity_kernel", points)]
    remark = "torch-fidelity computes a mean over random subsets"
    found.append(Contest("kernel distance, 5,000 of d = 64", "s", tuple(contenders), {}, agreement=0.1, remark=remark))
    contenders = [*both(OURS, "ours_neighbours", points), *both("prdc", "prdc", points)]
    remark = "sum of the four metrics; ours includes errors; the balls of prdc are open"
    found.append(Contest("PRDC, 5,000 of d = 64", "s", tuple(contenders), {}, agreement=1e-3, remark=remark))
    return found
