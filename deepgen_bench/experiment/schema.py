"""The experiment file: datasets × models × seeds × metrics, validated before anything runs. Imports no torch."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from deepgen_bench.experiment.config_file import check_plain, key_text, read_config
from deepgen_bench.metrics.features.inception_weights import check_weights, published
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.models.specs import ModelSettings, ModelSpec
from deepgen_bench.plugins import DATASETS, METRICS, MODELS, STUDIES, Settings, StudyKind, not_identity
from deepgen_bench.runtime.errors import UserError, named, shown
from deepgen_bench.storage.downloads import Download
from deepgen_bench.studies.study import Study

Label = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
# in the results folder, beside the experiments' own
SHARED_FOLDERS = ("data", "extractors", "runs")
AnyModel = TypeVar("AnyModel", bound=BaseModel)


class DatasetEntry(Settings):
    """One dataset of the experiment.

    `dataset` is a registered name (the label itself if absent), `settings` its own settings; `budget` is what every
    model gets alike: training examples seen by the generator or decoder; `models` overrides hyper-parameters and
    `metrics` settings of sample metrics on this dataset.
    """

    dataset: str | None = None
    settings: dict[str, Any] = {}
    budget: Annotated[int, Field(ge=1)]
    models: dict[Label, dict[str, Any]] = {}
    metrics: dict[str, dict[str, Any]] = {}


class ModelEntry(Settings):
    """One model of the experiment: a registered name (the label itself if absent) and its settings."""

    model: str | None = None
    settings: dict[str, Any] = {}


class CalibrationEntry(Settings):
    """One comparison of an estimator with a known value: a registered name (the label itself if absent) and settings.

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
    """One textbook claim: a registered name (the label itself if absent) and settings."""

    claim: str | None = None
    settings: dict[str, Any] = {}

    @property
    def registered(self) -> str | None:
        return self.claim


class Difference(Settings):
    """A point on which a published protocol is not the one here."""

    of: str
    published: str
    here: str


class PublishedEntry(Settings):
    """A paper's numbers for one metric, which the report sets beside those obtained.

    `variant` (as in metrics.csv, part of it) and `reference_split` say which measurement corresponds; `values` are by
    dataset and model, a number or a number and its `spread`, whose kind that text names.
    """

    source: str
    metric: str
    variant: dict[str, str | int] = {}
    reference_split: Literal["test", "train"] = "test"
    values: dict[Label, dict[Label, float | tuple[float, float]]]
    spread: str = "published without one"
    differences: tuple[Difference, ...] = ()


class Experiment(Settings):
    """A whole experiment file.

    So many `samples` are drawn from every replicate; a training keeps its state every `checkpoint_seconds`, to go on
    from if it is killed; `metrics` maps families of sample metrics to their settings, `calibration` names checks of the
    estimators, `theory` textbook claims to be measured, `published` what papers have found.
    """

    name: Label
    base_seed: Seed = 0
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    seeds_per_job: Annotated[int, Field(ge=1, le=1000)] = 5
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_seconds: float = not_identity(default=60.0, ge=0)
    samples: Annotated[int, Field(ge=2, lt=10**9)] = 10_000
    datasets: Annotated[dict[Label, DatasetEntry], Field(min_length=1)]
    models: Annotated[dict[Label, ModelEntry], Field(min_length=1)]
    metrics: dict[str, dict[str, Any]] = {
        family: {} for family in ("fidelity", "transport", "two_sample", "modes", "memorisation")
    }
    likelihood: LikelihoodSettings | None = LikelihoodSettings()
    calibration: dict[Label, CalibrationEntry] = {}
    theory: dict[Label, ClaimEntry] = {}
    published: dict[Label, PublishedEntry] = not_identity(default={})

    def dataset(self, label: str) -> Any:
        """The dataset object that the label stands for."""
        entry = self.datasets[label]
        cls = named(f"datasets.{label}.dataset", lambda: DATASETS[entry.dataset or label])
        return cls(validated(cls.Settings, entry.settings, f"datasets.{label}.settings"))

    def model_spec(self, label: str) -> ModelSpec:
        return named(f"models.{label}.model", lambda: MODELS[self.models[label].model or label])

    def model_settings(self, model: str, dataset: str) -> ModelSettings:
        """Hyper-parameters of a model on a dataset: defaults, the model's settings, the dataset's overrides."""
        own, special = self.models[model].settings, self.datasets[dataset].models.get(model, {})
        cls = self.model_spec(model).settings
        validated(cls, own, f"models.{model}.settings")
        return validated(cls, {**own, **special}, f"datasets.{dataset}.models.{model}")

    def metric_settings(self, family: str, dataset: str) -> Any:
        """Settings of a family of sample metrics on a dataset: defaults, the family's, the dataset's overrides."""
        cls = named(f"metrics.{family}", lambda: METRICS[family].Settings)
        validated(cls, self.metrics[family], f"metrics.{family}")
        special = self.datasets[dataset].metrics.get(family, {})
        return validated(cls, {**self.metrics[family], **special}, f"datasets.{dataset}.metrics.{family}")

    @property
    def studies(self) -> Mapping[StudyKind, Mapping[str, CalibrationEntry | ClaimEntry]]:
        """The entries of all studies by kind and label."""
        return {"calibration": self.calibration, "theory": self.theory}

    def study_name(self, kind: StudyKind, label: str) -> str:
        """The registered name of a study."""
        return self.studies[kind][label].registered or label

    def study(self, kind: StudyKind, label: str) -> type[Study]:
        """The class of a study."""
        registry = STUDIES[kind]
        return named(f"{kind}.{label}.{registry.kind}", lambda: registry[self.study_name(kind, label)])

    def study_settings(self, kind: StudyKind, label: str) -> Settings:
        settings = self.studies[kind][label].settings
        return validated(self.study(kind, label).Settings, settings, f"{kind}.{label}.settings")

    def uses_extractor(self, dataset: str, extractor: str) -> bool:
        """Whether the sample metrics on this dataset need a feature network."""
        made = self.dataset(dataset)
        families = [self.metric_settings(family, dataset) for family in self.metrics]
        return any(
            extractor in settings.extractors_for(made.support, made.has_labels)
            for settings in families
            if hasattr(settings, "extractors_for")
        )

    @property
    def annealed_seeds(self) -> list[int]:
        """The replicates whose likelihoods are looked at once more by annealing from the prior."""
        ais = self.likelihood.ais if self.likelihood else None
        return sorted(self.seeds)[: ais.seeds] if ais else []

    def weights(self, dataset: str) -> list[Path | None]:
        """Where this dataset's sample metrics have the weights of Inception from, if they use it: None is a cache."""
        used = self.uses_extractor(dataset, "inception")
        return [self.metric_settings("fidelity", dataset).inception_weights] if used else []

    def downloads(self) -> list[Download]:
        """The public files that it needs, wherever they are to be had, each once."""
        files: list[Download] = []
        for label in self.datasets:
            files += [*self.dataset(label).downloads(), *map(published, self.weights(label))]
        return list(dict.fromkeys(files))

    def check_files(self) -> None:
        """Raise `UserError` for weights and samples that are not what they should be, long before they are used."""
        for label in self.datasets:
            for weights in self.weights(label):
                named(f"metrics.fidelity.inception_weights on datasets.{label}", lambda w=weights: check_weights(w))
            support = self.dataset(label).support
            for model in self.models:
                settings = self.model_settings(model, label)
                named(f"models.{model} on datasets.{label}", lambda s=settings, d=support: s.check_files(self.seeds, d))


def validated(cls: type[AnyModel], data: Any, key: str) -> AnyModel:
    """`data` as a `cls`; the first fault becomes one line that names the key, what was found and what is valid."""
    try:
        made = cls.model_validate(data)
    except ValidationError as error:
        faults = [(place(data, fault, key), fault) for fault in error.errors()]
        # a misspelt key explains why the right one is missing
        where, first = min(faults, key=lambda fault: fault[1]["type"] != "extra_forbidden")
        if first["type"] == "extra_forbidden":
            raise UserError(f"{where}: unknown key; valid: {', '.join(cls_at(cls, first['loc'])) or 'none'}") from None
        # every type of a union has its own complaint about the same place
        messages = dict.fromkeys(fault["msg"][:1].lower() + fault["msg"][1:] for at, fault in faults if at == where)
        found = "" if first["type"] == "missing" else f", found {shown(first['input'])}"
        raise UserError(f"{where}: {' or '.join(messages)}{found}") from None
    check_numbers(data, made.model_dump(), key)
    return made


def place(data: Any, fault: Any, key: str) -> str:
    """The key of a fault in the experiment file, without pydantic's marks for parts of a type."""
    parts: list[Any] = []
    for part in fault["loc"]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            break
        parts.append(part)
    if fault["type"] == "missing":
        parts.append(fault["loc"][-1])
    return ".".join(text for text in (key, key_text(parts)) if text)


def check_numbers(given: Any, made: Any, key: str) -> None:
    """Refuse what pydantic lets pass: true or false as a number, infinity, and what single precision cannot hold."""
    if isinstance(given, dict) and isinstance(made, dict):
        for name in given:
            check_numbers(given[name], made[name], f"{key}.{name}".removeprefix("."))
    elif isinstance(given, list | tuple) and isinstance(made, list | tuple):
        for i, (one, other) in enumerate(zip(given, made, strict=True)):
            check_numbers(one, other, f"{key}.{i}")
    elif isinstance(given, bool) and not isinstance(made, bool):
        raise UserError(f"{key}: a number is needed, found {str(given).lower()}")
    elif isinstance(made, float) and not isfinite(made):
        raise UserError(f"{key}: a finite number is needed, found {shown(given)}")
    elif isinstance(made, float) and made and not 1e-30 <= abs(made) <= 1e30:
        raise UserError(f"{key}: 0 or a number of size 1e-30 to 1e30 is needed, found {shown(given)}")


def cls_at(cls: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Names of the fields that are valid at the place where an unknown key was found."""
    for part in location[:-1]:
        annotation = cls.model_fields[part].annotation if part in cls.model_fields else None
        for candidate in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                cls = candidate
    return sorted(cls.model_fields)


def load_experiment(source: Path | dict[str, Any]) -> Experiment:
    """Read and check an experiment file (or the same as a dictionary); any fault is one `UserError`."""
    if isinstance(source, Path):
        data = read_config(source)
        return named(str(source), lambda: check(data))
    return check(source)


def check(data: Any) -> Experiment:
    """Everything that can be found wrong without data or torch."""
    if not isinstance(data, dict):
        raise UserError(f"expected a mapping of keys, found {type(data).__name__}")
    check_plain(data)
    experiment = validated(Experiment, data, "")
    if experiment.name in SHARED_FOLDERS:
        raise UserError(f"name: {experiment.name} is a folder that experiments share; valid: any other name")
    if not experiment.metrics and experiment.likelihood is None:
        raise UserError("metrics: empty, and likelihood is null; valid: at least one of them")
    if len(set(experiment.seeds)) < len(experiment.seeds):
        raise UserError(f"seeds: each seed once, found {list(experiment.seeds)}")
    ks = experiment.likelihood.k if experiment.likelihood else (1,)
    if any(big % small or big == small for small, big in zip(ks, ks[1:], strict=False)):
        raise UserError(f"likelihood.k: ascending numbers that each divide the next, found {list(ks)}")
    for label, entry in experiment.datasets.items():
        dataset = experiment.dataset(label)
        for kind, names, valid in (
            ("models", entry.models, experiment.models),
            ("metrics", entry.metrics, experiment.metrics),
        ):
            for name in names:
                if name not in valid:
                    raise UserError(
                        f"datasets.{label}.{kind}.{name}: not in this experiment; valid: {', '.join(valid)}"
                    )
        for model in experiment.models:
            settings = experiment.model_settings(model, label)
            named(f"models.{model} on datasets.{label}", lambda s=settings, d=dataset: s.check(d.support))
        for family in experiment.metrics:
            metric = experiment.metric_settings(family, label)
            if hasattr(metric, "check"):
                named(
                    f"metrics.{family} on datasets.{label}",
                    lambda m=metric, d=dataset: m.check(d.support, d.has_labels),
                )
    for kind, entries in experiment.studies.items():
        for label in entries:
            check_study(experiment, kind, label)
    for label, paper in experiment.published.items():
        for dataset, values in paper.values.items():
            check_labels(experiment, f"published.{label}.values", [(dataset, model) for model in values])
    return experiment


def check_labels(experiment: Experiment, key: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Raise `UserError` where a (dataset, model) is not in the experiment."""
    for dataset, model in pairs:
        for kind, name, valid in (("dataset", dataset, experiment.datasets), ("model", model, experiment.models)):
            if name not in valid:
                found = f"the {kind} {name} is not in this experiment; valid: {', '.join(valid)}"
                raise UserError(f"{key}: {found}")


def check_study(experiment: Experiment, kind: StudyKind, label: str) -> None:
    """Raise `UserError` where a study reads replicates or measurements that the experiment does not have."""
    for need in experiment.study(kind, label).needs(experiment.study_settings(kind, label)):
        if need.kind == "likelihood" and experiment.likelihood is None:
            raise UserError(f"{kind}.{label}: it needs likelihoods, and likelihood is null")
        if need.kind == "sample" and not experiment.metrics:
            raise UserError(f"{kind}.{label}: it needs sample metrics, and metrics is empty")
        check_labels(experiment, f"{kind}.{label}.settings", [(need.dataset, need.model)])
        if need.seed is not None and need.seed not in experiment.seeds:
            valid = ", ".join(map(str, experiment.seeds))
            raise UserError(f"{kind}.{label}.settings: the seed {need.seed} is not in this experiment; valid: {valid}")
