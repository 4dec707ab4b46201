"""Fidelity metrics compared with closed forms and with generators whose faults are known."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.metrics.features.frechet import frechet_distance, frechet_distance_infinity
from deepgen_bench.metrics.features.inception_score import inception_score
from deepgen_bench.metrics.features.kernel import kernel_distance
from deepgen_bench.metrics.features.neighbours import precision_recall
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Check, Evidence, Row, mean_row


class FrechetGaussianSettings(Settings):
    """`statistic`: the plug-in estimate at each n, or its extrapolation to infinity from n, n/2 and n/4."""

    statistic: Literal["plug_in", "infinity"]
    dim: PositiveInt = 16
    shift: float = 0.5
    scale: PositiveFloat = 1.2
    n: tuple[PositiveInt, ...] = (250, 500, 1000, 2000)
    replications: Annotated[int, Field(ge=2)] = 20


class FrechetGaussian(Check):
    """The Fréchet distance between samples of N(0, I) and N(m, s² I), which is |m|² + d (s - 1)²."""

    Settings = FrechetGaussianSettings
    settings: FrechetGaussianSettings

    def measure(self) -> Evidence:
        s, rng = self.settings, self.rng("samples")
        exact = s.shift**2 + s.dim * (s.scale - 1) ** 2
        distance = frechet_distance if s.statistic == "plug_in" else frechet_distance_infinity
        quantity = "Fréchet distance" + (", plug-in" if s.statistic == "plug_in" else ", extrapolated")
        rows = []
        for n in s.n:
            values = []
            for _ in range(s.replications):
                x, y = (rng.standard_normal((n, s.dim)) for _ in range(2))
                values.append(distance(x, s.scale * y + np.eye(1, s.dim) * s.shift).value)
            rows.append(mean_row(quantity, f"d={s.dim}, n={n}, {s.replications} replications", exact, values))
        return Evidence(rows)


class KernelNullSettings(Settings):
    dim: PositiveInt = 16
    n: PositiveInt = 500
    replications: Annotated[int, Field(ge=2)] = 100


class KernelNull(Check):
    """The kernel distance between two samples of one distribution, whose expectation is 0."""

    Settings = KernelNullSettings
    settings: KernelNullSettings

    def measure(self) -> Evidence:
        s, rng = self.settings, self.rng("samples")
        values = [
            kernel_distance(rng.standard_normal((s.n, s.dim)), rng.standard_normal((s.n, s.dim))).value
            for _ in range(s.replications)
        ]
        setting = f"null, d={s.dim}, n={s.n}, {s.replications} replications"
        return Evidence([mean_row("kernel distance", setting, 0.0, values)])


class InceptionOneHotSettings(Settings):
    """`balanced`: every split has equally many examples of each class; otherwise classes are drawn at random."""

    balanced: bool = True
    classes: PositiveInt = 10
    n: PositiveInt = 2000
    replications: Annotated[int, Field(ge=2)] = 20


class InceptionOneHot(Check):
    """The inception score of one-hot predictions: C if they are spread evenly over C classes, less if drawn at random.

    The entropy of a split's class frequencies is too low by (C - 1)/(2 n_split) in expectation (Miller 1955).
    """

    Settings = InceptionOneHotSettings
    settings: InceptionOneHotSettings

    def measure(self) -> Evidence:
        s, rng = self.settings, self.rng("labels")
        splits = 10
        setting = f"{s.classes} classes, {'balanced' if s.balanced else 'random'}, n={s.n}"
        logits = 1000 * np.eye(s.classes)
        if s.balanced:
            labels = np.arange(s.n) // splits % s.classes
            score = inception_score(logits[labels], splits).value
            return Evidence([Row("inception score", setting, s.classes, score, 0.0)])
        exact = float(s.classes * np.exp(-(s.classes - 1) / (2 * s.n / splits)))
        values = [
            inception_score(logits[rng.integers(s.classes, size=s.n)], splits).value for _ in range(s.replications)
        ]
        return Evidence([mean_row("inception score", f"{setting}, {s.replications} replications", exact, values)])


class PrecisionRecallSettings(Settings):
    """`fault`: the generator drops half of its modes ("collapsed") or displaces half of its samples ("noisy").

    `swapped` exchanges precision and recall: a negative control.
    """

    fault: Literal["collapsed", "noisy"]
    swapped: bool = False
    n: PositiveInt = 1000
    replications: Annotated[int, Field(ge=2)] = 20


class PrecisionRecall(Check):
    """Precision and recall on a ring of eight modes, for a generator with a known fault.

    Dropping four modes does not change precision and halves recall; placing half of the samples far away halves
    precision. Predictions are the means for an oracle with the same n, times one half where a half is lost.
    """

    Settings = PrecisionRecallSettings
    settings: PrecisionRecallSettings

    def measure(self) -> Evidence:
        s, rng = self.settings, self.rng("samples")

        def ring(modes: int) -> np.ndarray:
            angle = np.pi / 4 * rng.integers(modes, size=s.n)
            return 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.standard_normal((s.n, 2))

        def faulty() -> np.ndarray:
            if s.fault == "collapsed":
                return ring(4)
            far = 100 * rng.standard_normal((s.n, 2)) + 1000
            return np.where(np.arange(s.n)[:, None] % 2 == 0, far, ring(8))

        oracle, generator = [], []
        for _ in range(s.replications):
            oracle.append([estimate.value for estimate in precision_recall(ring(8), ring(8))])
            generator.append([estimate.value for estimate in precision_recall(ring(8), faulty())])
        expected = np.asarray(oracle) * ([1.0, 0.5] if s.fault == "collapsed" else [0.5, 1.0])
        if s.swapped:
            generator = [pair[::-1] for pair in generator]
        setting = f"{s.fault} generator, n={s.n}, {s.replications} replications"
        rows = []
        for i, name in enumerate(("precision", "recall")):
            # samples far away change which real examples have a near neighbour, so recall has no closed form there
            if s.fault == "noisy" and name == "recall":
                continue
            difference = np.asarray(generator)[:, i] - expected[:, i]
            error = float(difference.std(ddof=1) / np.sqrt(s.replications))
            exact = float(expected[:, i].mean())
            quantity = name + (", swapped" if s.swapped else "")
            rows.append(Row(quantity, setting, exact, exact + float(difference.mean()), error))
        return Evidence(rows)
