"""A block of replicates being measured: what the jobs of sample metrics and of likelihoods share."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from deepgen_bench.experiment.store import PROTOCOL_VERSION, Store, short_hash
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.runtime.memory import suggest_on_out_of_memory
from deepgen_bench.stages.prepare import open_data
from deepgen_bench.storage.files import (
    Damaged,
    check_sha256,
    read_arrays,
    read_sealed,
    sha256_of,
    write_arrays,
    write_sealed,
)
from deepgen_bench.storage.keys import CHECKPOINTS, Variant

Row = dict[str, Any]
Vectors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Measured:
    """Rows of the tidy table and the per-example values behind them, by name."""

    rows: list[Row]
    vectors: Vectors


class Block:
    """A block of replicates of one (dataset, model) pair."""

    def __init__(self, store: Store, dataset: str, model: str, block: int):
        self.store, self.dataset, self.model = store, dataset, model
        self.spec = store.experiment.model_spec(model)
        self.source = store.experiment.dataset(dataset)
        self.prepared = open_data(store, dataset)
        self.seeds = store.blocks()[block]

    def replicates(self) -> Iterator[Replicate]:
        """The replicates, each read under its lock: another experiment may be drawing more samples of it.

        Errors: `Damaged` if one is missing, altered or trained on other data.
        """
        for seed in self.seeds:
            directory = self.store.run_dir(self.dataset, self.model, seed)
            with self.store.locked(directory):
                replicate = Replicate(directory)
                if replicate.info["data_digest"] != self.prepared.digest:
                    raise Damaged(directory, "trained on other data")
                replicate.load(self.store.experiment.samples)
            yield replicate

    def rows(self, replicate: Replicate, checkpoint: str, measurements: list[Measurement]) -> list[Row]:
        """Measurements as rows of the tidy table."""
        common = {
            "experiment": self.store.experiment.name,
            "dataset": self.dataset,
            "model": self.model,
            "role": self.spec.role,
            "seed": replicate.info["seed"],
            "checkpoint": checkpoint,
            "device": replicate.info["platform"]["device"],
            "run_id": self.store.run_id(self.dataset, self.model, replicate.info["seed"]),
            "protocol_version": str(PROTOCOL_VERSION),
        }
        own = [{name: cell for name, cell in asdict(m).items() if name != "influence"} for m in measurements]
        return [row | {"variant": str(Variant.of(row["variant"])), "unit": row["unit"] or "1"} | common for row in own]

    def rows_without_value(self, replicate: Replicate, like: Measurement) -> list[Row]:
        """A row for each checkpoint that a replicate without samples, such as a diverged one, would have had."""
        status, reason = replicate.info["status"], replicate.info["reason"]
        missing = [replace(like, status=status, reason=reason)]
        return [row for checkpoint in CHECKPOINTS for row in self.rows(replicate, checkpoint, missing)]

    def cached(
        self,
        replicate: Replicate,
        name: str,
        identity: list[Any],
        depends_on: Any,
        costly_settings: str,
        measure: Callable[[], Measured],
    ) -> Measured:
        """What was measured earlier of a replicate under this identity, or is measured now and kept beside it.

        `depends_on` is what of the replicate is measured, as JSON data; `costly_settings` names the settings that
        decide how much memory it takes.
        """
        key = {"identity": identity, "run": depends_on, "protocol": PROTOCOL_VERSION}
        path = replicate.directory / "measurements" / f"{name}-{short_hash(key)}.json"
        arrays = path.with_suffix(".npz")
        try:
            content = read_sealed(path)
            if content["vectors"]:
                check_sha256(arrays, content["vectors"])
        except Damaged as error:
            if path.is_file():
                print(f"{error}; it is measured again", file=sys.stderr)
            with suggest_on_out_of_memory(costly_settings, f"{self.dataset}/{self.model} {name}"):
                measured = measure()
            if measured.vectors:
                write_arrays(arrays, measured.vectors)
            digest = sha256_of(arrays) if measured.vectors else ""
            content = key | {"rows": list(map(_as_json, measured.rows)), "vectors": digest}
            write_sealed(path, content)
        # replicates are shared by experiments, whose names differ
        rows = [row | {"experiment": self.store.experiment.name} for row in content["rows"]]
        return Measured(rows, read_arrays(arrays) if content["vectors"] else {})


def _as_json(row: Row) -> Row:
    """A row with infinite numbers, which JSON cannot hold, as text; the tidy table reads them as numbers."""
    return {name: str(v) if isinstance(v, float) and not isfinite(v) else v for name, v in row.items()}
