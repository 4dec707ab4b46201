"""Wasserstein distances against closed forms, an independent solver, and their own finite-sample bias."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.metrics.samples.optimal_transport import centred_w2, wasserstein
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.estimators.check import Check, Line, mean_line


class OneDimensionSettings(Settings):
    n: PositiveInt = 100_000
    shift: float = 0.5
    scale: PositiveFloat = 1.5


class OneDimension(Check):
    """W1 and W2 between samples of N(0, 1) and of its translate N(m, 1), |m|, and its multiple N(0, s²).

    For the multiple W2 = |s - 1| and W1 = |s - 1| sqrt(2/π), as the quantile functions are multiples.
    """

    Settings = OneDimensionSettings
    settings: OneDimensionSettings

    def lines(self) -> list[Line]:
        s, rng = self.settings, self.rng("samples")
        lines = []
        for name, factor, shift in (("N(m, 1)", 1.0, s.shift), ("N(0, s²)", s.scale, 0.0)):
            for p in (1, 2):
                truth = abs(shift) + abs(factor - 1) * (np.sqrt(2 / np.pi) if p == 1 else 1)
                x, y = (rng.standard_normal((s.n, 1)) for _ in range(2))
                found = wasserstein(x, factor * y + shift, p)
                setting = f"N(0, 1) to {name}, n={s.n}"
                lines.append(Line(f"W{p} by sorting", setting, float(truth), found.value, found.std_error or 0.0))
        return lines


class TranslationSettings(Settings):
    n: PositiveInt = 500
    dim: PositiveInt = 8
    shift: PositiveFloat = 3.0
    offset: float = 1e6


class Translation(Check):
    """A sample against its own translate by m, far from the origin: W1 = W2 = |m| exactly.

    The centred statistic of (x, x', x' + m, x + m) is |m|² + 2 m·(mean x' - mean x), as translation
    leaves the optimal plan as it is.
    """

    Settings = TranslationSettings
    settings: TranslationSettings

    def lines(self) -> list[Line]:
        s, rng = self.settings, self.rng("samples")
        x, fresh = (rng.standard_normal((s.n, s.dim)) + s.offset for _ in range(2))
        move = np.zeros(s.dim)
        move[0] = s.shift
        setting = f"d={s.dim}, n={s.n}, offset {s.offset:g}"
        lines = [Line(f"W{p} of a translate", setting, s.shift, wasserstein(x, x + move, p).value, 0.0) for p in (1, 2)]
        centred = centred_w2(x, fresh, fresh + move, x + move).value
        truth = float(s.shift**2 + 2 * move @ (fresh - x).mean(axis=0))
        return [*lines, Line("centred W2² of a translate", setting, truth, centred, 0.0)]


class SolverSettings(Settings):
    """`iterations` stops POT's solver there and takes what it has: a negative control."""

    n: PositiveInt = 2000
    dim: PositiveInt = 2
    iterations: PositiveInt | None = None


class Solver(Check):
    """The optimal cost between two samples against an independent algorithm, scipy's linear assignment."""

    Settings = SolverSettings
    settings: SolverSettings

    def lines(self) -> list[Line]:
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial.distance import cdist

        s, rng = self.settings, self.rng("samples")
        x, y = (rng.standard_normal((s.n, s.dim)) for _ in range(2))
        costs = cdist(x, y + 0.5, "sqeuclidean")
        truth = float(costs[linear_sum_assignment(costs)].mean())
        setting = f"d={s.dim}, n={s.n}"
        if s.iterations is None:
            return [Line("W2², network simplex", setting, truth, wasserstein(x, y + 0.5, 2).value ** 2, 0.0)]
        import warnings

        import ot

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stopped = float(ot.emd2([], [], costs, numItermax=s.iterations))
        return [Line(f"W2², stopped after {s.iterations} iterations", setting, truth, stopped, 0.0)]


class GaussianTransportSettings(Settings):
    """`statistic`: the plug-in W2² between the two, the plug-in of the first with itself (the oracle's), or centred."""

    statistic: Literal["plug_in", "oracle", "centred"]
    dim: PositiveInt = 2
    shift: float = 0.0
    scale: PositiveFloat = 1.0
    n: tuple[PositiveInt, ...] = (125, 250, 500, 1000)
    replications: Annotated[int, Field(ge=2)] = 20


class GaussianTransport(Check):
    """W2² between N(0, I) and N(m, s² I), |m|² + d (s - 1)² (Bures), over sample sizes: the bias as a curve."""

    Settings = GaussianTransportSettings
    settings: GaussianTransportSettings

    def lines(self) -> list[Line]:
        s, rng = self.settings, self.rng("samples")
        truth = 0.0 if s.statistic == "oracle" else s.shift**2 + s.dim * (s.scale - 1) ** 2
        what = {"plug_in": "W2², plug-in", "oracle": "W2², plug-in of an oracle", "centred": "W2², centred"}
        lines = []
        for n in s.n:
            values = []
            for _ in range(s.replications):
                x, x2, y, y2 = (rng.standard_normal((n, s.dim)) for _ in range(4))
                y, y2 = (s.scale * part + np.eye(1, s.dim) * s.shift for part in (y, y2))
                if s.statistic == "centred":
                    values.append(centred_w2(x, x2, y, y2).value)
                else:
                    values.append(wasserstein(x, y if s.statistic == "plug_in" else x2, 2).value ** 2)
            setting = f"d={s.dim}, shift {s.shift:g}, scale {s.scale:g}, n={n}, {s.replications} replications"
            lines.append(mean_line(what[s.statistic], setting, truth, values))
        return lines
