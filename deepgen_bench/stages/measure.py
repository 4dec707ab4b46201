"""Measure a block of replicates: sample metrics in one job, likelihoods in another. The stage that opens the test
split.

What was measured is kept beside the replicate, so that a new seed or metric family costs only what is new.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from deepgen_bench.datasets.base import SyntheticDataset
from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.datasets.synthetic import GaussianMixture
from deepgen_bench.device import open_device
from deepgen_bench.errors import UserError
from deepgen_bench.files import read_arrays, read_record, write_arrays, write_json
from deepgen_bench.identity import code_identity
from deepgen_bench.metrics import METRICS
from deepgen_bench.metrics.features import Context, Extractor, Modes
from deepgen_bench.metrics.measurement import Measurement, variant_text
from deepgen_bench.models.oracle import oracle_pair
from deepgen_bench.results import write_rows
from deepgen_bench.runs import Run
from deepgen_bench.seeds import derive_rng
from deepgen_bench.stages.extractor import load_extractors
from deepgen_bench.stages.progress import Progress
from deepgen_bench.store import PROTOCOL_VERSION, Store, short_hash

Row = dict[str, Any]


class Block:
    """A block of replicates being measured: what the sample and the likelihood stage share."""

    def __init__(self, store: Store, dataset: str, model: str, block: int):
        self.store, self.dataset, self.model, self.block = store, dataset, model, block
        self.family = store.experiment.model_spec(model).family
        self.prepared = Prepared(store.data_dir(dataset))
        self.made = store.experiment.dataset(dataset)
        self.runs = {seed: Run(store.run_dir(dataset, model, seed)) for seed in store.blocks()[block]}

    def rows(self, run: Run, checkpoint: str, measurements: list[Measurement]) -> list[Row]:
        """Measurements as rows of the tidy table."""
        common = {
            "experiment": self.store.experiment.name,
            "dataset": self.dataset,
            "model": self.model,
            "seed": run.info["seed"],
            "checkpoint": checkpoint,
            "device": run.info["platform"]["device"],
            "run_id": self.store.run_id(self.dataset, self.model, run.info["seed"]),
            "protocol_version": str(PROTOCOL_VERSION),
        }
        return [asdict(m) | {"variant": variant_text(m.variant), "unit": m.unit or "1"} | common for m in measurements]

    def cache(self, run: Run, name: str, identity: Any) -> tuple[Path, Any]:
        """The file that keeps what a stage measured of a replicate, and what its rows depend on."""
        identity = {"identity": identity, "run": run.info["digest"], "protocol": PROTOCOL_VERSION}
        return run.directory / "measurements" / f"{name}-{short_hash(identity)}.json", identity

    def cached(self, run: Run, name: str, identity: Any, measure: Callable[[], list[Row]]) -> list[Row]:
        """The rows measured earlier under this identity, or measured now. Labels of the experiment are not kept."""
        path, identity = self.cache(run, name, identity)
        if not path.is_file():
            write_json(path, identity | {"rows": [_plain(row) for row in measure()]})
        rows = read_record(path, {"rows": list})["rows"]
        if not all(isinstance(row, dict) for row in rows):
            raise UserError(f"{path}: its rows are no mappings; delete it to measure the replicate anew")
        return [row | {"experiment": self.store.experiment.name} for row in rows]


def _plain(row: Row) -> Row:
    """A row that JSON can hold: infinite numbers as text, which the tidy table reads as numbers."""
    return {name: str(v) if isinstance(v, float) and not isfinite(v) else v for name, v in row.items()}


def measure_samples(store: Store, dataset: str, model: str, block: int) -> None:
    """All families of sample metrics on all replicates of the block."""
    todo = Block(store, dataset, model, block)
    # feature networks alone need a device, and those only for images
    device = open_device(store.experiment.device) if todo.prepared.spec.levels else "cpu"
    extractors = load_extractors(store, dataset, device)
    context = Context(
        todo.prepared.spec,
        store.experiment.base_seed,
        dataset,
        todo.prepared.split("train"),
        extractors,
        Modes(todo.made.modes, todo.made.sd) if isinstance(todo.made, GaussianMixture) else None,
    )
    test = todo.prepared.split("test")
    rows: list[Row] = []
    with Progress(f"{dataset}/{model} sample metrics") as progress:
        for name in store.experiment.metrics:
            settings = store.experiment.metric_settings(name, dataset)
            family = METRICS[name](settings)
            identity = [settings.identity(), code_identity(type(family).__module__), digests(extractors)]
            identity += [todo.prepared.digest, store.experiment.samples]
            for done, run in enumerate(todo.runs.values(), 1):

                def measure(run: Run = run, family: Any = family) -> list[Row]:
                    found = []
                    for checkpoint, output, real, generated in pairs(todo, run, test):
                        measured = family.measure(real, generated, context)
                        if output:
                            measured = [replace(m, variant=m.variant | {"output": output}) for m in measured]
                        found += todo.rows(run, checkpoint, measured)
                    return found

                if run.info["status"] == "ok":
                    rows += todo.cached(run, name, identity, measure)
                progress(done, len(todo.runs), name)
    rows += diverged_rows(todo, Measurement("frechet_distance", None, direction="min"))
    write_rows(store.measurements(dataset, model, block, "sample"), rows)


def digests(extractors: dict[str, Extractor]) -> dict[str, list[str]]:
    """What features depend on: weights, and the code that feeds them."""
    return {name: [made.digest, code_identity(type(made).__module__)] for name, made in extractors.items()}


def pairs(todo: Block, run: Run, test: np.ndarray) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """(checkpoint, output, real, generated) for everything that a replicate has sampled."""
    if todo.family == "oracle":
        rng = derive_rng(todo.store.experiment.base_seed, "sample", todo.dataset, todo.model, run.info["seed"])
        exact = todo.made.sample if isinstance(todo.made, SyntheticDataset) else None
        n = todo.store.experiment.samples
        generated, real = oracle_pair(exact, todo.prepared.split("validation"), test, n, rng)
        yield "final", "", real, generated
        return
    if run.info["n_samples"] < todo.store.experiment.samples:
        found = f"{run.info['n_samples']} samples, the experiment wants {todo.store.experiment.samples}"
        raise UserError(f"{run.directory}: {found}; its train stage has not finished")
    settings = todo.store.experiment.model_settings(todo.model, todo.dataset)
    for checkpoint in run.checkpoints:
        for output in settings.outputs(todo.prepared.spec.support):
            yield checkpoint, output, test, run.samples(checkpoint, output)[: todo.store.experiment.samples]


def diverged_rows(todo: Block, like: Measurement) -> list[Row]:
    """A row without a value for each checkpoint that a diverged replicate would have had."""
    return [
        row
        for run in todo.runs.values()
        if run.info["status"] != "ok"
        for checkpoint in ("final", "best")
        for row in todo.rows(run, checkpoint, [replace(like, status=run.info["status"], reason=run.info["reason"])])
    ]


def measure_likelihood(store: Store, dataset: str, model: str, block: int) -> None:
    """Log-likelihoods, or bounds to them, as the model's family allows."""
    from deepgen_bench.metrics import model_likelihood

    todo = Block(store, dataset, model, block)
    settings = store.experiment.likelihood
    assert settings is not None
    device = open_device(store.experiment.device) if todo.family == "latent" else "cpu"
    density = todo.made.log_prob if isinstance(todo.made, SyntheticDataset) else None
    test = todo.prepared.split("test")[: settings.n]
    train = todo.prepared.split("train")[: len(test)]
    held_out = model_likelihood.HeldOut(test, todo.prepared.spec, store.experiment.base_seed, dataset, train)
    identity = [settings.identity(), code_identity(model_likelihood.__name__), todo.prepared.digest]
    identity += [store.data_identity(dataset)["code"]]  # the true density's
    rows: list[Row] = []
    vectors: dict[str, np.ndarray] = {}
    with Progress(f"{dataset}/{model} likelihood") as progress:
        for done, run in enumerate(todo.runs.values(), 1):
            values = todo.cache(run, "likelihood", identity)[0].with_suffix(".npz")

            def measure(run: Run = run, values: Path = values) -> list[Row]:
                found: list[Row] = []
                kept: dict[str, np.ndarray] = {}
                for checkpoint in run.checkpoints:
                    # loading a network that has no density would import torch for nothing
                    generative = run.model(checkpoint, device) if todo.family in ("tractable", "latent") else None
                    measured = model_likelihood.measure(generative, todo.family, held_out, settings.k, density)
                    kept |= {f"{name}_{checkpoint}": vector for name, vector in measured.vectors.items()}
                    found += todo.rows(run, checkpoint, measured.measurements)
                write_arrays(values, kept)
                return found

            if run.info["status"] == "ok":
                rows += todo.cached(run, "likelihood", identity, measure)
                run_id = store.run_id(dataset, model, run.info["seed"])
                vectors |= {f"{run_id}/{name}": vector for name, vector in read_arrays(values).items()}
            progress(done, len(todo.runs), "")
    rows += diverged_rows(todo, Measurement("log_likelihood", None, direction="max"))
    path = store.measurements(dataset, model, block, "likelihood")
    write_arrays(path.with_suffix(".npz"), vectors)
    write_rows(path, rows)
