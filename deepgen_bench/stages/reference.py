"""References: the table and digests of a finished experiment, and on request samples, for others to verify theirs."""

import gzip
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepgen_bench.experiment.load import Experiment, load_experiment
from deepgen_bench.experiment.store import PROTOCOL_VERSION, Store, store_of
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.extractor import WEIGHTS
from deepgen_bench.storage.files import (
    Damaged,
    check_sha256,
    read_array,
    read_arrays,
    read_sealed,
    sha256_of,
    write_arrays,
    write_bytes,
    write_sealed,
)
from deepgen_bench.storage.keys import FINAL, SampleFile
from deepgen_bench.storage.results import read_rows

INFO, TABLE = "reference.json", "metrics.csv.gz"


def replicates_of(store: Store) -> dict[str, tuple[str, str, int]]:
    """Dataset, model and seed of all replicates of an experiment by run id."""
    experiment = store.experiment
    return {
        store.run_id(dataset, model, seed): (dataset, model, seed)
        for dataset in experiment.datasets
        for model in experiment.models
        for seed in sorted(experiment.seeds)
    }


def write_reference(home: Path, output: Path, samples: bool) -> str:
    """Write the reference folder `output` of the experiment in `home`, and return a line that describes it.

    `samples` adds the samples of the final checkpoints and the classifiers whose features they were measured with.
    Files that only an earlier reference in the folder had are removed. Errors: `UserError`.
    """
    store = store_of(home)
    infos = {run_id: Replicate(store.run_dir(*labels)).info for run_id, labels in replicates_of(store).items()}
    platforms = {str(info["platform"]): info["platform"] for info in infos.values()}
    if len(platforms) != 1:
        raise UserError(f"{home}: replicates of {len(platforms)} platforms; valid: a reference is made on one")
    earlier_files = files_of(output)
    sample_files = write_samples(store, output) if samples else []
    table = (home / "metrics.csv").read_bytes()
    write_bytes(output / TABLE, gzip.compress(table, mtime=0))
    content = {
        "experiment": store.experiment.file.model_dump(mode="json"),
        "platform": platforms.popitem()[1],
        "protocol_version": PROTOCOL_VERSION,
        "runs": {
            run_id: {key: info[key] for key in ("checkpoints", "data_digest", "status")}
            for run_id, info in infos.items()
        },
        "files": {str(path.relative_to(output)): sha256_of(path) for path in [output / TABLE, *sample_files]},
    }
    write_sealed(output / INFO, content)
    for name in earlier_files - set(content["files"]):
        (output / name).unlink(missing_ok=True)
    return f"{output}: reference of {len(infos)} runs" + (f", with {len(sample_files)} sample files" if samples else "")


def files_of(folder: Path) -> set[str]:
    """Names of the files of an earlier reference; empty if there is no readable one."""
    try:
        return set(read_sealed(folder / INFO)["files"])
    except Damaged:
        return set()


def write_samples(store: Store, output: Path) -> list[Path]:
    """Write the final samples of every replicate and every classifier, and return the paths."""
    paths = []
    for run_id, (dataset, model, seed) in replicates_of(store).items():
        replicate = Replicate(store.run_dir(dataset, model, seed))
        names = [name for name in replicate.info["samples"] if SampleFile.parse(name).checkpoint == FINAL]
        if names:
            paths.append(output / "samples" / f"{run_id}.npz")
            # another experiment may have drawn more
            n = store.experiment.samples
            arrays = {name.removesuffix(".npy"): read_array(replicate.directory / name)[:n] for name in names}
            write_arrays(paths[-1], arrays)
    for dataset in store.experiment.datasets:
        if store.experiment.uses_extractor(dataset, "classifier"):
            paths.append(output / "extractors" / f"{dataset}.safetensors")
            write_bytes(paths[-1], (store.extractor_dir(dataset) / WEIGHTS).read_bytes())
    return paths


class Reference:
    """A reference folder, or one of the package by its name. Errors: `UserError`."""

    def __init__(self, path: Path):
        shipped = Path(str(files("deepgen_bench.stages"))) / "references"
        self.path = path if path.exists() or not (shipped / path).is_dir() else shipped / path
        if not (self.path / INFO).is_file():
            names = ", ".join(sorted(folder.name for folder in shipped.iterdir()))
            raise UserError(f"{path}: no {INFO} in it; valid: a reference folder, or one of the package's: {names}")
        content = read_sealed(self.path / INFO)
        for name, digest in content["files"].items():
            check_sha256(self.path / name, digest)
        if content["protocol_version"] != PROTOCOL_VERSION:
            difference = f"protocol_version {content['protocol_version']}, that of this version is {PROTOCOL_VERSION}"
            raise UserError(f"{self.path}: {difference}; the numbers are not comparable")
        self.platform: dict[str, Any] = content["platform"]
        self.runs: dict[str, dict[str, Any]] = content["runs"]
        self._experiment = content["experiment"]

    @cached_property
    def experiment(self) -> Experiment:
        return load_experiment(self._experiment)

    @cached_property
    def rows(self) -> pd.DataFrame:
        return read_rows(self.path / TABLE)

    def samples(self, run_id: str) -> dict[str, np.ndarray]:
        """Final samples of a replicate by output; empty if the reference has none."""
        path = self.path / "samples" / f"{run_id}.npz"
        arrays = read_arrays(path) if path.is_file() else {}
        return {SampleFile.parse(name).output: array for name, array in arrays.items()}

    def extractor(self, dataset: str) -> Path | None:
        """File of the classifier that the samples were measured with."""
        path = self.path / "extractors" / f"{dataset}.safetensors"
        return path if path.is_file() else None
