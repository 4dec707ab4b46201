"""The fidelity family: comparisons of feature distributions, each with a sampling error."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.spec import Support
from deepgen_bench.metrics.arrays import TooFewExamples
from deepgen_bench.metrics.context import Context, Extractor, Features, as_vectors
from deepgen_bench.metrics.estimate import Estimate, Sized
from deepgen_bench.metrics.family import MetricFamily, MetricSettings
from deepgen_bench.metrics.features.frechet import frechet_curve
from deepgen_bench.metrics.features.inception_score import SPLITS, inception_score
from deepgen_bench.metrics.features.kernel import kernel_curve
from deepgen_bench.metrics.features.neighbours import density_coverage, precision_recall
from deepgen_bench.metrics.measurement import Direction, Measurement
from deepgen_bench.plugins import not_identity
from deepgen_bench.runtime.errors import UserError

RANKED_EXAMPLES = 10
"""Examples per feature for which the Fréchet distance is ranked: with fewer, too little variation beats the truth."""

Result = list[Sized] | Estimate | TooFewExamples
"""The result of an estimator: a size curve, one estimate from the whole samples, or the reason why there is none."""

ExtractorName = Literal["data", "classifier", "inception"]


class FidelitySettings(MetricSettings):
    extractors: tuple[ExtractorName, ...] | None = Field(
        default=None, min_length=1, description="features; by default the classifier, or data where there are no labels"
    )
    n: int = Field(default=10_000, ge=2, description="at most so many examples of each sample")
    precision_recall_k: int = Field(default=3, ge=1, description="neighbours that span the manifolds")
    density_k: int = Field(default=5, ge=1, description="neighbours that balls of density and coverage reach to")
    inception_weights: Path | None = not_identity(default=None, description="if not in torch's cache")

    def possible(self, support: Support, has_labels: bool) -> tuple[ExtractorName, ...]:
        """The extractors that are available for data of this kind."""
        if support == "continuous":
            return ("data",)
        return ("data", "classifier", "inception") if has_labels else ("data", "inception")

    def extractors_for(self, support: Support, has_labels: bool) -> tuple[ExtractorName, ...]:
        """The configured extractors; by default a classifier for labelled images, else the data themselves."""
        return self.extractors or ("classifier" if "classifier" in self.possible(support, has_labels) else "data",)

    def check(self, support: Support, has_labels: bool) -> None:
        """Raise `UserError` if a configured extractor is not available for data of this kind."""
        possible = self.possible(support, has_labels)
        for name in self.extractors or ():
            if name not in possible:
                kind = "vectors" if support == "continuous" else "images without labels"
                raise UserError(f"extractors: {name} does not work on {kind}; valid here: {', '.join(possible)}")


class Fidelity(MetricFamily[FidelitySettings]):
    """Per extractor frechet_distance and kernel_distance at n, n/2 and n/4, frechet_distance_infinity, precision,
    recall, density and coverage, and inception_score if it has logits.

    An extractor that the context lacks is skipped: images without labels have no classifier, vectors have only `data`.
    `seconds` of the Fréchet distance, which comes first, include the extraction of the features.
    """

    Settings = FidelitySettings

    def __init__(self, settings: FidelitySettings):
        super().__init__(settings)
        # stored with their arrays, so that the `id` of an array is not reused while its entry exists
        self._reference: dict[tuple[str, int, int], tuple[np.ndarray, Features]] = {}

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """Measure the first n of `real` and `generated`, both as stored; n is the smallest of both and the setting.

        A metric for which n is too small has the status `not_applicable`. Features of the same array `real` are
        extracted once.
        """
        n = min(self.settings.n, len(real), len(generated))
        rows = []
        for name in self.settings.extractors_for(context.spec.support, context.spec.classes is not None):
            start = perf_counter()
            extractor = context.extractors.get(name)
            if name == "data":
                first, second = (Features(as_vectors(sample[:n], context.spec)) for sample in (real, generated))
            elif extractor is not None:
                first, second = self._reference_features(extractor, real, n), extractor(generated[:n])
            else:
                continue
            extraction = perf_counter() - start
            rows += measure_features(
                first,
                second,
                variant={"extractor": name, **({"digest": extractor.digest[:12]} if extractor else {})},
                settings=self.settings,
                extraction_seconds=extraction,
            )
        return rows

    def _reference_features(self, extractor: Extractor, real: np.ndarray, n: int) -> Features:
        key = (extractor.digest, id(real), n)
        if key not in self._reference:
            self._reference[key] = (real, extractor(real[:n]))
        return self._reference[key][1]


def measure_features(
    real: Features,
    generated: Features,
    variant: dict[str, str | int | float],
    settings: FidelitySettings,
    extraction_seconds: float = 0.0,
) -> list[Measurement]:
    """All metrics of the family on extracted features; those for which there are too few examples `not_applicable`."""
    x, y, logits = real.features, generated.features, generated.logits
    rows: list[Measurement] = []

    def add(compute: Callable[[], Sequence[Result]], *metrics: str, before: float = 0.0, **options: int) -> None:
        start = perf_counter()
        results: Sequence[Result]
        try:
            results = compute()
        except TooFewExamples as error:
            results = [error] * len(metrics)
        seconds = before + perf_counter() - start
        for metric, result in zip(metrics, results, strict=True):
            for n, m, outcome in result if isinstance(result, list) else [(len(x), len(y), result)]:
                estimate = outcome if isinstance(outcome, Estimate) else None
                rows.append(
                    Measurement(
                        metric=metric,
                        value=estimate.value if estimate else None,
                        variant={**variant, **options},
                        std_error=estimate.std_error if estimate else None,
                        direction=_direction(metric, variant["extractor"] == "data", min(n, m), x.shape[-1]),
                        n_real=n,
                        n_generated=m,
                        status="ok" if estimate else "not_applicable",
                        reason="" if estimate else str(outcome),
                        seconds=seconds,
                        influence=estimate.influence if estimate and n == len(x) else None,
                    )
                )

    add(lambda: frechet_curve(x, y), "frechet_distance", "frechet_distance_infinity", before=extraction_seconds)
    if logits is not None:
        add(lambda: [inception_score(logits)], "inception_score", splits=SPLITS)
    add(lambda: [kernel_curve(x, y)], "kernel_distance")
    k, density_k = settings.precision_recall_k, settings.density_k
    add(lambda: precision_recall(x, y, k), "precision", "recall", k=k)
    add(lambda: density_coverage(x, y, density_k), "density", "coverage", k=density_k)
    return rows


def _direction(metric: str, raw: bool, n: int, d: int) -> Direction:
    """The direction of a metric on `raw` data or on features, from `n` examples of `d` coordinates."""
    if metric in ("precision", "recall", "density", "coverage"):
        return "none"  # samples that vary too little, or too much, exceed the values of the data themselves
    if metric not in ("frechet_distance", "frechet_distance_infinity", "kernel_distance"):
        return "max"
    # on raw data the Fréchet distance compares two moments and the cubic kernel three: shown, but not ranked
    biased = metric == "frechet_distance" and n < RANKED_EXAMPLES * d
    return "none" if raw or biased else "min"
