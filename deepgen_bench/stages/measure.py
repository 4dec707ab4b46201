"""Measure the samples of a block of replicates. Opens the test split.

Measurements are kept beside the replicate, so that a new seed or metric family costs only what is new.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from deepgen_bench.experiment.identity import code_identity
from deepgen_bench.experiment.store import Store
from deepgen_bench.metrics.context import Context, Extractor, Modes
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.models.oracle import oracle_pair
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.plugins import METRICS
from deepgen_bench.runtime.device import open_device
from deepgen_bench.runtime.seeds import derive_rng
from deepgen_bench.stages.block import Block, Measured, Row, Vectors
from deepgen_bench.stages.extractor import load_extractors
from deepgen_bench.stages.prepare import open_data
from deepgen_bench.stages.progress import Progress
from deepgen_bench.storage.keys import FINAL, OUTPUT, InfluenceName, SampleFile, Variant, VectorName
from deepgen_bench.storage.measured import write_measured


def measure_samples(store: Store, dataset: str, model: str, block_number: int) -> None:
    """Apply all families of sample metrics to all replicates of a block."""
    block = Block(store, dataset, model, block_number)
    # only feature networks need a device, and only images have any
    device = open_device(store.experiment.device) if block.prepared.spec.levels else "cpu"
    extractors = load_extractors(store, dataset, device)
    context = sample_context(store, dataset, extractors)
    if block.spec.role == "oracle" and block.source.exact_sampler is None:
        # the oracle's samples and the data they are compared with come from the validation and test splits
        context = replace(context, validation=context.train[len(context.train) // 2 :])
    test = block.prepared.split("test")
    families = {}
    for name in store.experiment.metrics:
        settings = store.experiment.metric_settings(name, dataset)
        families[name] = METRICS[name](settings)
    rows: dict[str, list[Row]] = {name: [] for name in families}
    missing: list[Row] = []
    influences: Vectors = {}
    with Progress(f"{dataset}/{model} sample metrics") as progress:
        for done, replicate in enumerate(block.replicates(), 1):
            if replicate.info["status"] != "ok":
                missing += block.rows_without_value(replicate, Measurement("frechet_distance", None, direction="min"))
                continue
            run_id = store.run_id(dataset, model, replicate.info["seed"])
            for name, family in families.items():
                of_family = measure_family(block, replicate, name, family, test, context)
                rows[name] += of_family.rows
                influences |= {VectorName.of_run(key, run_id): vector for key, vector in of_family.vectors.items()}
            progress(done, len(block.seeds), f"seed {replicate.info['seed']}")
    measured = [row for family_rows in rows.values() for row in family_rows]
    write_measured(store.measurements(dataset, model, block_number, "sample"), measured + missing, influences)


def measure_family(
    block: Block, replicate: Replicate, name: str, family: Any, test: np.ndarray, context: Context
) -> Measured:
    """Rows of one family of metrics for all samples of a replicate, and the influences of the test examples on them."""
    settings, experiment = family.settings, block.store.experiment

    def measure() -> Measured:
        rows: list[Row] = []
        influences: Vectors = {}
        # by digest of the samples: the best checkpoint may be the final one
        known: dict[str | None, list[Measurement]] = {}
        for checkpoint, output, real, generated in sample_pairs(block, replicate, test):
            digest = replicate.info["samples"].get(str(SampleFile(checkpoint, output)))
            if digest not in known:
                known[digest] = family.measure(real, generated, context)
            measurements = known[digest]
            if output:
                measurements = [replace(m, variant=m.variant | {OUTPUT: output}) for m in measurements]
            rows += block.rows(replicate, checkpoint, measurements)
            influences |= dict(influences_of(measurements, checkpoint) if real is test else ())
        return Measured(rows, influences)

    identity = [settings.identity(), code_identity(type(family).__module__), extractor_identities(context.extractors)]
    identity += [block.prepared.digest, experiment.samples]
    costly = f"metrics.{name}.n" if "n" in type(settings).model_fields else "samples"
    return block.cached(replicate, name, identity, replicate.info["digest"], costly, measure)


def influences_of(measurements: list[Measurement], checkpoint: str) -> Iterator[tuple[str, np.ndarray]]:
    """The influences of the test examples, in single precision, by their name in a replicate's archive."""
    for m in measurements:
        if m.influence is not None and m.reference_split == "test":
            name = InfluenceName(m.metric, "", "test", str(Variant.of(m.variant)), m.n_real, m.n_generated)
            yield name.at(checkpoint), m.influence.astype(np.float32)


def sample_context(store: Store, dataset: str, extractors: dict[str, Extractor]) -> Context:
    """What families of sample metrics are told about a dataset."""
    prepared, source = open_data(store, dataset), store.experiment.dataset(dataset)
    known_modes = source.known_modes()
    modes = Modes(*known_modes) if known_modes else None
    train, validation = prepared.split("train"), prepared.split("validation")
    return Context(prepared.spec, store.experiment.base_seed, dataset, train, extractors, modes, validation)


def extractor_identities(extractors: dict[str, Extractor]) -> dict[str, list[str]]:
    """What features depend on: the weights, and the code that applies them."""
    return {name: [each.digest, code_identity(type(each).__module__)] for name, each in extractors.items()}


def sample_pairs(
    block: Block, replicate: Replicate, test: np.ndarray
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """(checkpoint, output, real, generated) for all samples of a replicate."""
    experiment = block.store.experiment
    if block.spec.role == "oracle":
        rng = derive_rng(experiment.base_seed, "sample", block.dataset, block.model, replicate.info["seed"])
        sampler = block.source.exact_sampler
        generated, real = oracle_pair(sampler, block.prepared.split("validation"), test, experiment.samples, rng)
        yield FINAL, "", real, generated
        return
    settings = experiment.model_settings(block.model, block.dataset)
    for checkpoint in replicate.checkpoints:
        for output in settings.outputs(block.prepared.spec.support):
            yield checkpoint, output, test, replicate.samples(checkpoint, output)[: experiment.samples]
