"""Base classes of studies: a claim, its prediction, a measurement of it, and a verdict.

A `Check` compares an estimator with a known value, a `Claim` measures a statement from the literature.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from deepgen_bench.datasets.base import Dataset
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.models.settings import ModelSettings, ModelSpec
from deepgen_bench.plugins import Settings as BaseSettings
from deepgen_bench.runtime.seeds import derive_rng, derive_seed

Relation = Literal["equal", "at most", "at least"]
Verdict = Literal["holds", "fails", "undecided", "context"]
MeasurementKind = Literal["sample", "likelihood"]


@dataclass(frozen=True)
class Row:
    """A measured quantity and its prediction.

    `prediction` comes from a closed form, quadrature or an independent algorithm; it is None where there is none.
    `std_error` is the standard error of measurement - prediction over seeds, examples or replications, and 0 where both
    are equal by algebra. `relation` is "at most" or "at least" where the measurement may differ from the prediction
    on one side. `expected` is the verdict that the row should have, where that is known beforehand.
    """

    quantity: str
    setting: str
    prediction: float | None
    measurement: float
    std_error: float
    tolerance: float = 0.0
    relation: Relation = "equal"
    expected: Verdict | None = None

    @property
    def deviation(self) -> float | None:
        """Measurement minus prediction."""
        return None if self.prediction is None else self.measurement - self.prediction

    @property
    def verdict(self) -> Verdict:
        """Compare the interval measurement ± 2 standard errors with the prediction.

        "holds" if the whole interval lies within the tolerance, "fails" if no part of it does, otherwise "undecided",
        so that noise never turns a failure into a success. A measurement or an error that is not finite is "undecided".
        A row without a prediction is "context".
        """
        if self.deviation is None:
            return "context"
        excess = {"equal": abs(self.deviation), "at most": self.deviation, "at least": -self.deviation}[self.relation]
        error = 2 * self.std_error
        if not isfinite(excess) or not isfinite(error):
            return "undecided"
        return (
            "holds"
            if excess + error <= self.tolerance
            else "undecided"
            if excess - error <= self.tolerance
            else "fails"
        )


def mean_row(
    quantity: str,
    setting: str,
    prediction: float | None,
    values: np.ndarray | list[float],
    tolerance: float = 0.0,
    relation: Relation = "equal",
) -> Row:
    """The mean of independent replicates (S,), with its standard error."""
    values = np.asarray(values, np.float64)
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return Row(quantity, setting, prediction, float(values.mean()), error, tolerance, relation)


def paired_row(
    quantity: str,
    setting: str,
    predictions: np.ndarray,
    measurements: np.ndarray,
    relation: Relation = "equal",
) -> Row:
    """The means of per-example values (n,), with the standard error of their mean difference."""
    error = float((measurements - predictions).std(ddof=1) / np.sqrt(len(predictions)))
    means = float(predictions.mean()), float(measurements.mean())
    return Row(quantity, setting, *means, error, relation=relation)


@dataclass(frozen=True)
class Evidence:
    """The `rows` of a study, and `tables` of records by name from which its figure is drawn."""

    rows: list[Row]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Need:
    """Measurements of the experiment's own replicates that a study reads: of one seed, or of all if `seed` is None."""

    dataset: str
    model: str
    kind: MeasurementKind
    seed: int | None = None


@dataclass(frozen=True)
class Source:
    """What a study may read of a `Need`.

    `prepared` is the folder of the prepared dataset, `measurements` are the tidy tables of the blocks of seeds (the
    archive of per-example values has the suffix `.npz`), `replicates` the folders of the replicates and `run_ids` their
    identifiers, both by seed.
    """

    dataset: Dataset
    spec: ModelSpec
    settings: ModelSettings
    prepared: Path
    measurements: list[Path]
    replicates: dict[int, Path]
    run_ids: dict[int, str]


@dataclass(frozen=True)
class Context:
    """What a study knows of the experiment: base seed, settings of likelihoods, and a source for each need."""

    base_seed: int
    likelihood: LikelihoodSettings | None = None
    sources: Mapping[Need, Source] = field(default_factory=dict)


class Study(ABC):
    """A set of measurements with predictions, under a `label` of the experiment file.

    `stream` separates the random streams of the kinds of studies. `trains` names the registered models that the study
    trains itself, because their code decides its numbers.
    """

    stream: ClassVar[str]
    Settings: ClassVar[type[BaseSettings]]
    trains: ClassVar[tuple[str, ...]] = ()

    def __init__(self, label: str, settings: BaseSettings, context: Context):
        self.label, self.settings, self.context = label, settings, context

    @abstractmethod
    def measure(self) -> Evidence:
        """Take the measurements."""

    @classmethod
    def needs(cls, settings: Any) -> list[Need]:
        """Measurements of the experiment's own replicates that the study reads."""
        return []

    def rng(self, role: str) -> np.random.Generator:
        return derive_rng(self.context.base_seed, self.stream, self.label, role)

    def seeds(self, role: str, replicates: int) -> list[int]:
        """One seed for each of the study's own replicates."""
        return [
            derive_seed(self.context.base_seed, self.stream, self.label, role, replicate)
            for replicate in range(replicates)
        ]


class Check(Study):
    """A comparison of an estimator with a known value.

    The experiment file sets the tolerance of the rows, and whether they should hold: deliberate mistakes and
    statistics with a known bias should fail. It does not replace the `expected` that a row itself states.
    """

    stream = "calibration"


class Claim(Study):
    """A statement from the literature.

    `statement` is the claim in one sentence, `source` says who made it and where, `formula` is LaTeX in one line, and
    `text` describes in a few sentences what is measured.
    """

    stream = "theory"
    title: ClassVar[str]
    statement: ClassVar[str]
    source: ClassVar[str]
    formula: ClassVar[str]
    text: ClassVar[str]
