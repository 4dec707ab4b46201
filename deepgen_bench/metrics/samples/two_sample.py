"""The two-sample family: MMD with Gaussian kernels, and the accuracy of a classifier that tells two samples apart."""

from collections.abc import Callable
from math import hypot
from time import perf_counter

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.spec import Support
from deepgen_bench.metrics.arrays import TooFewExamples, as_pair, as_points
from deepgen_bench.metrics.context import Context, as_vectors
from deepgen_bench.metrics.estimate import Estimate, binomial_error
from deepgen_bench.metrics.family import MetricFamily, MetricSettings
from deepgen_bench.metrics.features.kernel import gaussian_mmd
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.runtime.seeds import derive_seed

WIDTH_EXAMPLES = 1000
"""Number of training examples whose pairs determine the width of the kernel."""

FEWEST = 50
"""Smallest size of each sample for a classifier: half are for training, less a tenth, and a leaf has at least 20."""


def median_distance(points: np.ndarray) -> float:
    """The median of the distances between different points (n, d). Raises `TooFewExamples` if no two differ."""
    from scipy.spatial.distance import pdist

    distances = pdist(as_points("train", points))
    distances = distances[distances > 0]
    if not len(distances):
        raise TooFewExamples(f"train: {len(points)} examples, all equal; two different ones are needed for a width")
    return float(np.median(distances))


def c2st(real: np.ndarray, generated: np.ndarray, seed: int) -> Estimate:
    """Accuracy of a classifier that tells `real` (n, d) from `generated` (m, d), on held-out halves.

    The classifier two-sample test (Friedman 2003; Lopez-Paz and Oquab 2017) by boosted trees of 8 leaves
    (scikit-learn's histogram gradient boosting), on the first examples of both samples, as many as the smaller one has
    and at least 50. The even-numbered examples train the trees, with early stopping on a tenth of them that `seed`
    chooses. 0.5 is expected for equal distributions: less is noise, or the samples share examples. Duplicates within
    one sample, as of a model that repeats itself, are on both sides of the split, so that the classifier recognises
    them: they raise the accuracy for every distribution. The error is that of the two held-out shares of correct
    answers, each binomial, and conditional on the classifier; `influence` is that of the real ones (n // 2,).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    real, generated = as_pair(real, generated, at_least=FEWEST)
    n = min(
        len(real), len(generated)
    )  # with unequal samples, always answering the larger one would be right most of the time
    classifier = HistGradientBoostingClassifier(max_leaf_nodes=8, early_stopping=True, random_state=seed % 2**32)
    halves = real[:n:2], generated[:n:2]
    classifier.fit(np.concatenate(halves), np.repeat([0, 1], [len(half) for half in halves]))
    held_out = real[1:n:2], generated[1:n:2]
    correct = [classifier.predict(half) == label for label, half in enumerate(held_out)]
    shares = [float(np.mean(answers)) for answers in correct]
    error = hypot(*(binomial_error(share, n // 2) for share in shares)) / 2
    return Estimate(sum(shares) / 2, error, (correct[0] - shares[0]) / 2)


class TwoSampleSettings(MetricSettings):
    n: int = Field(default=2000, ge=2, description="examples of each sample")

    def extractors_for(self, support: Support, has_labels: bool) -> tuple[str, ...]:
        """A classifier for labelled images, otherwise the data themselves."""
        return ("classifier",) if support == "image" and has_labels else ("data",)


class TwoSample(MetricFamily[TwoSampleSettings]):
    """mmd and c2st, of the features of a classifier if the context has one, otherwise of the data.

    The width of the kernel is the median distance between the first 1,000 training examples: it is the same for all
    models and does not depend on test data.
    """

    Settings = TwoSampleSettings

    def __init__(self, settings: TwoSampleSettings):
        super().__init__(settings)
        # cached, because a job measures many samples in one context, mostly against the same array
        self._context: Context | None = None
        self._width: float | None = None
        self._real: tuple[np.ndarray, np.ndarray] | None = None

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """Measure the first n of `real` and `generated`, both as stored; n is the smallest of both and the setting.

        A metric for which n is too small has the status `not_applicable`. `seconds` of mmd, which comes first, include
        the extraction of the features.
        """
        start = perf_counter()
        extractor = context.extractors.get("classifier")
        variant: dict[str, str | int | float] = {"extractor": "classifier" if extractor else "data"}
        if extractor:
            variant["digest"] = extractor.digest[:12]

        def features(sample: np.ndarray) -> np.ndarray:
            return extractor(sample).features if extractor else as_vectors(sample, context.spec)

        if self._context is not context:
            self._context, self._width, self._real = context, None, None
        n = min(self.settings.n, len(real), len(generated))
        if self._real is None or self._real[0] is not real or len(self._real[1]) != n:
            self._real = (real, features(real[:n]))
        x, y = self._real[1], features(generated[:n])

        def width() -> float:
            if self._width is None:
                self._width = median_distance(features(context.train[:WIDTH_EXAMPLES]))
            return self._width

        def row(metric: str, compute: Callable[[], Estimate], start: float, **options: str) -> Measurement:
            estimate, reason = None, ""
            try:
                estimate = compute()
            except TooFewExamples as error:
                reason = str(error)
            return Measurement(
                metric=metric,
                value=estimate.value if estimate else None,
                variant={**variant, **options},
                std_error=estimate.std_error if estimate else None,
                direction="min",
                n_real=n,
                n_generated=n,
                status="not_applicable" if reason else "ok",
                reason=reason,
                seconds=perf_counter() - start,
                influence=estimate.influence if estimate else None,
            )

        seed = derive_seed(context.base_seed, "metric", context.dataset, "c2st")
        return [
            row("mmd", lambda: gaussian_mmd(x, y, width()), start, kernel="gaussian"),
            row("c2st", lambda: c2st(x, y, seed), perf_counter()),
        ]
