"""The experiment file as it is written: datasets × models × seeds × metrics. Imports no torch.

Settings of datasets, models, metrics and studies are mappings here; `load` parses them into their own classes.
"""

import re
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.plugins import Settings, not_identity

Label = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]


def _model_label(label: str) -> str:
    if not re.fullmatch(r"[^\s./\\{}\x00-\x1f-][^/\\{}\x00-\x1f]{0,39}", label):
        valid = "valid: up to 40 characters, no slash, brace or line break, no blank, dot or hyphen in front"
        raise PydanticCustomError("label", valid)
    return label


ModelLabel = Annotated[str, AfterValidator(_model_label)]
"""A model may have any name that a folder can have: `C++`, `NA`, `ours (large), 2 GPUs`."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Quality(Settings):
    """The least quality of a replicate by one metric: `at_least` or `at_most` a value."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _has_one_limit(self) -> "Quality":
        if (self.at_least is None) == (self.at_most is None):
            raise PydanticCustomError("limit", "valid: either at_least or at_most")
        return self

    def holds(self, value: float) -> bool:
        return value >= self.at_least if self.at_least is not None else value <= cast(float, self.at_most)

    def __str__(self) -> str:
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"


class DatasetEntry(Settings):
    """One dataset of the experiment.

    `dataset` is a registered name (by default the label), `settings` its settings. `budget` is the number of training
    examples that the generator or decoder of every model sees. `models` overrides hyper-parameters of models on this
    dataset, `metrics` settings of sample metrics. `quality` states by metric what a replicate must reach; the report
    counts those that do not.
    """

    dataset: str | None = None
    settings: dict[str, Any] = {}
    budget: Annotated[int, Field(ge=1)]
    models: dict[ModelLabel, dict[str, Any]] = {}
    metrics: dict[str, dict[str, Any]] = {}
    quality: dict[str, Quality] = not_identity(default={})


class ModelEntry(Settings):
    """One model of the experiment: a registered name (by default the label) and its settings."""

    model: str | None = None
    settings: dict[str, Any] = {}


class CalibrationEntry(Settings):
    """One comparison of an estimator with a known value: a registered name (by default the label) and its settings.

    `tolerance` is the largest acceptable deviation, `expect` the expected outcome: negative controls and statistics
    with a known bias should fail.
    """

    check: str | None = None
    tolerance: Annotated[float, Field(ge=0)]
    expect: Literal["pass", "fail"] = "pass"
    settings: dict[str, Any] = {}

    @property
    def registered(self) -> str | None:
        return self.check


class ClaimEntry(Settings):
    """One textbook claim: a registered name (by default the label) and its settings."""

    claim: str | None = None
    settings: dict[str, Any] = {}

    @property
    def registered(self) -> str | None:
        return self.claim


class Difference(Settings):
    """A point on which a published protocol differs from this benchmark's."""

    of: str
    published: str
    here: str


class PublishedEntry(Settings):
    """A paper's values of one metric, which the report shows beside those of the experiment.

    `variant` (a part of the column in metrics.csv) and `reference_split` select the measurement to compare with.
    `values` are by dataset and model, each a number or a number with its `spread`, which that text describes.
    """

    source: str
    metric: str
    variant: dict[str, str | int] = {}
    reference_split: Literal["test", "train"] = "test"
    values: dict[Label, dict[ModelLabel, float | tuple[float, float]]]
    spread: str = "published without one"
    differences: tuple[Difference, ...] = ()


class ExperimentFile(Settings):
    """A whole experiment file.

    `samples` is the number drawn from every replicate. A training saves its state every `checkpoint_seconds`, so that a
    killed job can resume. `metrics` maps families of sample metrics to their settings, `calibration` names checks of
    estimators, `theory` textbook claims, `published` values from papers.
    """

    name: Label
    base_seed: Seed = 0
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    seeds_per_job: Annotated[int, Field(ge=1, le=1000)] = 5
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_seconds: float = not_identity(default=60.0, ge=0)
    samples: Annotated[int, Field(ge=2, lt=10**9)] = 10_000
    datasets: Annotated[dict[Label, DatasetEntry], Field(min_length=1)]
    models: Annotated[dict[ModelLabel, ModelEntry], Field(min_length=1)]
    metrics: dict[str, dict[str, Any]] = {
        family: {} for family in ("fidelity", "transport", "two_sample", "modes", "memorisation")
    }
    likelihood: LikelihoodSettings | None = LikelihoodSettings()
    calibration: dict[Label, CalibrationEntry] = {}
    theory: dict[Label, ClaimEntry] = {}
    published: dict[Label, PublishedEntry] = not_identity(default={})
