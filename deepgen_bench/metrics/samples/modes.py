"""Mode coverage of a known mixture: how many modes samples cover, how evenly, and how many samples are near a mode."""

from math import ceil
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.metrics.arrays import TooFewExamples, as_pair
from deepgen_bench.metrics.context import Context, Modes, as_vectors
from deepgen_bench.metrics.estimate import Estimate, binomial_error, jackknifed
from deepgen_bench.metrics.family import MetricFamily, MetricSettings
from deepgen_bench.metrics.jackknife import group_of
from deepgen_bench.metrics.measurement import Direction, Measurement
from deepgen_bench.runtime.errors import UserError

RADIUS = 3
"""Standard deviations within which a sample is of high quality (Srivastava et al. 2017): 98.9 % of true data in 2-D."""


def nearest_modes(samples: np.ndarray, modes: Modes) -> np.ndarray:
    """The nearest mode, 0 … m - 1, of each of `samples` (n, d), or m if none lies within 3 sd (Euclidean): (n,)."""
    from scipy.spatial import cKDTree

    samples, means = as_pair(samples, modes.means, names=("samples", "modes"))
    # beyond its bound a tree returns m; the bound is exclusive, so a wider one is used and the distance compared below
    distance, nearest = cKDTree(means).query(samples, distance_upper_bound=2 * RADIUS * modes.sd)
    return np.where(distance <= RADIUS * modes.sd, nearest, len(means))


def modes_covered(counts: np.ndarray, n: int, least: int) -> Estimate:
    """The number of `counts` (m,), out of `n` samples, that reach `least` >= 1, and its standard error.

    The error is sqrt(Σ π_j (1 - π_j)) with π_j = P(Bin(n, counts_j / n) >= least). It treats modes as independent,
    which is slightly conservative, because they compete for the same samples. If shares lie at the limit itself, it is
    about a fifth too small, because the observed shares replace the true ones.
    """
    from scipy.special import betainc

    counts = np.asarray(counts)
    # P(Bin(n, p) >= t) = I_p(t, n - t + 1), and 0 for t > n
    reached = betainc(least, n - least + 1, counts / n) if least <= n else np.zeros(len(counts))
    return Estimate(float((counts >= least).sum()), float(np.sqrt((reached * (1 - reached)).sum())))


def uniform_kl(counts: np.ndarray) -> np.ndarray:
    """KL(p || uniform) in nats of histograms `counts` (…, m) with a positive sum: between 0 and log m, (…,).

    This is the plug-in estimate: from n samples it is (m - 1)/(2n) too large near 0 (Miller 1955).
    """
    counts = np.asarray(counts, np.float64)
    p = counts / counts.sum(axis=-1, keepdims=True)
    # log of m p; empty modes get log 1 and add nothing
    return (p * np.log(np.where(p > 0, p * p.shape[-1], 1))).sum(axis=-1)


def mode_kl(nearest: np.ndarray, m: int) -> Estimate:
    """KL from the histogram of `nearest` (n,), modes 0 … m - 1 of n >= 1 samples, to uniform, with its standard error.

    The error is that of a group jackknife. Near 0, where the first-order term vanishes, it is conservative by up to
    sqrt(2). None for a single sample.
    """
    if not len(nearest):
        raise TooFewExamples("nearest: 0 samples, at least 1 is needed")
    for mode in (nearest.min(), nearest.max()):
        if not 0 <= mode < m:
            raise UserError(f"nearest: mode {mode}, valid are 0 to {m - 1}")
    group = group_of(len(nearest))
    groups = int(group.max()) + 1
    counts = np.bincount(group * m + nearest, minlength=groups * m).reshape(groups, m)
    total = counts.sum(axis=0)
    return jackknifed(uniform_kl(np.vstack([total, total - counts] if groups > 1 else [total])))


class ModeSettings(MetricSettings):
    n: int = Field(default=10_000, ge=1, description="at most so many samples")
    min_share: float = Field(
        default=0.1, gt=0, le=1, description="share of n/m, the even number per mode, that covers a mode"
    )


class ModeCoverage(MetricFamily[ModeSettings]):
    """modes_covered, high_quality and mode_kl of samples of a mixture with known modes; no rows for other data.

    A sample belongs to its nearest mode if that lies within 3 sd; it is then of high quality (Srivastava et al. 2017;
    Lin et al. 2018). The reference is the density itself, so there is no `n_real`.
    """

    Settings = ModeSettings

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """Measure the first n of `generated`, as stored; n is their number or the setting. `real` is not used."""
        if context.modes is None:
            return []
        start = perf_counter()
        samples = as_vectors(generated[: self.settings.n], context.spec)
        n, m = len(samples), len(context.modes.means)
        nearest = nearest_modes(samples, context.modes)
        near = nearest[nearest < m]
        high_quality = Estimate(len(near) / n, binomial_error(len(near) / n, n))
        least = ceil(self.settings.min_share * n / m - 1e-9)  # rounding of the product must not add one
        covered = modes_covered(np.bincount(near, minlength=m), n, least)

        def row(metric: str, estimate: Estimate | None, direction: Direction, **fields: Any) -> Measurement:
            return Measurement(
                metric,
                estimate.value if estimate else None,
                std_error=estimate.std_error if estimate else None,
                direction=direction,
                n_generated=n,
                reference_split="density",
                seconds=perf_counter() - start,
                status="ok" if estimate else "not_applicable",
                reason="" if estimate else f"none of {n} samples within {RADIUS} sd of a mode",
                **fields,
            )

        return [
            row("modes_covered", covered, "max", variant={"min_share": self.settings.min_share}),
            row("high_quality", high_quality, "none"),  # too little variation exceeds the truth
            row("mode_kl", mode_kl(near, m) if len(near) else None, "min", unit="nats"),
        ]
