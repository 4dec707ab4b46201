"""Measure a block of replicates: sample metrics in one job, likelihoods in another. The stage that opens the test
split.

What was measured is kept beside the replicate, so that a new seed or metric family costs only what is new.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import wraps
from math import isfinite
from typing import Any

import numpy as np

from deepgen_bench.datasets.base import SyntheticDataset
from deepgen_bench.datasets.synthetic import GaussianMixture
from deepgen_bench.experiment.identity import code_identity
from deepgen_bench.experiment.store import PROTOCOL_VERSION, Store, short_hash
from deepgen_bench.metrics.context import Context, Extractor, Modes
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.likelihood_rows import Likelihoods
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.models.oracle import oracle_pair
from deepgen_bench.models.replicate import Run
from deepgen_bench.plugins import METRICS
from deepgen_bench.runtime.device import open_device
from deepgen_bench.runtime.memory import suggest_on_out_of_memory
from deepgen_bench.runtime.seeds import derive_rng
from deepgen_bench.stages.extractor import load_extractors
from deepgen_bench.stages.prepare import open_data
from deepgen_bench.stages.progress import Progress
from deepgen_bench.stages.train import train_block
from deepgen_bench.storage.damage import or_anew
from deepgen_bench.storage.files import (
    Damaged,
    check_sha256,
    read_arrays,
    read_sealed,
    sha256_of,
    write_arrays,
    write_sealed,
)
from deepgen_bench.storage.keys import SampleFile, Variant, VectorName
from deepgen_bench.storage.measured import write_measured

Stage = Callable[[Store, str, str, int], None]
Row = dict[str, Any]
Vectors = dict[str, np.ndarray]


class Block:
    """A block of replicates being measured: what the sample and the likelihood stage share."""

    def __init__(self, store: Store, dataset: str, model: str, block: int):
        self.store, self.dataset, self.model, self.block = store, dataset, model, block
        self.family = store.experiment.model_spec(model).family
        self.prepared = open_data(store, dataset)
        self.made = store.experiment.dataset(dataset)
        self.runs = or_anew(self.whole_runs, lambda: train_block(store, dataset, model, block))

    def whole_runs(self) -> dict[int, Run]:
        """The block's replicates by seed. Errors: `Damaged` if one is not finished, or not as it was written."""
        seeds = self.store.blocks()[self.block]
        runs = {seed: Run(self.store.run_dir(self.dataset, self.model, seed)) for seed in seeds}
        for run in runs.values():
            if run.info["data_digest"] != self.prepared.digest:
                raise Damaged(f"{run.directory}: trained on other data")
            run.check_states()
            run.check_samples(self.store.experiment.samples)
        return runs

    def rows(self, run: Run, checkpoint: str, measurements: list[Measurement]) -> list[Row]:
        """Measurements as rows of the tidy table."""
        common = {
            "experiment": self.store.experiment.name,
            "dataset": self.dataset,
            "model": self.model,
            "role": self.store.experiment.model_spec(self.model).role,
            "seed": run.info["seed"],
            "checkpoint": checkpoint,
            "device": run.info["platform"]["device"],
            "run_id": self.store.run_id(self.dataset, self.model, run.info["seed"]),
            "protocol_version": str(PROTOCOL_VERSION),
        }
        return [
            asdict(m) | {"variant": str(Variant.of(m.variant)), "unit": m.unit or "1"} | common for m in measurements
        ]

    def cached(
        self, run: Run, name: str, identity: Any, costly: str, measure: Callable[[], tuple[list[Row], Vectors]]
    ) -> tuple[list[Row], Vectors]:
        """The rows and per-example values measured earlier under this identity, or measured now.

        `costly` names the settings that decide how much memory it takes.
        """
        # likelihoods are of the parameters, of which other samples may be drawn
        measured = run.info["checkpoints"] if name == "likelihood" else run.info["digest"]
        identity = {"identity": identity, "run": measured, "protocol": PROTOCOL_VERSION}
        path = run.directory / "measurements" / f"{name}-{short_hash(identity)}.json"
        arrays = path.with_suffix(".npz")

        def make() -> None:
            with suggest_on_out_of_memory(costly, f"{self.dataset}/{self.model} {name}"):
                rows, vectors = measure()
            if vectors:
                write_arrays(arrays, vectors)
            write_sealed(
                path, identity | {"rows": list(map(plain, rows)), "vectors": sha256_of(arrays) if vectors else ""}
            )

        def read() -> tuple[list[Row], Vectors]:
            kept = read_sealed(path)
            if kept["vectors"]:
                check_sha256(arrays, kept["vectors"])
            # labels of the experiment are its own
            rows = [row | {"experiment": self.store.experiment.name} for row in kept["rows"]]
            return rows, read_arrays(arrays) if kept["vectors"] else {}

        if not path.is_file():
            make()
        return or_anew(read, make)


def plain(row: Row) -> Row:
    """A row that JSON can hold: infinite numbers as text, which the tidy table reads as numbers."""
    return {name: str(v) if isinstance(v, float) and not isfinite(v) else v for name, v in row.items()}


def again(stage: Stage) -> Stage:
    """The stage, and once more where what it reads changes under it, as another experiment draws more samples, say."""

    @wraps(stage)
    def repeated(store: Store, dataset: str, model: str, block: int) -> None:
        or_anew(lambda: stage(store, dataset, model, block), lambda: None)

    return repeated


@again
def measure_samples(store: Store, dataset: str, model: str, block: int) -> None:
    """All families of sample metrics on all replicates of the block."""
    todo = Block(store, dataset, model, block)
    # feature networks alone need a device, and those only for images
    device = open_device(store.experiment.device) if todo.prepared.spec.levels else "cpu"
    extractors = load_extractors(store, dataset, device)
    context = sample_context(store, dataset, extractors)
    if todo.family == "oracle" and not isinstance(todo.made, SyntheticDataset):
        # its samples and what they are held against are made of validation and test data
        context = replace(context, validation=context.train[len(context.train) // 2 :])
    test = todo.prepared.split("test")
    rows: list[Row] = []
    with Progress(f"{dataset}/{model} sample metrics") as progress:
        for name in store.experiment.metrics:
            settings = store.experiment.metric_settings(name, dataset)
            family = METRICS[name](settings)
            identity = [settings.identity(), code_identity(type(family).__module__), digests(extractors)]
            identity += [todo.prepared.digest, store.experiment.samples]
            for done, run in enumerate(todo.runs.values(), 1):

                def measure(run: Run = run, family: Any = family) -> tuple[list[Row], Vectors]:
                    found: list[Row] = []
                    # the best checkpoint may be the final one
                    known: dict[str | None, list[Measurement]] = {}
                    for checkpoint, output, real, generated in pairs(todo, run, test):
                        digest = run.info["samples"].get(str(SampleFile(checkpoint, output)))
                        if digest not in known:
                            known[digest] = family.measure(real, generated, context)
                        measured = known[digest]
                        if output:
                            measured = [replace(m, variant=m.variant | {"output": output}) for m in measured]
                        found += todo.rows(run, checkpoint, measured)
                    return found, {}

                if run.info["status"] == "ok":
                    costly = f"metrics.{name}.n" if "n" in type(settings).model_fields else "samples"
                    rows += todo.cached(run, name, identity, costly, measure)[0]
                progress(done, len(todo.runs), name)
    rows += diverged_rows(todo, Measurement("frechet_distance", None, direction="min"))
    write_measured(store.measurements(dataset, model, block, "sample"), rows)


def sample_context(store: Store, dataset: str, extractors: dict[str, Extractor]) -> Context:
    """What the families of sample metrics are told about a dataset."""
    prepared, made = open_data(store, dataset), store.experiment.dataset(dataset)
    modes = Modes(made.modes, made.sd) if isinstance(made, GaussianMixture) else None
    train, validation = prepared.split("train"), prepared.split("validation")
    return Context(prepared.spec, store.experiment.base_seed, dataset, train, extractors, modes, validation)


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
    settings = todo.store.experiment.model_settings(todo.model, todo.dataset)
    for checkpoint in run.checkpoints:
        for output in settings.outputs(todo.prepared.spec.support):
            yield checkpoint, output, test, run.samples(checkpoint, output)[: todo.store.experiment.samples]


def diverged_rows(todo: Block, like: Measurement) -> list[Row]:
    """A row without a value for each checkpoint that a replicate without samples (it diverged, say) would have had."""
    return [
        row
        for run in todo.runs.values()
        if run.info["status"] != "ok"
        for checkpoint in ("final", "best")
        for row in todo.rows(run, checkpoint, [replace(like, status=run.info["status"], reason=run.info["reason"])])
    ]


@again
def measure_likelihood(store: Store, dataset: str, model: str, block: int) -> None:
    """Log-likelihoods, or bounds to them, as the model's family allows."""
    from deepgen_bench.metrics.likelihood import model_likelihood

    todo = Block(store, dataset, model, block)
    settings = store.experiment.likelihood
    assert settings is not None
    uses_device = store.experiment.model_spec(model).uses_device
    device = open_device(store.experiment.device) if uses_device else "cpu"
    density = todo.made.log_prob if isinstance(todo.made, SyntheticDataset) else None
    test = todo.prepared.split("test")[: settings.n]
    train = todo.prepared.split("train")[: len(test)]
    validation = todo.prepared.split("validation")
    held_out = HeldOut(test, todo.prepared.spec, store.experiment.base_seed, dataset, train, validation)
    identity = [settings.identity(), code_identity(model_likelihood.__name__), todo.prepared.digest]
    identity += [store.data_identity(dataset)["code"]]  # the true density's
    rows: list[Row] = []
    vectors: Vectors = {}
    annealed = store.experiment.annealed_seeds
    with Progress(f"{dataset}/{model} likelihood") as progress:
        for done, run in enumerate(todo.runs.values(), 1):

            def measure(run: Run = run) -> tuple[list[Row], Vectors]:
                found: list[Row] = []
                kept: Vectors = {}
                known: dict[str, Likelihoods] = {}
                for checkpoint, digest in run.info["checkpoints"].items():
                    if digest not in known:
                        generative = None if todo.family == "oracle" else run.model(checkpoint, device)
                        audited = run.info["seed"] in annealed and digest == run.info["checkpoints"]["final"]
                        known[digest] = model_likelihood.measure(
                            generative, todo.family, held_out, settings, density, audited
                        )
                    measured = known[digest]
                    kept |= {f"{name}_{checkpoint}": vector for name, vector in measured.vectors.items()}
                    found += todo.rows(run, checkpoint, measured.measurements)
                return found, kept

            if run.info["status"] == "ok":
                costly = "likelihood.k or likelihood.n"
                of_run = [*identity, run.info["seed"] in annealed]
                measured, values = todo.cached(run, "likelihood", of_run, costly, measure)
                rows += measured
                run_id = store.run_id(dataset, model, run.info["seed"])
                vectors |= {VectorName.of_run(name, run_id): vector for name, vector in values.items()}
            progress(done, len(todo.runs), "")
    rows += diverged_rows(todo, Measurement("log_likelihood", None, direction="max"))
    write_measured(store.measurements(dataset, model, block, "likelihood"), rows, vectors)


STAGES = {"sample": measure_samples, "likelihood": measure_likelihood}
