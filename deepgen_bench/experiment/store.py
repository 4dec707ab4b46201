"""Where results lie: the store that experiments share, and an experiment's own folder. Imports no torch.

The identity of a replicate is a hash of the settings that change its numbers. Devices, workers and paths are not part
of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepgen_bench.experiment.identity import code_identity, stage_identity
from deepgen_bench.experiment.load import SHARED_FOLDERS, Experiment, load_experiment
from deepgen_bench.plugins import StudyKind
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.locks import locked
from deepgen_bench.storage.files import (
    Damaged,
    canonical_json,
    read_json,
    read_sealed,
    sha256_of,
    write_json,
    write_sealed,
)
from deepgen_bench.storage.keys import RunId
from deepgen_bench.studies.study import Need

PROTOCOL_VERSION = 5
"""Raised when the meaning of numbers in the tidy table changes; see CHANGELOG.md."""

FORMAT = 3
"""Raised when files of a results folder change their place or form."""


def short_hash(data: Any) -> str:
    return sha256_of(canonical_json(data).encode())[:12]


@dataclass(frozen=True)
class Store:
    """Paths of an experiment's results below `root`, the results folder."""

    experiment: Experiment
    root: Path = Path("results")

    def check_format(self) -> None:
        """Raise `UserError` if the results folder was written by a version with another layout."""
        marker = self.root / "format.json"
        if marker.is_file():
            format_here = read_json(marker)
        elif any((self.root / folder).exists() for folder in SHARED_FOLDERS):
            format_here = "of an earlier version"
        else:
            return
        if format_here != FORMAT:
            raise UserError(
                f"{self.root}: its format is {format_here}, that of this version of deepgen_bench is {FORMAT}; use "
                "another results folder, or the version that wrote this one"
            )

    def claim(self) -> None:
        """Check the format of the results folder, and write it where there is none yet."""
        self.check_format()
        if not (self.root / "format.json").is_file():
            write_json(self.root / "format.json", FORMAT)

    # identities: plain JSON data, equal exactly where numbers are

    def data_identity(self, dataset: str) -> dict[str, Any]:
        data = self.experiment.dataset(dataset)
        return {
            "dataset": data.name,
            "settings": data.settings.identity(),
            "base_seed": self.experiment.base_seed,
            "code": code_identity(type(data).__module__),
        }

    def run_identity(self, dataset: str, model: str) -> dict[str, Any]:
        data = self.experiment.dataset(dataset)
        return {
            "dataset": data.name,
            "dataset_settings": data.settings.identity(),
            "model": self.experiment.models[model].name,
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
        identity = self.data_identity(dataset) | {"classifier": stage_identity("classifier")}
        return self.root / "extractors" / dataset / short_hash(identity)

    def run_id(self, dataset: str, model: str, seed: int) -> str:
        return str(RunId(dataset, model, short_hash(self.run_identity(dataset, model)), seed))

    def run_dir(self, dataset: str, model: str, seed: int) -> Path:
        return self.root / "runs" / self.run_id(dataset, model, seed)

    def checkpoint(self, dataset: str, model: str, block: int) -> Path:
        """The state of a block in training, from which a killed job resumes. Only the process that holds the lock of
        the block's first replicate may use it."""
        return self.run_dir(dataset, model, self.blocks()[block][0]).with_suffix(".checkpoint")

    @contextmanager
    def locked(self, directory: Path) -> Iterator[None]:
        """Hold the lock of a folder of the store; other processes that need it wait."""
        self.claim()
        with locked(directory.with_name(f".{directory.name}.lock")):
            yield

    # the experiment's own folder

    @property
    def home(self) -> Path:
        return self.root / self.experiment.name

    @property
    def partial(self) -> Path:
        """Tables of an experiment that did not finish."""
        return self.home / "partial"

    def blocks(self) -> dict[int, list[int]]:
        """Seeds by block. Seed k belongs to block k // seeds_per_job, so adding seeds never regroups the others."""
        blocks: dict[int, list[int]] = {}
        for seed in sorted(self.experiment.seeds):
            blocks.setdefault(self.block_of(seed), []).append(seed)
        return blocks

    def block_of(self, seed: int) -> int:
        return seed // self.experiment.seeds_per_job

    # Manifests: what the experiment uses of the store. One is rewritten only if its content changes, because Snakemake
    # repeats every job whose input is newer than its output.

    def data_manifest(self, dataset: str) -> Path:
        return self.home / "data" / f"{dataset}.json"

    def extractor_manifest(self, dataset: str) -> Path:
        return self.home / "extractors" / f"{dataset}.json"

    def manifest(self, dataset: str, model: str, block: int) -> Path:
        return self.home / "train" / dataset / model / f"block_{block}.json"

    @staticmethod
    def write_manifest(path: Path, content: dict[str, Any]) -> None:
        try:
            unchanged = read_sealed(path) == content
        except Damaged:
            unchanged = False
        if not unchanged:
            write_sealed(path, content)

    def measurements(self, dataset: str, model: str, block: int, kind: str) -> Path:
        return self.home / "measurements" / dataset / model / f"{kind}_{block}.csv"

    @property
    def aggregated(self) -> Path:
        """Digests of the experiment's tables, written last."""
        return self.home / "aggregated.json"

    def measurements_of(self, need: Need) -> list[Path]:
        """The measurements that a study reads: of the block of one seed, or of all blocks."""
        blocks = self.blocks() if need.seed is None else [self.block_of(need.seed)]
        return [self.measurements(need.dataset, need.model, block, need.kind) for block in blocks]

    def figure_data(self, dataset: str) -> Path:
        return self.home / "figure_data" / f"{dataset}.json"

    def study(self, kind: StudyKind, label: str) -> Path:
        """The results file of a study."""
        return self.home / kind / f"{label}.json"

    def studies(self, kind: StudyKind) -> dict[str, Path]:
        """The results files of all studies of a kind, by label."""
        return {label: self.study(kind, label) for label in self.experiment.studies[kind]}

    def parts(self) -> list[tuple[str, str, int, str]]:
        """Dataset, model, block and kind of all that is measured, in the experiment's order."""
        kinds = [
            *(["sample"] if self.experiment.metrics else []),
            *(["likelihood"] if self.experiment.likelihood else []),
        ]
        return [
            (dataset, model, block, kind)
            for dataset in self.experiment.datasets
            for model in self.experiment.models
            for kind in kinds
            for block in self.blocks()
        ]

    def all_measurements(self) -> list[Path]:
        return [self.measurements(*part) for part in self.parts()]

    def failure(self, rule: str, dataset: str = "", model: str = "", block: int | None = None) -> Path:
        """Record of why a job failed. The job's log has the same name below `logs/`, with the suffix .log."""
        folder = self.home / "failures"
        if model:
            return folder / rule / dataset / f"{model}_{block}.json"
        return folder / rule / f"{dataset}.json" if dataset else folder / f"{rule}.json"

    def invalidate(self, path: Path) -> bool:
        """Remove the manifest or seal that stands for a damaged file, so that Snakemake rebuilds the file.

        False for a file that no rule of the experiment makes.
        """
        experiment = self.experiment
        owners = {self.data_dir(dataset): self.data_manifest(dataset) for dataset in experiment.datasets}
        owners |= {self.extractor_dir(dataset): self.extractor_manifest(dataset) for dataset in experiment.datasets}
        owners |= {
            self.run_dir(dataset, model, seed): self.manifest(dataset, model, block)
            for dataset in experiment.datasets
            for model in experiment.models
            for block, seeds in self.blocks().items()
            for seed in seeds
        }
        # manifests, and what the experiment's own folder holds beside them
        owners |= {self.home / folder: path for folder in ("data", "extractors", "train")}
        owners |= {self.home / folder: path.with_suffix(".json") for folder in ("measurements", "figure_data")}
        owners |= {self.home: self.aggregated}
        owner = next((owners[folder] for folder in (path, *path.parents) if folder in owners), None)
        if owner is not None:
            owner.unlink(missing_ok=True)
        return owner is not None


def store_of(home: Path) -> Store:
    """The store of an experiment that has run, by its folder. Errors: `UserError`."""
    if not (home / "experiment.json").is_file():
        raise UserError(f"{home}: no experiment.json; valid: the folder of an experiment that ran, as results/default")
    store = Store(load_experiment(home / "experiment.json"), home.parent)
    store.check_format()
    return store
