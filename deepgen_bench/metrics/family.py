"""The interface of every family of sample metrics, and the base class of its settings. Imports no torch."""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import numpy as np

from deepgen_bench.datasets.spec import Support
from deepgen_bench.metrics.context import Context
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.plugins import Settings


class MetricSettings(Settings):
    """Settings of a metric family."""

    def check(self, support: Support, has_labels: bool) -> None:
        """Raise `UserError` if the family cannot measure data of this kind with these settings."""

    def extractors_for(self, support: Support, has_labels: bool) -> tuple[str, ...]:
        """The names of the feature extractors that the family uses on data of this kind."""
        return ()


S = TypeVar("S", bound=MetricSettings)


class MetricFamily(ABC, Generic[S]):
    """Metrics that are computed together. One object measures many samples, so it may cache what they share."""

    Settings: ClassVar[type[MetricSettings]]

    def __init__(self, settings: S):
        self.settings = settings

    @abstractmethod
    def measure(self, real: np.ndarray, generated: np.ndarray, context: Context) -> list[Measurement]:
        """The metrics of `generated` samples against `real` held-out data, both as stored.

        A metric for which there are too few examples has the status `not_applicable`.
        """
