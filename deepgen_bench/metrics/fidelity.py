"""Distances between feature distributions: Fréchet distance, inception score, kernel distance, precision and recall."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.spec import Support
from deepgen_bench.errors import UserError
from deepgen_bench.metrics.arrays import TooFewExamples, as_pair, as_points
from deepgen_bench.metrics.features import Context, Extractor, Features, as_vectors
from deepgen_bench.metrics.frechet import frechet_distance
from deepgen_bench.metrics.measurement import Direction, Measurement
from deepgen_bench.seeds import derive_seed
from deepgen_bench.settings import Settings, not_identity

SPLITS = 10
"""Splits of the inception score, as in all published scores: fewer splits give higher values."""


def inception_score(logits: np.ndarray, splits: int = SPLITS, seed: int = 0) -> float:
    """exp(E KL(p(y|x) || p(y))), averaged over `splits` parts of the shuffled `logits` (n, classes) with n >= `splits`.

    Salimans et al. 2016, section 4. Between 1 and the number of classes; biased downwards when the parts are small.
    The spread over splits that papers print after it is not a standard error and is not returned.
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    _check_positive(splits=splits)
    logits = as_points("logits", logits, at_least=splits)
    # probabilities under exp(-700) would be 0 in float64 and their entropy NaN
    logits = np.maximum(logits, logits.max(axis=1, keepdims=True) - 700)
    return isc_features_to_metric(_tensor(logits), splits, True, _legacy_seed(seed))[KEY_METRIC_ISC_MEAN]


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Unbiased squared MMD with the kernel (x·y/d + 1)^3 of `real` (n, d) and `generated` (m, d), both at least 2.

    Bińkowski et al. 2018, section 4 (on Inception features: KID). It is the U-statistic of the whole samples: the same
    expectation as the usual mean over random subsets, a smaller variance, and nothing to draw. 0 in the mean for equal
    distributions, so single values can be negative.
    """
    real, generated = as_pair(real, generated, at_least=2)
    within = 0.0
    for x in (real, generated):
        diagonal = _cubic(np.einsum("ij,ij->i", x, x), x.shape[1]).sum()
        within += (_kernel_sum(x, x) - diagonal) / (len(x) * (len(x) - 1))
    return float(within - 2 * _kernel_sum(real, generated) / (len(real) * len(generated)))


def _cubic(products: np.ndarray, d: int) -> np.ndarray:
    k = products / d + 1
    return k * k * k  # numpy's power is many times slower


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of the kernel over all pairs, in blocks of rows so that memory does not grow with n·m."""
    return sum(float(_cubic(x[i : i + 1000] @ y.T, x.shape[1]).sum()) for i in range(0, len(x), 1000))


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Share of `generated` (m, d) within the manifold of `real` (n, d), and the reverse.

    A manifold is the union of balls around each example that reach to its k-th neighbour (Kynkäänniemi et al. 2019,
    eq. 1-3). Needs more than k examples of each; depends on n and m, so compare equal numbers only.
    """
    _check_positive(k=k)
    real, generated = as_pair(real, generated, at_least=k + 1)
    # distances from products lose digits far from the origin
    centre = np.concatenate([real, generated]).mean(axis=0)
    real, generated = real - centre, generated - centre
    return _covered(generated, real, k), _covered(real, generated, k)


def _covered(points: np.ndarray, manifold: np.ndarray, k: int) -> float:
    """Share of `points` within the distance from an example of `manifold` to its k-th neighbour."""
    # the nearest of all is the example itself
    radii = np.concatenate([np.partition(block, k, axis=1)[:, k] for block in _squared_distances(manifold, manifold)])
    return float(np.concatenate([(b <= radii).any(axis=1) for b in _squared_distances(points, manifold)]).mean())


def _squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """Squared distances (rows, m) of x (n, d) to y (m, d), a block of rows of x at a time."""
    norms = np.einsum("ij,ij->i", y, y)
    for start in range(0, len(x), 1000):
        block = x[start : start + 1000]
        yield np.einsum("ij,ij->i", block, block)[:, None] - 2 * block @ y.T + norms


def _tensor(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(array.copy())  # stored arrays are read-only, and torch takes no reversed ones


def _legacy_seed(seed: int) -> int:
    """torch-fidelity seeds numpy's old generator, which takes 32 bits."""
    return seed % 2**32


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise UserError(f"{name}: {value}, must be at least 1")


ExtractorName = Literal["data", "classifier", "inception"]


class FidelitySettings(Settings):
    extractors: tuple[ExtractorName, ...] | None = Field(
        default=None, min_length=1, description="features; by default the classifier, or data where there are no labels"
    )
    n: int = Field(default=10_000, ge=2, description="at most so many examples of each sample")
    precision_recall_k: int = Field(default=3, ge=1, description="neighbours that span the manifolds")
    inception_weights: Path | None = not_identity(default=None, description="if not in torch's cache")

    def possible(self, support: Support, has_labels: bool) -> tuple[ExtractorName, ...]:
        """The extractors that data of this kind can have."""
        if support == "continuous":
            return ("data",)
        return ("data", "classifier", "inception") if has_labels else ("data", "inception")

    def extractors_for(self, support: Support, has_labels: bool) -> tuple[ExtractorName, ...]:
        """The extractors asked for; if none are named, a classifier where there are labelled images, else the data."""
        return self.extractors or ("classifier" if "classifier" in self.possible(support, has_labels) else "data",)

    def check(self, support: Support, has_labels: bool) -> None:
        """Raise `UserError` if an extractor is named that this data cannot have."""
        possible = self.possible(support, has_labels)
        for name in self.extractors or ():
            if name not in possible:
                kind = "vectors" if support == "continuous" else "images without labels"
                raise UserError(f"extractors: {name} does not work on {kind}; valid here: {', '.join(possible)}")


class Fidelity:
    """frechet_distance, kernel_distance, precision and recall per extractor, and inception_score where it has logits.

    An extractor that the context does not offer is left out: images without labels have no classifier, vectors have
    only `data`. `seconds` of the Fréchet distance, which comes first, include the extraction of the features.
    """

    Settings = FidelitySettings

    def __init__(self, settings: FidelitySettings):
        self.settings = settings
        # held with their arrays, so that an identity is not reused while the entry lives
        self._reference: dict[tuple[str, int, int], tuple[np.ndarray, Features]] = {}

    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """Measure the first n of `real` and `generated`, both as stored; n is the smallest of both and the setting.

        What n is too small for comes with status `not_applicable`. Features of the same array `real` are extracted
        once.
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
                seed=lambda metric: derive_seed(context.base_seed, "metric", context.dataset, metric),
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
    seed: Callable[[str], int],
    extraction_seconds: float = 0.0,
) -> list[Measurement]:
    """All metrics of the family on extracted features, with a `seed` for each metric's name."""
    x, y = real.features, generated.features
    rows: list[Measurement] = []

    def add(
        compute: Callable[[], tuple[float, ...]],
        directions: dict[str, Direction],
        options: dict[str, int] | None = None,
        before: float = 0.0,
    ) -> None:
        start = perf_counter()
        values: tuple[float | None, ...]
        try:
            values, reason = compute(), ""
        except TooFewExamples as error:
            values, reason = (None,) * len(directions), str(error)
        seconds = before + perf_counter() - start
        for (metric, direction), value in zip(directions.items(), values, strict=True):
            rows.append(
                Measurement(
                    metric=metric,
                    value=value,
                    variant={**variant, **(options or {})},
                    direction=direction,
                    n_real=len(x),
                    n_generated=len(y),
                    status="not_applicable" if reason else "ok",
                    reason=reason,
                    seconds=seconds,
                )
            )

    # of raw data the Fréchet distance sees two moments and the cubic kernel three: a check, not a rank
    distance: Direction = "none" if variant["extractor"] == "data" else "min"
    add(lambda: (frechet_distance(x, y),), {"frechet_distance": distance}, before=extraction_seconds)
    logits = generated.logits
    if logits is not None:
        add(
            lambda: (inception_score(logits, SPLITS, seed("inception_score")),),
            {"inception_score": "max"},
            {"splits": SPLITS},
        )
    add(lambda: (kernel_distance(x, y),), {"kernel_distance": distance})
    k = settings.precision_recall_k
    add(lambda: precision_recall(x, y, k), {"precision": "max", "recall": "max"}, {"k": k})
    return rows
