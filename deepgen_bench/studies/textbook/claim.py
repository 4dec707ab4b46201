"""What a textbook claim is, and how a measurement of it is judged."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from deepgen_bench.experiment.store import Store
from deepgen_bench.plugins import Settings as BaseSettings
from deepgen_bench.runtime.seeds import derive_rng, derive_seed

Relation = Literal["equal", "at most", "at least"]
Verdict = Literal["holds", "fails", "undecided", "context"]


@dataclass(frozen=True)
class Row:
    """A `measurement` of a `quantity` beside its `prediction`, which comes from a closed form or quadrature; None where
    there is none.

    `std_error` is that of their difference, over seeds or examples; 0 where both are the same by algebra. "at most" and
    "at least" are for measurements that may differ from the prediction to one side. A row without a prediction is shown
    and not judged.
    """

    quantity: str
    setting: str
    prediction: float | None
    measurement: float
    std_error: float
    tolerance: float = 0.0
    relation: Relation = "equal"

    @property
    def verdict(self) -> Verdict:
        """Holds if the whole interval measurement ± 2 errors lies within the tolerance of the prediction, fails if none
        of it does; too noisy to say either is `undecided`, so that noise never holds."""
        if self.prediction is None:
            return "context"
        deviation, error = self.measurement - self.prediction, 2 * self.std_error
        off = {"equal": abs(deviation), "at most": deviation, "at least": -deviation}[self.relation]
        # a NaN does not hold
        return "holds" if off + error <= self.tolerance else "undecided" if off - error <= self.tolerance else "fails"


@dataclass(frozen=True)
class Evidence:
    """`rows`, and `tables` of records by name, which the claim's figure is drawn from."""

    rows: list[Row]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class Claim(ABC):
    """One claim.

    `statement` is the claim in a sentence, `source` who made it and where, `formula` LaTeX in one line, `text` a few
    sentences on what is done; `trains` names the registered models that it trains itself, whose code decides its
    numbers.
    """

    Settings: ClassVar[type[BaseSettings]]
    title: ClassVar[str]
    statement: ClassVar[str]
    source: ClassVar[str]
    formula: ClassVar[str]
    text: ClassVar[str]
    trains: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, settings: BaseSettings, store: Store):
        self.name, self.settings, self.store = name, settings, store

    @abstractmethod
    def evidence(self) -> Evidence:
        """Measure it."""

    @classmethod
    def needs(cls, settings: Any) -> list[tuple[str, str]]:
        """Dataset and model of the experiment's own runs whose sample metrics it reads, if any."""
        return []

    def rng(self, role: str) -> np.random.Generator:
        return derive_rng(self.store.experiment.base_seed, "theory", self.name, role)

    def seeds(self, role: str, replicates: int) -> list[int]:
        """One for each replicate."""
        base = self.store.experiment.base_seed
        return [derive_seed(base, "theory", self.name, role, replicate) for replicate in range(replicates)]


def mean_row(
    quantity: str,
    setting: str,
    prediction: float | None,
    values: np.ndarray,
    tolerance: float = 0.0,
    relation: Relation = "equal",
) -> Row:
    """The mean over independent replicates, (S,), with its standard error."""
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return Row(quantity, setting, prediction, float(values.mean()), error, tolerance, relation)
