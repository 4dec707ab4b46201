"""What a check is, and how an estimate is judged against the truth."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from deepgen_bench.experiment.store import Store
from deepgen_bench.plugins import Settings as BaseSettings
from deepgen_bench.runtime.seeds import derive_rng

Relation = Literal["equal", "at most"]
Verdict = Literal["pass", "fail", "undecided"]


@dataclass(frozen=True)
class Line:
    """An `estimate` of a known `truth`; `std_error` is that of their difference, 0 where both are the same by algebra.

    `relation` "at most" is for bounds: only an estimate above the truth is wrong. `companion` marks what must hold even
    where the check is expected to fail.
    """

    estimator: str
    setting: str
    truth: float
    estimate: float
    std_error: float
    relation: Relation = "equal"
    companion: bool = False


def judge(line: Line, tolerance: float) -> Verdict:
    """Pass if the whole interval estimate ± 2 errors lies within the tolerance of the truth, fail if none of it does.

    An estimate too noisy to say either, or not a number, is `undecided`: that is neither a pass nor a mistake caught.
    """
    deviation, error = line.estimate - line.truth, 2 * line.std_error
    off = deviation if line.relation == "at most" else abs(deviation)
    if not np.isfinite(off) or not np.isfinite(error):
        return "undecided"
    return "pass" if off + error <= tolerance else "undecided" if off - error <= tolerance else "fail"


class Check(ABC):
    """One comparison of an estimator with a truth; those with `needs_runs` read what the experiment has trained."""

    Settings: ClassVar[type[BaseSettings]]
    needs_runs: ClassVar[bool] = False

    def __init__(self, name: str, settings: BaseSettings, store: Store):
        self.name, self.settings, self.store = name, settings, store

    @abstractmethod
    def lines(self) -> list[Line]:
        """Run the estimator."""

    def rng(self, role: str) -> np.random.Generator:
        return derive_rng(self.store.experiment.base_seed, "calibration", self.name, role)


def mean_line(estimator: str, setting: str, truth: float, estimates: list[float]) -> Line:
    """The mean of independent replications, with its error."""
    values = np.asarray(estimates, np.float64)
    return Line(estimator, setting, truth, float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))
