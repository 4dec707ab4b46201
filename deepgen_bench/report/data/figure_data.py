"""The figure data of experiments: what the report draws of a dataset and of each model on it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepgen_bench.storage.figure_data import read_figure_data


@dataclass(frozen=True)
class ModelFigures:
    """Figure data of a model on a dataset.

    `info` has `trained` (False for real data and samples from files), `runs` (what each replicate is and cost),
    `curves` by seed, and facts about `arrays`, which are of the replicate with the lowest seed.
    """

    info: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def replicates(self) -> list[dict[str, Any]]:
        return list(self.info["runs"])


@dataclass
class DatasetFigures:
    """Figure data of a dataset: `info` and `arrays` of the data, and of each model by label."""

    info: dict[str, Any]
    arrays: dict[str, np.ndarray]
    models: dict[str, ModelFigures] = field(default_factory=dict)

    @property
    def levels(self) -> int | None:
        """The number of grey levels of images; None for vectors."""
        levels: int | None = self.info["spec"]["levels"]
        return levels


def load_figure_data(home: Path) -> dict[str, DatasetFigures]:
    """By dataset, the figure data in an experiment folder; an unfinished experiment may have none.

    Errors: `Damaged`.
    """
    datasets = {}
    for path in sorted((home / "figure_data").glob("*.json")):
        info, arrays = read_figure_data(path)
        models = {
            model: ModelFigures(
                of_model, {name.split("/", 1)[1]: a for name, a in arrays.items() if name.startswith(f"{model}/")}
            )
            for model, of_model in info.pop("models").items()
        }
        of_dataset = {name: array for name, array in arrays.items() if "/" not in name}
        datasets[info["dataset"]] = DatasetFigures(info, of_dataset, models)
    return datasets
