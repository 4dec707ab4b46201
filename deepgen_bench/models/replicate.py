"""One replicate on disk: states, samples, curves, and `run.json`, written last, which describes the other files."""

import csv
import io
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.models.base import GenerativeModel
from deepgen_bench.plugins import MODELS
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import (
    Damaged,
    canonical_json,
    check_sha256,
    read_array,
    read_sealed,
    sha256_of,
    write_array,
    write_bytes,
    write_sealed,
    write_text,
)
from deepgen_bench.storage.keys import SampleFile
from deepgen_bench.training.result import State, TrainingResult

RUN = "run.json"


def make_model(name: str, settings: Any, spec: DataSpec, device: str) -> GenerativeModel:
    """The registered model, ready to `fit` or `load`."""
    module, attribute = MODELS[name].implementation.split(":")
    return getattr(import_module(module), attribute)(settings, spec, device)


def write_state(path: Path, state: State) -> str:
    """Write one replicate's arrays as safetensors (never a pickle) and return their SHA-256."""
    from safetensors.numpy import save

    data = save({name: np.ascontiguousarray(array) for name, array in state.items()})

    write_bytes(path, data)
    return sha256_of(data)


def write_curves(path: Path, rows: list[dict[str, float]]) -> None:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(path, text.getvalue())


def state_file(checkpoint: str) -> str:
    return f"{checkpoint}.safetensors"


class Replicate:
    """Reads a replicate's folder. Errors: `Damaged` if it is not finished, or not as it was written."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.info = read_sealed(directory / RUN)
        self.loaded: dict[str, np.ndarray] = {}

    @property
    def checkpoints(self) -> list[str]:
        return list(self.info["checkpoints"])

    @property
    def spec(self) -> DataSpec:
        return DataSpec.from_json(self.info["spec"])

    def state(self, checkpoint: str) -> State:
        from safetensors.numpy import load_file

        if checkpoint not in self.info["checkpoints"]:
            valid = ", ".join(self.info["checkpoints"]) or f"none, the replicate {self.info['status']}"
            raise UserError(f"{self.directory}: no checkpoint {checkpoint!r}; valid: {valid}")
        path = self.directory / state_file(checkpoint)
        check_sha256(path, self.info["checkpoints"][checkpoint])
        return load_file(path)

    def samples(self, checkpoint: str, output: str) -> np.ndarray:
        """Samples of a checkpoint. Errors: `Damaged`."""
        name = str(SampleFile(checkpoint, output))
        return self.loaded[name] if name in self.loaded else self._read_samples(name)

    def _read_samples(self, name: str) -> np.ndarray:
        check_sha256(self.directory / name, self.info["samples"].get(name))
        return read_array(self.directory / name)

    def load(self, n: int) -> None:
        """Read all samples, of which there must be at least `n`, and check the states. Whoever holds the replicate's
        lock meanwhile can use the samples afterwards, whatever another process writes. Errors: `Damaged`."""
        self.check_states()
        self.check_samples(n)
        self.loaded = {name: self._read_samples(name) for name in self.info["samples"]}

    def model(self, checkpoint: str, device: str) -> GenerativeModel:
        """The replicate's model at a checkpoint."""
        name = self.info["identity"]["model"]
        settings = MODELS[name].settings.model_validate(self.info["identity"]["settings"])
        model = make_model(name, settings, self.spec, device)
        model.load(self.state(checkpoint))
        return model

    def check_states(self) -> None:
        """Raise `Damaged` unless every state is present and unchanged."""
        for checkpoint, digest in self.info["checkpoints"].items():
            check_sha256(self.directory / state_file(checkpoint), digest)

    def available(self, n: int) -> int:
        """The smaller of `n` and the number of samples that the replicate can have."""
        available = self.info.get("available")
        return n if available is None else min(n, available)

    def check_samples(self, n: int) -> None:
        """Raise `Damaged` unless at least `n` samples, or all that can exist, are present and unchanged."""
        if self.info["n_samples"] < self.available(n):
            raise Damaged(self.directory, f"{self.info['n_samples']} samples, the experiment wants {n}")
        for name, digest in self.info["samples"].items():
            check_sha256(self.directory / name, digest)


def reason_to_train(directory: Path, expected: dict[str, Any]) -> str:
    """Empty if the folder holds a trained replicate with these entries in `run.json`; else why it must be trained."""
    if not (directory / RUN).is_file():
        return "not trained yet"
    try:
        run = Replicate(directory)
        run.check_states()
    except Damaged as error:
        return str(error)
    changed = [key.replace("_", " ") for key, value in expected.items() if run.info.get(key) != value]
    return f"{changed[0]} changed" if changed else ""


def write_samples(directory: Path, samples: dict[str, dict[str, np.ndarray]]) -> dict[str, str]:
    """Write samples by checkpoint and output; SHA-256 by file name."""
    digests = {}
    for checkpoint, outputs in samples.items():
        for output, array in outputs.items():
            path = directory / str(SampleFile(checkpoint, output))
            write_array(path, array)
            digests[path.name] = sha256_of(path)
    return digests


def write_info(directory: Path, info: dict[str, Any]) -> None:
    """Write `run.json`, with a digest of all that can be measured."""
    content = [info["checkpoints"], info["samples"], info["status"]]
    write_sealed(directory / RUN, info | {"digest": sha256_of(canonical_json(content).encode())})


def write_replicate(
    directory: Path, fit: TrainingResult, samples: dict[str, dict[str, np.ndarray]], info: dict[str, Any]
) -> None:
    """Write a replicate; measurements of an older one in the same folder are deleted."""
    # first delete the file that marks the replicate as complete: the process may be killed at any moment
    (directory / RUN).unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    states = {name: write_state(directory / state_file(name), state) for name, state in fit.checkpoints.items()}
    write_curves(directory / "curves.csv", fit.curves)
    kept = ("status", "reason", "steps", "examples", "parameters", "best_step", "available")
    result = {key: getattr(fit, key) for key in kept}
    write_info(directory, info | result | {"checkpoints": states, "samples": write_samples(directory, samples)})
