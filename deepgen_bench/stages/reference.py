"""A finished experiment in the form in which others check theirs against it: table, digests and, if wanted, samples."""

import gzip
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepgen_bench.experiment.schema import Experiment, load_experiment
from deepgen_bench.experiment.store import PROTOCOL_VERSION, Store, store_of
from deepgen_bench.models.replicate import Run
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


def runs_of(store: Store) -> dict[str, tuple[str, str, int]]:
    """Dataset, model and seed of all runs of an experiment by run_id."""
    e = store.experiment
    wanted = [(dataset, model, seed) for dataset in e.datasets for model in e.models for seed in sorted(e.seeds)]
    return {store.run_id(*run): run for run in wanted}


def write_reference(home: Path, output: Path, samples: bool) -> str:
    """Write the reference folder `output` of the experiment in `home`; with `samples` the final ones too, and the
    classifiers whose features they were measured by. What only an earlier reference in that folder had is removed."""
    store = store_of(home)
    runs = {run_id: Run(store.run_dir(*run)).info for run_id, run in runs_of(store).items()}
    platforms = {str(info["platform"]): info["platform"] for info in runs.values()}
    if len(platforms) != 1:
        raise UserError(f"{home}: runs of {len(platforms)} platforms; a reference is made on one")
    before = files_of(output)
    kept = write_samples(store, output) if samples else []
    table = (home / "metrics.csv").read_bytes()
    write_bytes(output / TABLE, gzip.compress(table, mtime=0))
    info = {
        "experiment": store.experiment.model_dump(mode="json"),
        "platform": platforms.popitem()[1],
        "protocol_version": PROTOCOL_VERSION,
        "runs": {
            run_id: {key: info[key] for key in ("checkpoints", "data_digest", "status")}
            for run_id, info in runs.items()
        },
        "files": {str(path.relative_to(output)): sha256_of(path) for path in [output / TABLE, *kept]},
    }
    write_sealed(output / INFO, info)
    for name in before - set(info["files"]):
        (output / name).unlink(missing_ok=True)
    return f"{output}: reference of {len(runs)} runs" + (f", with samples of {len(kept)} files" if samples else "")


def files_of(folder: Path) -> set[str]:
    """The names of an earlier reference's files; none where there is no readable one."""
    try:
        return set(read_sealed(folder / INFO)["files"]) if (folder / INFO).is_file() else set()
    except Damaged:
        return set()


def write_samples(store: Store, output: Path) -> list[Path]:
    """Write every replicate's final samples and every classifier; the paths."""
    kept = []
    for run_id, (dataset, model, seed) in runs_of(store).items():
        run = Run(store.run_dir(dataset, model, seed))
        names = [name for name in run.info["samples"] if SampleFile.parse(name).checkpoint == FINAL]
        if names:
            kept.append(output / "samples" / f"{run_id}.npz")
            # another experiment may have had more
            n = store.experiment.samples
            write_arrays(kept[-1], {name.removesuffix(".npy"): read_array(run.directory / name)[:n] for name in names})
    for dataset in store.experiment.datasets:
        if store.experiment.uses_extractor(dataset, "classifier"):
            kept.append(output / "extractors" / f"{dataset}.safetensors")
            write_bytes(kept[-1], (store.extractor_dir(dataset) / WEIGHTS).read_bytes())
    return kept


class Reference:
    """Reads a reference folder, or one that comes with the package, by its name. Errors: `UserError`."""

    def __init__(self, path: Path):
        shipped = Path(str(files("deepgen_bench.stages"))) / "references"
        self.path = path if path.exists() or not (shipped / path).is_dir() else shipped / path
        if not (self.path / INFO).is_file():
            names = ", ".join(sorted(folder.name for folder in shipped.iterdir()))
            raise UserError(f"{path}: no {INFO} in it; valid: a reference folder, or one of the package's: {names}")
        try:
            info = read_sealed(self.path / INFO)
            for name, digest in info["files"].items():
                check_sha256(self.path / name, digest)
        except Damaged as error:
            raise UserError(str(error)) from None
        if info["protocol_version"] != PROTOCOL_VERSION:
            found = f"protocol_version {info['protocol_version']}, that of this version is {PROTOCOL_VERSION}"
            raise UserError(f"{self.path}: {found}; the numbers are not comparable")
        self.platform: dict[str, Any] = info["platform"]
        self.runs: dict[str, dict[str, Any]] = info["runs"]
        self._experiment = info["experiment"]

    @cached_property
    def experiment(self) -> Experiment:
        return load_experiment(self._experiment)

    @cached_property
    def rows(self) -> pd.DataFrame:
        return read_rows(self.path / TABLE)

    def samples(self, run_id: str) -> dict[str, np.ndarray]:
        """The final samples of a run by output; none where they are not part of the reference."""
        path = self.path / "samples" / f"{run_id}.npz"
        arrays = read_arrays(path) if path.is_file() else {}
        return {SampleFile.parse(name).output: array for name, array in arrays.items()}

    def extractor(self, dataset: str) -> Path | None:
        """The classifier that the samples were measured by."""
        path = self.path / "extractors" / f"{dataset}.safetensors"
        return path if path.is_file() else None
