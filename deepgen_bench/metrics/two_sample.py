"""Two-sample statistics: a Gaussian kernel's distance, and what a classifier can tell apart."""

from collections.abc import Callable
from time import perf_counter

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.spec import Support
from deepgen_bench.metrics.arrays import TooFewExamples, as_pair, as_points
from deepgen_bench.metrics.estimate import Estimate
from deepgen_bench.metrics.features import Context, as_vectors
from deepgen_bench.metrics.kernel import gaussian_mmd
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.seeds import derive_seed
from deepgen_bench.settings import Settings

WIDTH_EXAMPLES = 1000
"""Training examples whose pairs give the kernel's width."""

FEWEST = 40
"""Examples of each sample that a classifier needs: half of them to learn from, and a leaf holds at least 20."""


def median_distance(points: np.ndarray) -> float:
    """The median of the distances between points (n, d) that differ; `TooFewExamples` if there are no two."""
    from scipy.spatial.distance import pdist

    distances = pdist(as_points("train", points))
    distances = distances[distances > 0]
    if not len(distances):
        raise TooFewExamples(f"train: {len(points)} examples without two different ones, no width can be found")
    return float(np.median(distances))


def c2st(real: np.ndarray, generated: np.ndarray, seed: int) -> Estimate:
    """Accuracy of a classifier that tells `real` (n, d) from `generated` (n, d) on the half it has not seen; n >= 40.

    The classifier two-sample test (Friedman 2003; Lopez-Paz and Oquab 2017) by boosted trees of 8 leaves
    (scikit-learn's histogram gradient boosting), which learn from the even-numbered examples and stop early on a tenth
    of them; `seed` chooses that tenth. 0.5 for equal distributions: less is noise, or the samples share examples. The
    error is that of the two held-out shares of right answers, each binomial, and conditional on the classifier.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    real, generated = as_pair(real, generated, at_least=FEWEST)
    classifier = HistGradientBoostingClassifier(max_leaf_nodes=8, early_stopping=True, random_state=seed % 2**32)
    halves = real[::2], generated[::2]
    classifier.fit(np.concatenate(halves), np.repeat([0, 1], [len(half) for half in halves]))
    shares, variances = [], []
    for label, held in enumerate((real[1::2], generated[1::2])):
        right, n = int((classifier.predict(held) == label).sum()), len(held)
        shares.append(right / n)
        smoothed = (right + 1) / (n + 2)  # Laplace's, so that a share of 0 or 1 has an error too
        variances.append(smoothed * (1 - smoothed) / n)
    return Estimate(sum(shares) / 2, float(np.sqrt(sum(variances)) / 2))


class TwoSampleSettings(Settings):
    n: int = Field(default=2000, ge=2, description="examples of each sample")

    def extractors_for(self, support: Support, has_labels: bool) -> tuple[str, ...]:
        """A classifier where there are labelled images, otherwise the data."""
        return ("classifier",) if support == "image" and has_labels else ("data",)


class TwoSample:
    """mmd and c2st, of a classifier's features where the context has one, otherwise of the data.

    The kernel's width is the median distance between the first 1,000 training examples: the same for all models, and
    known before any test.
    """

    Settings = TwoSampleSettings

    def __init__(self, settings: TwoSampleSettings):
        self.settings = settings
        # a job measures many samples in one context, mostly against the same array
        self._context: Context | None = None
        self._width: float | None = None
        self._real: tuple[np.ndarray, np.ndarray] | None = None

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """Measure the first n of `real` and `generated`, both as stored; n is the smallest of both and the setting.

        What n is too small for comes with status `not_applicable`. `seconds` of mmd, which comes first, include the
        extraction of the features.
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

        def row(metric: str, compute: Callable[[], Estimate], start: float, **special: str) -> Measurement:
            value, std_error, reason = None, None, ""
            try:
                value, std_error = compute()
            except TooFewExamples as error:
                reason = str(error)
            return Measurement(
                metric=metric,
                value=value,
                variant={**variant, **special},
                std_error=std_error,
                direction="min",
                n_real=n,
                n_generated=n,
                status="not_applicable" if reason else "ok",
                reason=reason,
                seconds=perf_counter() - start,
            )

        seed = derive_seed(context.base_seed, "metric", context.dataset, "c2st")
        return [
            row("mmd", lambda: gaussian_mmd(x, y, width()), start, kernel="gaussian"),
            row("c2st", lambda: c2st(x, y, seed), perf_counter()),
        ]
