"""One replicate on disk: states, samples, curves, and `run.json`, which is written last and says what the rest is."""

import csv
import io
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from deepgen_bench.config import named, validated
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.errors import UserError
from deepgen_bench.files import (
    canonical_json,
    read_array,
    read_record,
    sha256_of,
    write_array,
    write_atomic,
    write_json,
    write_text,
)
from deepgen_bench.models import MODELS
from deepgen_bench.models.base import GenerativeModel
from deepgen_bench.training.fit import Fit, State

RUN = "run.json"
FIELDS = {"identity": dict, "spec": dict, "platform": dict, "checkpoints": dict, "samples": dict, "n_samples": int}
FIELDS |= {"seed": int, "status": str, "reason": str, "digest": str}


def make_model(name: str, settings: Any, spec: DataSpec, device: str) -> GenerativeModel:
    """The registered model, ready to `fit` or `load`."""
    module, attribute = MODELS[name].implementation.split(":")
    return getattr(import_module(module), attribute)(settings, spec, device)


def write_state(path: Path, state: State) -> str:
    """Write one replicate's arrays as safetensors (never a pickle) and return their SHA-256."""
    from safetensors.numpy import save

    data = save({name: np.ascontiguousarray(array) for name, array in state.items()})

    write_atomic(path, lambda file: file.write(data))
    return sha256_of(data)


def write_curves(path: Path, rows: list[dict[str, float]]) -> None:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(path, text.getvalue())


def sample_file(checkpoint: str, output: str) -> str:
    return f"samples_{checkpoint}{'_' + output if output else ''}.npy"


class Run:
    """Reads a replicate's folder."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.info: dict[str, Any] = read_record(directory / RUN, FIELDS)

    @property
    def checkpoints(self) -> list[str]:
        return list(self.info["checkpoints"])

    @property
    def spec(self) -> DataSpec:
        try:
            return DataSpec.from_json(self.info["spec"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.directory / RUN}: spec: {error}; delete the folder to train it anew") from None

    def state(self, checkpoint: str) -> State:
        from safetensors.numpy import load

        if checkpoint not in self.info["checkpoints"]:
            valid = ", ".join(self.info["checkpoints"]) or f"none, the replicate {self.info['status']}"
            raise UserError(f"{self.directory}: no checkpoint {checkpoint!r}; valid: {valid}")
        path = self.directory / f"{checkpoint}.safetensors"
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        data = path.read_bytes()
        if sha256_of(data) != self.info["checkpoints"][checkpoint]:
            raise UserError(
                f"{path}: does not match its sha256 in {RUN}; delete the folder to train the replicate anew"
            )
        return load(data)

    def samples(self, checkpoint: str, output: str) -> np.ndarray:
        path = self.directory / sample_file(checkpoint, output)
        array = read_array(path)
        if sha256_of(path) != self.info["samples"].get(path.name):
            raise UserError(
                f"{path}: does not match its sha256 in {RUN}; delete the folder to train the replicate anew"
            )
        return array

    def model(self, checkpoint: str, device: str) -> GenerativeModel:
        """The replicate as it was at a checkpoint."""
        identity, where = self.info["identity"], f"{self.directory / RUN}: identity"
        name = str(identity.get("model"))
        cls = named(f"{where}.model", lambda: MODELS[name].settings)
        settings = validated(cls, identity.get("settings"), f"{where}.settings")
        model = make_model(name, settings, self.spec, device)
        model.load(self.state(checkpoint))
        return model


def current(directory: Path, expected: dict[str, Any]) -> str:
    """Empty if the folder holds a finished replicate with these entries in `run.json`; else why it must be trained."""
    if not (directory / RUN).is_file():
        return "not trained yet"
    info = read_record(directory / RUN, {})
    for key, value in expected.items():
        if info.get(key) != value:
            return f"{key.replace('_', ' ')} changed"
    for name in [*info["samples"], *(f"{checkpoint}.safetensors" for checkpoint in info["checkpoints"])]:
        if not (directory / name).is_file():
            return f"{name} is gone"
    return ""


def write_samples(directory: Path, samples: dict[str, dict[str, np.ndarray]]) -> dict[str, str]:
    """Write samples by checkpoint and output; SHA-256 by file name."""
    digests = {}
    for checkpoint, outputs in samples.items():
        for output, array in outputs.items():
            path = directory / sample_file(checkpoint, output)
            write_array(path, array)
            digests[path.name] = sha256_of(path)
    return digests


def seal(directory: Path, info: dict[str, Any]) -> None:
    """Write `run.json`, with a digest of all that can be measured."""
    content = [info["checkpoints"], info["samples"], info["status"]]
    write_json(directory / RUN, info | {"digest": sha256_of(canonical_json(content).encode())})


def write_run(directory: Path, fit: Fit, samples: dict[str, dict[str, np.ndarray]], info: dict[str, Any]) -> None:
    """Write a replicate anew; whatever was measured on an older one goes with it."""
    # first what says that the rest is whole: the process may be killed at any moment
    (directory / RUN).unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    states = {name: write_state(directory / f"{name}.safetensors", state) for name, state in fit.checkpoints.items()}
    write_curves(directory / "curves.csv", fit.curves)
    result = {key: getattr(fit, key) for key in ("status", "reason", "steps", "examples", "parameters", "best_step")}
    seal(directory, info | result | {"checkpoints": states, "samples": write_samples(directory, samples)})
