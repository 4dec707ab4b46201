"""Fidelity metrics against closed forms and generators whose faults are known."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.metrics.features.frechet import frechet_distance, frechet_distance_infinity
from deepgen_bench.metrics.features.inception_score import inception_score
from deepgen_bench.metrics.features.kernel import kernel_distance
from deepgen_bench.metrics.features.neighbours import precision_recall
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.estimators.check import Check, Line, mean_line


class FrechetGaussianSettings(Settings):
    """`statistic`: the plug-in at each n, or its extrapolation from n, n/2 and n/4 to infinity."""

    statistic: Literal["plug_in", "infinity"]
    dim: PositiveInt = 16
    shift: float = 0.5
    scale: PositiveFloat = 1.2
    n: tuple[PositiveInt, ...] = (250, 500, 1000, 2000)
    replications: Annotated[int, Field(ge=2)] = 20


class FrechetGaussian(Check):
    """Samples of N(0, I) and N(m, s² I): the distance is |m|² + d (s - 1)²."""

    Settings = FrechetGaussianSettings
    settings: FrechetGaussianSettings

    def lines(self) -> list[Line]:
        s, rng = self.settings, self.rng("samples")
        truth = s.shift**2 + s.dim * (s.scale - 1) ** 2
        distance = frechet_distance if s.statistic == "plug_in" else frechet_distance_infinity
        name = "Fréchet distance" + (", plug-in" if s.statistic == "plug_in" else ", extrapolated")
        lines = []
        for n in s.n:
            values = []
            for _ in range(s.replications):
                x, y = (rng.standard_normal((n, s.dim)) for _ in range(2))
                values.append(distance(x, s.scale * y + np.eye(1, s.dim) * s.shift).value)
            lines.append(mean_line(name, f"d={s.dim}, n={n}, {s.replications} replications", truth, values))
        return lines


class KernelNullSettings(Settings):
    dim: PositiveInt = 16
    n: PositiveInt = 500
    replications: Annotated[int, Field(ge=2)] = 100


class KernelNull(Check):
    """The kernel distance between two samples of one distribution is 0 in the mean."""

    Settings = KernelNullSettings
    settings: KernelNullSettings

    def lines(self) -> list[Line]:
        s, rng = self.settings, self.rng("samples")
        values = [
            kernel_distance(rng.standard_normal((s.n, s.dim)), rng.standard_normal((s.n, s.dim))).value
            for _ in range(s.replications)
        ]
        return [mean_line("kernel distance", f"null, d={s.dim}, n={s.n}, {s.replications} replications", 0.0, values)]


class InceptionOneHotSettings(Settings):
    """`balanced`: every split holds each class equally often; otherwise classes are drawn at random."""

    balanced: bool = True
    classes: PositiveInt = 10
    n: PositiveInt = 2000
    replications: Annotated[int, Field(ge=2)] = 20


class InceptionOneHot(Check):
    """The inception score of certain predictions spread evenly over C classes is C; of random ones less.

    The entropy of a split's class frequencies is low by (C - 1)/(2 n_split) in expectation (Miller 1955).
    """

    Settings = InceptionOneHotSettings
    settings: InceptionOneHotSettings

    def lines(self) -> list[Line]:
        s, rng = self.settings, self.rng("labels")
        splits = 10
        setting = f"{s.classes} classes, {'balanced' if s.balanced else 'random'}, n={s.n}"
        certain = 1000 * np.eye(s.classes)
        if s.balanced:
            labels = np.arange(s.n) // splits % s.classes
            return [Line("inception score", setting, s.classes, inception_score(certain[labels], splits).value, 0.0)]
        truth = s.classes * np.exp(-(s.classes - 1) / (2 * s.n / splits))
        values = [
            inception_score(certain[rng.integers(s.classes, size=s.n)], splits).value for _ in range(s.replications)
        ]
        return [mean_line("inception score", f"{setting}, {s.replications} replications", float(truth), values)]


class PrecisionRecallSettings(Settings):
    """`fault`: what the generator does to half of its modes or samples; `swapped` is a negative control."""

    fault: Literal["collapsed", "noisy"]
    swapped: bool = False
    n: PositiveInt = 1000
    replications: Annotated[int, Field(ge=2)] = 20


class PrecisionRecall(Check):
    """A ring of eight modes; the generator drops four of them, or throws half of its samples far away.

    Dropping modes keeps precision at that of the oracle and halves recall; samples far away halve precision. Truths are
    the means for an oracle of the same n, times one half where a half is lost.
    """

    Settings = PrecisionRecallSettings
    settings: PrecisionRecallSettings

    def lines(self) -> list[Line]:
        s, rng = self.settings, self.rng("samples")

        def ring(modes: int) -> np.ndarray:
            angle = np.pi / 4 * rng.integers(modes, size=s.n)
            return 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.standard_normal((s.n, 2))

        def spoilt() -> np.ndarray:
            if s.fault == "collapsed":
                return ring(4)
            far = 100 * rng.standard_normal((s.n, 2)) + 1000
            return np.where(np.arange(s.n)[:, None] % 2 == 0, far, ring(8))

        oracle, found = [], []
        for _ in range(s.replications):
            oracle.append([e.value for e in precision_recall(ring(8), ring(8))])
            found.append([e.value for e in precision_recall(ring(8), spoilt())])
        expected = np.asarray(oracle) * ([1.0, 0.5] if s.fault == "collapsed" else [0.5, 1.0])
        if s.swapped:
            found = [pair[::-1] for pair in found]
        lines = []
        for i, name in enumerate(("precision", "recall")):
            # far samples change which real examples have a near one: recall has no closed form there
            if s.fault == "noisy" and name == "recall":
                continue
            difference = np.asarray(found)[:, i] - expected[:, i]
            error = float(difference.std(ddof=1) / np.sqrt(s.replications))
            setting = f"{s.fault} generator, n={s.n}, {s.replications} replications"
            what = name + (", swapped" if s.swapped else "")
            truth = float(expected[:, i].mean())
            lines.append(Line(what, setting, truth, truth + float(difference.mean()), error))
        return lines
