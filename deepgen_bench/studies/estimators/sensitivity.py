"""What each sample metric sees: does it rank a fresh sample of the data above samples with a known fault?"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.context import Context, Features, Modes
from deepgen_bench.metrics.estimate import binomial_error
from deepgen_bench.metrics.family import MetricFamily
from deepgen_bench.metrics.features.fidelity import FidelitySettings, measure_features
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.metrics.samples.memorisation import Memorisation
from deepgen_bench.metrics.samples.modes import ModeCoverage
from deepgen_bench.metrics.samples.transport import TransportDistances
from deepgen_bench.metrics.samples.two_sample import TwoSample
from deepgen_bench.plugins import DATASETS, Settings
from deepgen_bench.studies.study import Check, Evidence, Row

Space = Literal["ring", "gaussian_2", "gaussian_8", "gaussian_64", "correlated_64", "digits"]
Draw = Callable[[int], np.ndarray]
Fault = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""Turns a fresh sample (n, d) of the data into a faulty one, with other data (n, d) that a model was trained on."""

LARGER_IS_BETTER = ("precision", "recall", "density", "coverage", "modes_covered", "high_quality")
"""How people read metrics that are not ranked here; of the others smaller values are read as better."""


def scaled(x: np.ndarray, train: np.ndarray, rng: np.random.Generator, factor: float) -> np.ndarray:
    centre = train.mean(axis=0)
    return centre + factor * (x - centre)


def dropped(x: np.ndarray, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tenth of the data, beyond a quantile of the direction of the largest variance, is never produced."""
    centre = train.mean(axis=0)
    direction = np.linalg.svd(train - centre, full_matrices=False)[2][0]
    kept = x[(x - centre) @ direction <= np.quantile((train - centre) @ direction, 0.9)]
    return kept[np.resize(rng.permutation(len(kept)), len(x))]


def repeated(x: np.ndarray, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tenth of the sample, ten times each."""
    return x[rng.integers(-(-len(x) // 10), size=len(x))]


def copied(x: np.ndarray, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return train[rng.permutation(len(train))[: len(x)]]


def noisy(x: np.ndarray, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of a fifth of the data's standard deviation in every coordinate that varies."""
    return x + 0.2 * np.sqrt(train.var(axis=0).mean()) * rng.standard_normal(x.shape)


def garbage(x: np.ndarray, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tenth of the sample is uniform in the box that holds the data."""
    low, high = train.min(axis=0), train.max(axis=0)
    bad = rng.random(len(x)) < 0.1
    return np.where(bad[:, None], rng.uniform(low, high, x.shape), x)


FAULTS: dict[str, Fault] = {
    "shrunk by 0.8": partial(scaled, factor=0.8),
    "shrunk by 0.95": partial(scaled, factor=0.95),
    "widened by 1.05": partial(scaled, factor=1.05),
    "widened by 1.25": partial(scaled, factor=1.25),
    "a tenth dropped": dropped,
    "ten repeats": repeated,
    "training data": copied,
    "noise": noisy,
    "10 % garbage": garbage,
}


class SensitivitySettings(Settings):
    spaces: tuple[Space, ...] = ("ring", "gaussian_2", "gaussian_8", "gaussian_64", "correlated_64", "digits")
    n: PositiveInt = Field(default=1000, description="examples of each sample; of digits at most 449")
    n_transport: PositiveInt = Field(default=500, description="examples for exact transport")
    repetitions: Annotated[int, Field(ge=2)] = 20


class Sensitivity(Check):
    """The share of repetitions in which a metric ranks a fresh sample of the data above one with a fault.

    Real data, the fresh sample and the faulty one are drawn anew in every repetition; ties count half. For each metric
    and fault the row has the space with the smallest share. A share near 1/2 means that the metric does not see the
    fault at this n. A metric that is ranked must not prefer the faulty sample: its rows are compared with 1/2. Rows of
    metrics that are shown and not ranked have no prediction.
    """

    Settings = SensitivitySettings
    settings: SensitivitySettings

    def measure(self) -> Evidence:
        shares: dict[tuple[str, str], dict[str, float]] = {}
        ranked: dict[str, bool] = {}
        for space in self.settings.spaces:
            for metric, fault, direction, share in self._shares(space):
                shares.setdefault((metric, fault), {})[space] = share
                ranked[metric] = ranked.get(metric, False) or direction != "none"
        rows = []
        for (metric, fault), by_space in shares.items():
            worst = min(by_space, key=lambda space: by_space[space])
            prediction = 0.5 if ranked[metric] else None
            setting = f"{fault}; smallest in {worst}"
            error = binomial_error(by_space[worst], self.settings.repetitions)
            rows.append(Row(f"truth above: {metric}", setting, prediction, by_space[worst], error, relation="at least"))
        table = [{"metric": m, "fault": f, "ranked": ranked[m], **by_space} for (m, f), by_space in shares.items()]
        return Evidence(rows, {"shares": table})

    def _shares(self, space: Space) -> Iterator[tuple[str, str, str, float]]:
        """(metric, fault, direction, share of repetitions in which the truth is better)."""
        rng, s = self.rng(space), self.settings
        scores: dict[tuple[str, str, str], list[float]] = {}
        for _ in range(s.repetitions):
            draw, modes = _space(space, s.n, rng)
            real, truth, other, train = (draw(s.n) for _ in range(4))
            context = Context(DataSpec(real.shape[1:], "continuous"), self.context.base_seed, space, train, modes=modes)
            families = self._families()
            best = {(m.metric, m.direction): m.value for m in families(real, truth, context)}
            for fault, spoil in FAULTS.items():
                for m in families(real, spoil(other, train, rng), context):
                    value, reference = m.value, best[m.metric, m.direction]
                    if value is None or reference is None:
                        continue
                    larger = m.direction == "max" or m.direction == "none" and m.metric in LARGER_IS_BETTER
                    difference = (reference - value) if larger else (value - reference)
                    scores.setdefault((m.metric, fault, m.direction), []).append(0.5 + 0.5 * np.sign(difference))
        for (metric, fault, direction), values in scores.items():
            yield metric, fault, direction, float(np.mean(values))

    def _families(self) -> Callable[[np.ndarray, np.ndarray, Context], list[Measurement]]:
        """All sample metrics at their full n, with vectors as if they were features of a network."""
        s = self.settings
        others: list[MetricFamily[Any]] = [
            TransportDistances(TransportDistances.Settings(n=s.n_transport)),
            TwoSample(TwoSample.Settings()),
            ModeCoverage(ModeCoverage.Settings()),
            Memorisation(Memorisation.Settings()),
        ]

        def measure(real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
            features = measure_features(
                Features(real), Features(generated), {"extractor": "features"}, FidelitySettings()
            )
            rows = [m for m in features if m.n_real == len(real)]
            return rows + [m for family in others for m in family.measure(real, generated, context)]

        return measure


def _space(space: Space, n: int, rng: np.random.Generator) -> tuple[Draw, Modes | None]:
    """A function that draws samples (n, d) of a space, and its modes if they are known."""
    if space == "ring":
        ring = DATASETS["gaussian_ring"](DATASETS["gaussian_ring"].Settings())
        return lambda n: ring.exact_sampler(n, rng), Modes(*ring.known_modes())
    if space == "digits":
        splits = DATASETS["digits"](DATASETS["digits"].Settings()).splits(0)
        images = np.concatenate([splits.train, splits.validation, splits.test])
        vectors = images.reshape(len(images), -1)[rng.permutation(len(images))] / 16
        parts = iter(np.array_split(vectors, 4))
        return lambda n: next(parts)[:n], None
    d = int(space.rpartition("_")[2])
    spectrum = np.ones(d) if space.startswith("gaussian") else 1 / np.sqrt(1 + np.arange(d))
    return lambda n: rng.standard_normal((n, d)) * spectrum, None
