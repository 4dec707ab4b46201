"""Where everything lies: the store that experiments share, and an experiment's own folder. Imports no torch.

The identity of a run is a hash of what the experiment says that changes numbers; devices, workers and paths are not
in it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepgen_bench.config import Experiment
from deepgen_bench.files import canonical_json, sha256_of
from deepgen_bench.identity import code_identity

# raised when the meaning of numbers in the tidy table changes; see CHANGELOG.md
PROTOCOL_VERSION = 3


def short_hash(data: Any) -> str:
    return sha256_of(canonical_json(data).encode())[:12]


@dataclass(frozen=True)
class Store:
    """Paths of an experiment under `root` (the results folder)."""

    experiment: Experiment
    root: Path = Path("results")

    # identities: plain JSON data, equal exactly where numbers are

    def data_identity(self, dataset: str) -> dict[str, Any]:
        made = self.experiment.dataset(dataset)
        return {
            "dataset": made.name,
            "settings": made.settings.identity(),
            "base_seed": self.experiment.base_seed,
            "code": code_identity(type(made).__module__),
        }

    def run_identity(self, dataset: str, model: str) -> dict[str, Any]:
        made, entry = self.experiment.dataset(dataset), self.experiment.models[model]
        return {
            "dataset": made.name,
            "dataset_settings": made.settings.identity(),
            "model": entry.model or model,
            "settings": self.experiment.model_settings(model, dataset).identity(),
            "budget": self.experiment.datasets[dataset].budget,
            "base_seed": self.experiment.base_seed,
        }

    def model_code(self, model: str) -> str:
        return code_identity(self.experiment.model_spec(model).implementation.split(":")[0])

    # the shared store

    def data_dir(self, dataset: str) -> Path:
        return self.root / "data" / dataset / short_hash(self.data_identity(dataset))

    def extractor_dir(self, dataset: str) -> Path:
        identity = self.data_identity(dataset) | {"classifier": code_identity("deepgen_bench.metrics.classifier")}
        return self.root / "extractors" / dataset / short_hash(identity)

    def run_id(self, dataset: str, model: str, seed: int) -> str:
        return f"{dataset}/{model}/{short_hash(self.run_identity(dataset, model))}/seed_{seed}"

    def run_dir(self, dataset: str, model: str, seed: int) -> Path:
        return self.root / "runs" / self.run_id(dataset, model, seed)

    def checkpoint(self, dataset: str, model: str, block: int) -> Path:
        """The state of a block in training, which a killed job goes on from."""
        return self.run_dir(dataset, model, 0).with_name(f"block_{block}.checkpoint")

    # the experiment's own folder

    @property
    def home(self) -> Path:
        return self.root / self.experiment.name

    def blocks(self) -> dict[int, list[int]]:
        """Seeds by block: seed k belongs to block k // seeds_per_job, so adding seeds never regroups the others."""
        blocks: dict[int, list[int]] = {}
        for seed in sorted(self.experiment.seeds):
            blocks.setdefault(self.block_of(seed), []).append(seed)
        return blocks

    def block_of(self, seed: int) -> int:
        return seed // self.experiment.seeds_per_job

    def manifest(self, dataset: str, model: str, block: int) -> Path:
        return self.home / "train" / dataset / model / f"block_{block}.json"

    def measurements(self, dataset: str, model: str, block: int, kind: str) -> Path:
        return self.home / "measurements" / dataset / model / f"{kind}_{block}.csv"

    def calibration(self, check: str) -> Path:
        return self.home / "calibration" / f"{check}.json"

    def all_measurements(self) -> list[Path]:
        """The measurement files of every (dataset, model, block), in the experiment's order."""
        kinds = [
            *(["sample"] if self.experiment.metrics else []),
            *(["likelihood"] if self.experiment.likelihood else []),
        ]
        return [
            self.measurements(dataset, model, block, kind)
            for dataset in self.experiment.datasets
            for model in self.experiment.models
            for kind in kinds
            for block in self.blocks()
        ]
