"""The results of one experiment, or of several side by side, as the report reads them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepgen_bench.experiment.schema import PublishedEntry, Quality
from deepgen_bench.experiment.validation import validated
from deepgen_bench.report.data.figure_data import DatasetFigures, load_figure_data
from deepgen_bench.report.data.paired import load_paired
from deepgen_bench.report.data.selection import is_real, real_labels
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import read_json
from deepgen_bench.storage.keys import SharedLabel
from deepgen_bench.storage.results import KEY, load_results


@dataclass(frozen=True)
class ExperimentFile:
    """`experiment.json` in an experiment's folder: the parts that the report uses, and the whole as JSON data."""

    home: Path
    name: str
    theory: list[str]
    calibration: list[str]
    published: dict[str, PublishedEntry]
    quality: dict[str, dict[str, Quality]]
    resolved: dict[str, Any]

    @classmethod
    def read(cls, home: Path) -> "ExperimentFile":
        """Errors: `UserError` naming the file and what is wrong."""
        path = home / "experiment.json"
        resolved = read_json(path)
        published = {
            label: validated(PublishedEntry, entry, f"{path}: published.{label}")
            for label, entry in resolved.get("published", {}).items()
        }
        quality = {
            label: {
                metric: validated(Quality, limit, f"{path}: datasets.{label}.quality.{metric}")
                for metric, limit in entry.get("quality", {}).items()
            }
            for label, entry in resolved.get("datasets", {}).items()
        }
        theory, calibration = list(resolved.get("theory", {})), list(resolved.get("calibration", {}))
        return cls(home, resolved["name"], theory, calibration, published, quality, resolved)


def file_in(home: Path) -> ExperimentFile | None:
    """The experiment file in a folder; None without one, as where only `metrics.csv` was copied."""
    return ExperimentFile.read(home) if (home / "experiment.json").is_file() else None


@dataclass
class Results:
    """What was measured in one experiment: rows of the tidy table, paired differences, figure data by dataset."""

    rows: pd.DataFrame
    paired: pd.DataFrame
    figures: dict[str, DatasetFigures]


@dataclass
class Experiments:
    """One experiment, or several joined to one called `name`."""

    name: str
    files: list[ExperimentFile]
    results: Results

    @cached_property
    def models(self) -> list[str]:
        """The labels of all models, in order of appearance."""
        return list(dict.fromkeys(self.results.rows["model"]))

    @cached_property
    def real(self) -> list[str]:
        """The labels of real data among `models`."""
        return real_labels(self.results.rows)


def load(homes: Sequence[Path]) -> Experiments:
    """Read experiment folders.

    With several, models are labelled `model · experiment`, real data are shown once under their first label, and a
    dataset is shared between experiments where its content is the same. Errors: `UserError` naming a file that is
    missing or unreadable, or a metric that was measured by different protocol versions.
    """
    files: dict[str, ExperimentFile] = {}
    for home in homes:
        file = ExperimentFile.read(home)
        if file.name in files:
            raise UserError(f"{home}: a second experiment called {file.name}; valid: each name once")
        files[file.name] = file
    title = " and ".join(files)
    parts = [Results(load_results(home), load_paired(home), load_figure_data(home)) for home in homes]
    if len(parts) > 1:
        parts = list(_relabelled(parts, list(files)))
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    paired = pd.concat([part.paired for part in parts], ignore_index=True)
    _check_protocols(title, rows)
    results = Results(rows.assign(experiment=title), paired.assign(experiment=title), _joined(parts))
    return Experiments(title, list(files.values()), results)


def _check_protocols(title: str, rows: pd.DataFrame) -> None:
    for (dataset, metric), versions in rows.groupby(["dataset", "metric"], sort=False)["protocol_version"]:
        if len(distinct := versions.unique()) > 1:
            raise UserError(
                f"{title}: {metric} on {dataset} by protocol versions {', '.join(distinct)}; not comparable"
            )


def _joined(parts: Sequence[Results]) -> dict[str, DatasetFigures]:
    """Figure data of all experiments, models in the order of the measurements."""
    datasets: dict[str, DatasetFigures] = {}
    for part in parts:
        for label, figures in part.figures.items():
            datasets.setdefault(label, figures).models.update(figures.models)
    order = list(dict.fromkeys(model for part in parts for model in part.rows["model"]))
    for figures in datasets.values():
        figures.models = {model: figures.models[model] for model in order if model in figures.models}
    return datasets


def _relabelled(parts: Sequence[Results], names: Sequence[str]) -> Iterator[Results]:
    """The results of several experiments with labels that are distinct, and without repeated real data."""
    figures: dict[str, DatasetFigures] = {}
    real: list[str] = []
    before: list[pd.DataFrame] = []
    for part, name in zip(parts, names, strict=True):
        labels = real_labels(part.rows)
        models = {model: str(SharedLabel(model, name)) for model in part.rows["model"].unique()}
        # real data keep the label of the first experiment that has them
        models |= dict(zip(labels, [*real, *labels[len(real) :]], strict=False))
        real = [*real, *labels[len(real) :]]
        datasets = {dataset: _dataset_label(dataset, name, part.figures, figures) for dataset in _datasets(part)}
        result = _renamed(part, models, datasets)
        result.rows = _without_repeated_real_data(result.rows, before)
        for label, of_dataset in result.figures.items():
            figures.setdefault(label, of_dataset)
        before.append(result.rows)
        yield result


def _datasets(part: Results) -> list[str]:
    return list(dict.fromkeys([*part.rows["dataset"], *part.paired["dataset"], *part.figures]))


def _dataset_label(
    label: str, experiment: str, figures: Mapping[str, DatasetFigures], before: Mapping[str, DatasetFigures]
) -> str:
    """The label itself, unless an earlier experiment has other data, or data of unknown content, under it."""
    if label not in before or label in figures and figures[label].info["digest"] == before[label].info["digest"]:
        return label
    return str(SharedLabel(label, experiment))


def _renamed(part: Results, models: Mapping[str, str], datasets: Mapping[str, str]) -> Results:
    def label(model: str) -> str:
        return models.get(model, model)

    rows = part.rows.assign(model=part.rows["model"].map(models), dataset=part.rows["dataset"].map(datasets))
    columns = {column: part.paired[column].map(models) for column in ("model_a", "model_b")}
    paired = part.paired.assign(**columns, dataset=part.paired["dataset"].map(datasets))
    figures = {
        datasets[dataset]: DatasetFigures(
            data.info, data.arrays, {label(model): value for model, value in data.models.items()}
        )
        for dataset, data in part.figures.items()
    }
    return Results(rows, paired, figures)


def _without_repeated_real_data(rows: pd.DataFrame, before: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """`rows` without the measurements of real data that an earlier experiment has, whatever their seeds."""
    measurement = [name for name in KEY if name not in ("experiment", "seed")]
    known = {key for frame in before for key in frame[measurement].astype(str).itertuples(index=False, name=None)}
    keys = rows[measurement].astype(str).itertuples(index=False, name=None)
    repeated = np.array([key in known for key in keys], bool)
    return rows[~(is_real(rows).to_numpy() & repeated)]
