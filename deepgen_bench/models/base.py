"""The interface of every model: fit a block of replicates, load one of them, sample. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.runtime.seeds import derive_seed
from deepgen_bench.training.result import Fit, State

if TYPE_CHECKING:
    from deepgen_bench.training.checkpoint import Keeper


@dataclass(frozen=True)
class Streams:
    """The seeds of one (dataset, model) pair, by replicate and role (`init`, `batches`, `noise`, `sample`)."""

    base_seed: int
    dataset: str
    model: str

    def seed(self, role: str, replicate: int) -> int:
        return derive_seed(self.base_seed, role, self.dataset, self.model, replicate)

    def validation_seed(self) -> int:
        """The same for every model and replicate: figures on validation data share their draws."""
        return derive_seed(self.base_seed, "validation", self.dataset)


@dataclass(frozen=True)
class TrainingData:
    """Training and validation split as prepared: uint8 (n, c, h, w) grey levels or float64 (n, d). Never the test
    split."""

    train: np.ndarray
    validation: np.ndarray


class GenerativeModel(ABC):
    """A generative model on data of one `DataSpec`.

    `settings` is the model's own settings class (see `specs`); `device` is "cpu" or "cuda". A model object is either
    asked to `fit` a block of replicates or given one replicate's state by `load`, after which it can `sample`.
    """

    #: how images become training data for a likelihood: "dequantised" or "binarised"; "grey" for models without one
    representation: ClassVar[str] = "grey"

    #: where a long `fit` of one of the `groups` keeps its state and finds that of a killed one; None: nowhere
    keeper: "Keeper | None" = None

    def __init__(self, settings: Any, spec: DataSpec, device: str = "cpu"):
        self.settings, self.spec, self.device = settings, spec, device

    def groups(self, replicates: list[int]) -> list[list[int]]:
        """The replicates that are trained together; one group is trained, and written, after the other."""
        return [replicates]

    @abstractmethod
    def fit(
        self,
        data: TrainingData,
        replicates: list[int],
        streams: Streams,
        budget: int,
        progress: Callable[[int, int, str], None],
    ) -> list[Fit]:
        """Train the replicates, each on `budget` examples; `progress(done, total, note)` is called now and then.

        A replicate's result must not depend on the replicates beside it.
        """

    @abstractmethod
    def load(self, state: State) -> None:
        """Become the one replicate whose state this is."""

    @abstractmethod
    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """`n` samples for each of the settings' `outputs`, as stored: uint8 grey levels (n, c, h, w) or float64 (n,
        d)."""
