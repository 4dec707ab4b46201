"""What a report is made of: the measurements and figure data of one experiment, or of several side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepgen_bench.report.data.paired import load_paired
from deepgen_bench.report.data.published import published_in, published_tables
from deepgen_bench.report.data.selection import ORACLE
from deepgen_bench.report.data.sheet import sheets
from deepgen_bench.report.tables.chapters import Chapter, chapters
from deepgen_bench.report.tables.render import Table
from deepgen_bench.report.tables.studies import calibration_table
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.damage import Damaged
from deepgen_bench.storage.figure_data import read_figure_data
from deepgen_bench.storage.files import read_json
from deepgen_bench.storage.results import KEY, load_results
from deepgen_bench.studies.result import read_result


@dataclass
class Drawn:
    """Figure data of a dataset: `info` on the data, and of each model its `info` and its arrays by name."""

    info: dict[str, Any]
    arrays: dict[str, np.ndarray]
    models: dict[str, tuple[dict[str, Any], dict[str, np.ndarray]]] = field(default_factory=dict)


@dataclass
class Material:
    """`rows` and `paired` as one experiment called `name`; `drawn` figure data by dataset; resolved `experiments`."""

    name: str
    rows: pd.DataFrame
    paired: pd.DataFrame
    drawn: dict[str, Drawn]
    experiments: dict[str, dict[str, Any]]
    homes: list[Path]

    @property
    def theory(self) -> list[Chapter]:
        """The claims of each experiment that has any."""
        parts = zip(self.homes, self.experiments.values(), strict=True)
        return [chapter for home, experiment in parts for chapter in chapters(home, list(experiment.get("theory", {})))]

    @property
    def calibration(self) -> list[Table]:
        """The calibration of each experiment that has one."""
        tables = []
        for home, experiment in zip(self.homes, self.experiments.values(), strict=True):
            paths = {label: home / "calibration" / f"{label}.json" for label in experiment.get("calibration", {})}
            if paths and all(path.is_file() for path in paths.values()):
                tables.append(calibration_table({label: read_result(path) for label, path in paths.items()}))
        return tables

    @cached_property
    def published(self) -> list[Table]:
        """What papers say beside it; several experiments together have labels of their own, and none of this."""
        if len(self.homes) > 1 or not (papers := published_in(self.homes[0])):
            return []
        return list(published_tables(sheets(self.rows, "final"), papers))

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(self.rows["model"]))


def load(homes: Sequence[Path]) -> Material:
    """Read experiment folders.

    With several, a model is called `model · experiment`, real data stand once, and a dataset is shared where it has the
    same content. Errors: `UserError` naming the file that is missing or cannot be read.
    """
    experiments = {}
    for home in homes:
        experiment = read_json(home / "experiment.json")
        if experiment["name"] in experiments:
            raise UserError(f"{home}: a second experiment called {experiment['name']}; valid: each name once")
        experiments[experiment["name"]] = experiment
    several = len(homes) > 1
    frames: list[pd.DataFrame] = []
    pairs: list[pd.DataFrame] = []
    drawn: dict[str, Drawn] = {}
    for home, name in zip(homes, experiments, strict=True):
        rows, paired, own = load_results(home), load_paired(home), figure_data(home)
        if several:
            rows, paired, own = renamed(rows, paired, own, name, drawn)
            rows = without_repeated_oracle(rows, frames)
        frames.append(rows)
        pairs.append(paired)
        for dataset, found in own.items():
            drawn.setdefault(dataset, found).models.update(found.models)
    title = " and ".join(experiments)
    order = list(dict.fromkeys(model for frame in frames for model in frame["model"]))
    for found in drawn.values():
        found.models = {model: found.models[model] for model in order if model in found.models}
    rows, paired = pd.concat(frames, ignore_index=True), pd.concat(pairs, ignore_index=True)
    for (dataset, metric), versions in rows.groupby(["dataset", "metric"], sort=False)["protocol_version"]:
        if len(found_versions := versions.unique()) > 1:
            raise UserError(
                f"{title}: {metric} on {dataset} by protocol versions {', '.join(found_versions)}; not comparable"
            )
    return Material(title, rows.assign(experiment=title), paired.assign(experiment=title), drawn, experiments, [*homes])


def figure_data(home: Path) -> dict[str, Drawn]:
    """By dataset, what there is: an experiment that did not come to its end has none."""
    found = {}
    for path in sorted((home / "figure_data").glob("*.json")):
        try:
            info, arrays = read_figure_data(path)
        except Damaged as error:
            raise UserError(f"{error}; run the experiment again") from None
        models = info.pop("models")
        parts = {
            model: {name.split("/", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{model}/")}
            for model in models
        }
        own = {name: array for name, array in arrays.items() if "/" not in name}
        found[info["dataset"]] = Drawn(info, own, {model: (models[model], parts[model]) for model in models})
    return found


def without_repeated_oracle(rows: pd.DataFrame, before: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Without what is already known of real data."""
    measurement = [name for name in KEY if name not in ("experiment", "seed")]
    known = {key for frame in before for key in frame[measurement].astype(str).itertuples(index=False, name=None)}
    keys = rows[measurement].astype(str).itertuples(index=False, name=None)
    return rows[(rows["model"] != ORACLE).to_numpy() | np.array([key not in known for key in keys], bool)]


def renamed(
    rows: pd.DataFrame, paired: pd.DataFrame, own: dict[str, Drawn], name: str, before: dict[str, Drawn]
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Drawn]]:
    """An experiment's parts with labels that are its own, beside those of the experiments `before` it."""

    def model(label: str) -> str:
        return label if label == ORACLE else f"{label} · {name}"

    def dataset(label: str) -> str:
        same = label not in before or label in own and own[label].info["digest"] == before[label].info["digest"]
        return label if same else f"{label} · {name}"

    rows = rows.assign(model=rows["model"].map(model), dataset=rows["dataset"].map(dataset))
    columns = {column: paired[column].map(model) for column in ("model_a", "model_b")}
    paired = paired.assign(**columns, dataset=paired["dataset"].map(dataset))
    parts = {}
    for label, found in own.items():
        models = {model(key): value for key, value in found.models.items()}
        parts[dataset(label)] = Drawn(found.info, found.arrays, models)
    return rows, paired, parts
