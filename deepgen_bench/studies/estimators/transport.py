"""Wasserstein distances compared with closed forms and an independent solver, and their finite-sample bias."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.metrics.samples.optimal_transport import centred_w2, wasserstein
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Check, Evidence, Row, mean_row


class OneDimensionSettings(Settings):
    n: PositiveInt = 100_000
    shift: float = 0.5
    scale: PositiveFloat = 1.5


class OneDimension(Check):
    """W1 and W2 from N(0, 1) to the translate N(m, 1) and to the multiple N(0, s²), by samples.

    For the translate both are |m|. For the multiple W2 = |s - 1| and W1 = |s - 1| sqrt(2/π), because the quantile
    functions are multiples of each other.
    """

    Settings = OneDimensionSettings
    settings: OneDimensionSettings

    def measure(self) -> Evidence:
        s, rng = self.settings, self.rng("samples")
        rows = []
        for name, factor, shift in (("N(m, 1)", 1.0, s.shift), ("N(0, s²)", s.scale, 0.0)):
            for p in (1, 2):
                exact = abs(shift) + abs(factor - 1) * (np.sqrt(2 / np.pi) if p == 1 else 1)
                x, y = (rng.standard_normal((s.n, 1)) for _ in range(2))
                estimate = wasserstein(x, factor * y + shift, p)
                setting = f"N(0, 1) to {name}, n={s.n}"
                rows.append(Row(f"W{p} by sorting", setting, float(exact), estimate.value, estimate.std_error or 0.0))
        return Evidence(rows)


class TranslationSettings(Settings):
    n: PositiveInt = 500
    dim: PositiveInt = 8
    shift: PositiveFloat = 3.0
    offset: float = 1e6


class Translation(Check):
    """W1 and W2 between a sample and its translate by m, far from the origin: both are exactly |m|.

    The centred statistic of (x, x', x' + m, x + m) is |m|² + 2 m·(mean x' - mean x), because a translation does not
    change the optimal plan.
    """

    Settings = TranslationSettings
    settings: TranslationSettings

    def measure(self) -> Evidence:
        s, rng = self.settings, self.rng("samples")
        x, x2 = (rng.standard_normal((s.n, s.dim)) + s.offset for _ in range(2))
        move = np.zeros(s.dim)
        move[0] = s.shift
        setting = f"d={s.dim}, n={s.n}, offset {s.offset:g}"
        rows = [Row(f"W{p} of a translate", setting, s.shift, wasserstein(x, x + move, p).value, 0.0) for p in (1, 2)]
        centred = centred_w2(x, x2, x2 + move, x + move).value
        exact = float(s.shift**2 + 2 * move @ (x2 - x).mean(axis=0))
        return Evidence([*rows, Row("centred W2² of a translate", setting, exact, centred, 0.0)])


class SolverSettings(Settings):
    """`iterations` stops POT's solver after that many and uses its plan so far: a negative control."""

    n: PositiveInt = 2000
    dim: PositiveInt = 2
    iterations: PositiveInt | None = None


class Solver(Check):
    """The optimal cost between two samples, compared with an independent algorithm, scipy's linear assignment."""

    Settings = SolverSettings
    settings: SolverSettings

    def measure(self) -> Evidence:
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial.distance import cdist

        s, rng = self.settings, self.rng("samples")
        x, y = (rng.standard_normal((s.n, s.dim)) for _ in range(2))
        costs = cdist(x, y + 0.5, "sqeuclidean")
        exact = float(costs[linear_sum_assignment(costs)].mean())
        setting = f"d={s.dim}, n={s.n}"
        if s.iterations is None:
            cost = wasserstein(x, y + 0.5, 2).value ** 2
            return Evidence([Row("W2², network simplex", setting, exact, cost, 0.0)])
        import warnings

        import ot

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cost = float(ot.emd2([], [], costs, numItermax=s.iterations))
        return Evidence([Row(f"W2², stopped after {s.iterations} iterations", setting, exact, cost, 0.0)])


class GaussianTransportSettings(Settings):
    """`statistic`: plug-in W2² between the two distributions, plug-in W2² of two samples of the first distribution
    (what real data would score), or the centred statistic."""

    statistic: Literal["plug_in", "oracle", "centred"]
    dim: PositiveInt = 2
    shift: float = 0.0
    scale: PositiveFloat = 1.0
    n: tuple[PositiveInt, ...] = (125, 250, 500, 1000)
    replications: Annotated[int, Field(ge=2)] = 20


class GaussianTransport(Check):
    """W2² between N(0, I) and N(m, s² I), which is |m|² + d (s - 1)² (Bures), at several sample sizes.

    The rows show the bias as a function of the sample size.
    """

    Settings = GaussianTransportSettings
    settings: GaussianTransportSettings

    def measure(self) -> Evidence:
        s, rng = self.settings, self.rng("samples")
        exact = 0.0 if s.statistic == "oracle" else s.shift**2 + s.dim * (s.scale - 1) ** 2
        quantity = {"plug_in": "W2², plug-in", "oracle": "W2², plug-in of an oracle", "centred": "W2², centred"}
        rows = []
        for n in s.n:
            values = []
            for _ in range(s.replications):
                x, x2, y, y2 = (rng.standard_normal((n, s.dim)) for _ in range(4))
                y, y2 = (s.scale * sample + np.eye(1, s.dim) * s.shift for sample in (y, y2))
                if s.statistic == "centred":
                    values.append(centred_w2(x, x2, y, y2).value)
                else:
                    values.append(wasserstein(x, y if s.statistic == "plug_in" else x2, 2).value ** 2)
            setting = f"d={s.dim}, shift {s.shift:g}, scale {s.scale:g}, n={n}, {s.replications} replications"
            rows.append(mean_row(quantity[s.statistic], setting, exact, values))
        return Evidence(rows)
