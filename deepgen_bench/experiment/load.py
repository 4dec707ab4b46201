"""Read an experiment file and resolve it: every name to its plug-in, every mapping of settings to its class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from deepgen_bench.datasets.base import Dataset
from deepgen_bench.experiment.config_file import check_plain, read_config
from deepgen_bench.experiment.schema import CalibrationEntry, ClaimEntry, DatasetEntry, ExperimentFile
from deepgen_bench.experiment.validation import validated
from deepgen_bench.metrics.family import MetricSettings
from deepgen_bench.metrics.features.fidelity import FidelitySettings
from deepgen_bench.metrics.features.inception_weights import check_weights, published
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.models.settings import ModelSettings, ModelSpec
from deepgen_bench.plugins import DATASETS, METRICS, MODELS, STUDIES, Settings, StudyKind
from deepgen_bench.runtime.errors import UserError, named
from deepgen_bench.storage.downloads import Download
from deepgen_bench.studies.study import Study

T = TypeVar("T")

SHARED_FOLDERS = ("data", "extractors", "runs")
"""Folders of the results folder that experiments share; no experiment can have such a name."""


@dataclass(frozen=True)
class ResolvedModel:
    """A model of the experiment: its registered name and what is registered under it."""

    name: str
    spec: ModelSpec


@dataclass(frozen=True)
class ResolvedDataset:
    """A dataset of the experiment, with the settings that each model and each family of sample metrics has on it."""

    dataset: Dataset
    budget: int
    models: Mapping[str, ModelSettings]
    metrics: Mapping[str, MetricSettings]


@dataclass(frozen=True)
class ResolvedStudy:
    """A study of the experiment: its registered name, its class and settings, and its entry in the file."""

    name: str
    study: type[Study]
    settings: Settings
    entry: CalibrationEntry | ClaimEntry


@dataclass(frozen=True)
class Experiment:
    """An experiment whose names and settings are resolved; equal where the files say the same."""

    file: ExperimentFile
    datasets: Mapping[str, ResolvedDataset] = field(compare=False)
    models: Mapping[str, ResolvedModel] = field(compare=False)
    studies: Mapping[StudyKind, Mapping[str, ResolvedStudy]] = field(compare=False)

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def base_seed(self) -> int:
        return self.file.base_seed

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.file.seeds

    @property
    def seeds_per_job(self) -> int:
        return self.file.seeds_per_job

    @property
    def device(self) -> str:
        return self.file.device

    @property
    def checkpoint_seconds(self) -> float:
        return self.file.checkpoint_seconds

    @property
    def samples(self) -> int:
        return self.file.samples

    @property
    def metrics(self) -> list[str]:
        """Names of the families of sample metrics."""
        return list(self.file.metrics)

    @property
    def likelihood(self) -> LikelihoodSettings | None:
        return self.file.likelihood

    @property
    def annealed_seeds(self) -> list[int]:
        """Seeds of the replicates whose likelihoods are also estimated by annealing from the prior."""
        ais = self.likelihood.ais if self.likelihood else None
        return sorted(self.seeds)[: ais.seeds] if ais else []

    def dataset(self, label: str) -> Dataset:
        return self.datasets[label].dataset

    def model_spec(self, label: str) -> ModelSpec:
        return self.models[label].spec

    def model_settings(self, model: str, dataset: str) -> ModelSettings:
        """Hyper-parameters of a model on a dataset."""
        return self.datasets[dataset].models[model]

    def metric_settings(self, family: str, dataset: str) -> MetricSettings:
        """Settings of a family of sample metrics on a dataset."""
        return self.datasets[dataset].metrics[family]

    def uses_extractor(self, dataset: str, extractor: str) -> bool:
        """Whether sample metrics on a dataset need a feature network."""
        data = self.dataset(dataset)
        settings = self.datasets[dataset].metrics.values()
        return any(extractor in each.extractors_for(data.support, data.has_labels) for each in settings)

    def weights(self, dataset: str) -> list[Path | None]:
        """Files with Inception's weights that sample metrics on a dataset need; None stands for the download cache."""
        if not self.uses_extractor(dataset, "inception"):
            return []
        settings = self.datasets[dataset].metrics.values()
        files = [each.inception_weights for each in settings if isinstance(each, FidelitySettings)]
        return files or [None]

    def downloads(self) -> list[Download]:
        """Public files that the experiment needs, each once."""
        files: list[Download] = []
        for label in self.datasets:
            files += [*self.dataset(label).downloads(), *map(published, self.weights(label))]
        return list(dict.fromkeys(files))

    def check_files(self) -> None:
        """Raise `UserError` for files of weights and samples that cannot be used, before any job needs them."""
        for label, resolved in self.datasets.items():
            for weights in self.weights(label):
                named(f"metrics.fidelity.inception_weights on datasets.{label}", lambda w=weights: check_weights(w))
            support = resolved.dataset.support
            for model, settings in resolved.models.items():
                named(f"models.{model} on datasets.{label}", lambda s=settings, d=support: s.check_files(self.seeds, d))


def load_experiment(source: Path | Mapping[str, Any]) -> Experiment:
    """Read and check an experiment file, or the same as a mapping. Errors: `UserError`."""
    if isinstance(source, Path):
        data = read_config(source)
        return named(str(source), lambda: resolve(data))
    return resolve(source)


def resolve(data: Any) -> Experiment:
    """The experiment that plain data describe, with all checks that need neither data files nor torch."""
    if not isinstance(data, dict):
        raise UserError(f"expected a mapping of keys, found {type(data).__name__}")
    check_plain(data)
    file = validated(ExperimentFile, data, "")
    _check_file(file)
    models: dict[str, ResolvedModel] = {}
    datasets = {label: _resolve_dataset(file, label, entry, models) for label, entry in file.datasets.items()}
    entries: dict[StudyKind, Mapping[str, CalibrationEntry | ClaimEntry]] = {
        "calibration": file.calibration,
        "theory": file.theory,
    }
    studies = {
        kind: {label: _resolve_study(kind, label, entry) for label, entry in entries[kind].items()} for kind in entries
    }
    experiment = Experiment(file, datasets, models, studies)
    for kind, resolved in studies.items():
        for label, study in resolved.items():
            _check_study(experiment, f"{kind}.{label}", study)
    for label, paper in file.published.items():
        for dataset, values in paper.values.items():
            _check_labels(experiment, f"published.{label}.values", [(dataset, model) for model in values])
    return experiment


def _check_file(file: ExperimentFile) -> None:
    if file.name in SHARED_FOLDERS:
        raise UserError(f"name: {file.name} is a folder that experiments share; valid: any other name")
    if not file.metrics and file.likelihood is None:
        raise UserError("metrics: empty, and likelihood is null; valid: at least one of them")
    if len(set(file.seeds)) < len(file.seeds):
        raise UserError(f"seeds: each seed once, found {list(file.seeds)}")
    ks = file.likelihood.k if file.likelihood else (1,)
    if any(big % small or big == small for small, big in zip(ks, ks[1:], strict=False)):
        raise UserError(f"likelihood.k: ascending numbers that each divide the next, found {list(ks)}")


def _resolve_dataset(
    file: ExperimentFile, label: str, entry: DatasetEntry, models: dict[str, ResolvedModel]
) -> ResolvedDataset:
    """A dataset with all settings on it; models are resolved into `models` when the first dataset needs them."""
    key = f"datasets.{label}"
    cls = named(f"{key}.dataset", lambda: DATASETS[entry.dataset or label])
    dataset: Dataset = cls(validated(cls.Settings, entry.settings, f"{key}.settings"))
    for kind, names, valid in (("models", entry.models, file.models), ("metrics", entry.metrics, file.metrics)):
        for name in names:
            if name not in valid:
                raise UserError(f"{key}.{kind}.{name}: not in this experiment; valid: {', '.join(valid)}")
    model_settings: dict[str, ModelSettings] = {}
    for model, model_entry in file.models.items():
        if model not in models:
            name = model_entry.model or model
            models[model] = ResolvedModel(name, named(f"models.{model}.model", lambda n=name: MODELS[n]))
        settings = _merged(
            models[model].spec.settings,
            (model_entry.settings, f"models.{model}.settings"),
            (entry.models.get(model, {}), f"{key}.models.{model}"),
        )
        named(f"models.{model} on {key}", lambda s=settings: s.check(dataset.support))
        model_settings[model] = settings
    metric_settings: dict[str, MetricSettings] = {}
    for family, family_settings in file.metrics.items():
        cls = named(f"metrics.{family}", lambda f=family: METRICS[f].Settings)
        settings = _merged(
            cls, (family_settings, f"metrics.{family}"), (entry.metrics.get(family, {}), f"{key}.metrics.{family}")
        )
        named(f"metrics.{family} on {key}", lambda s=settings: s.check(dataset.support, dataset.has_labels))
        metric_settings[family] = settings
    return ResolvedDataset(dataset, entry.budget, model_settings, metric_settings)


def _merged(cls: Any, general: tuple[Mapping[str, Any], str], special: tuple[Mapping[str, Any], str]) -> Any:
    """Settings of class `cls` from general ones and their overrides, each with its key for errors."""
    validated(cls, general[0], general[1])
    return validated(cls, {**general[0], **special[0]}, special[1])


def _resolve_study(kind: StudyKind, label: str, entry: CalibrationEntry | ClaimEntry) -> ResolvedStudy:
    registry, name = STUDIES[kind], entry.registered or label
    study: type[Study] = named(f"{kind}.{label}.{registry.kind}", lambda: registry[name])
    settings = validated(study.Settings, entry.settings, f"{kind}.{label}.settings")
    return ResolvedStudy(name, study, settings, entry)


def _check_labels(experiment: Experiment, key: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Raise `UserError` for a (dataset, model) that is not in the experiment."""
    for dataset, model in pairs:
        for kind, name, valid in (("dataset", dataset, experiment.datasets), ("model", model, experiment.models)):
            if name not in valid:
                raise UserError(f"{key}: the {kind} {name} is not in this experiment; valid: {', '.join(valid)}")


def _check_study(experiment: Experiment, key: str, resolved: ResolvedStudy) -> None:
    """Raise `UserError` if a study reads replicates or measurements that the experiment does not have."""
    for need in resolved.study.needs(resolved.settings):
        if need.kind == "likelihood" and experiment.likelihood is None:
            raise UserError(f"{key}: it needs likelihoods, and likelihood is null")
        if need.kind == "sample" and not experiment.metrics:
            raise UserError(f"{key}: it needs sample metrics, and metrics is empty")
        _check_labels(experiment, f"{key}.settings", [(need.dataset, need.model)])
        if need.seed is not None and need.seed not in experiment.seeds:
            valid = ", ".join(map(str, experiment.seeds))
            raise UserError(f"{key}.settings: the seed {need.seed} is not in this experiment; valid: {valid}")
