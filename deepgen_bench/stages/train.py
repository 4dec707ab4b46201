"""Train and sample a block of replicates. Opens the training and validation splits, never the test split."""

import sys
import time
from datetime import UTC, datetime

from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.device import open_device
from deepgen_bench.files import write_json
from deepgen_bench.models.base import Streams, TrainingData
from deepgen_bench.provenance import git_state, peak_memory_mb, platform_key
from deepgen_bench.runs import Run, current, make_model, write_run
from deepgen_bench.stages.progress import Progress
from deepgen_bench.store import Store
from deepgen_bench.training.fit import Fit


def train_block(store: Store, dataset: str, model: str, block: int) -> None:
    """Train the replicates of the block that are not in the store yet, then write the block's manifest."""
    prepared = Prepared(store.data_dir(dataset))
    expected = {"data_digest": prepared.digest, "code": store.model_code(model), "requested": store.experiment.samples}
    seeds = store.blocks()[block]
    missing = []
    for seed in seeds:
        why = current(store.run_dir(dataset, model, seed), expected)
        if why:
            print(f"{dataset}/{model} seed {seed}: {why}", file=sys.stderr)
            missing.append(seed)
    if missing:
        train_missing(store, dataset, model, missing, prepared, expected)
    runs = {seed: Run(store.run_dir(dataset, model, seed)).info for seed in seeds}
    manifest = [
        {"seed": seed, "run": store.run_id(dataset, model, seed), "status": info["status"], "digest": info["digest"]}
        for seed, info in runs.items()
    ]
    write_json(store.manifest(dataset, model, block), manifest)


def train_missing(
    store: Store, dataset: str, model: str, seeds: list[int], prepared: Prepared, expected: dict[str, object]
) -> None:
    experiment = store.experiment
    spec, settings = experiment.model_spec(model), experiment.model_settings(model, dataset)
    # the classical models need no torch, so they open no device
    device = open_device(experiment.device) if spec.family in ("latent", "implicit") else "cpu"
    name = experiment.models[model].model or model
    data = TrainingData(prepared.split("train"), prepared.split("validation"))
    streams = Streams(experiment.base_seed, dataset, model)
    started = time.perf_counter()
    with Progress(f"{dataset}/{model} seeds {seeds}") as progress:
        trained = make_model(name, settings, prepared.spec, device)
        fits = trained.fit(data, seeds, streams, experiment.datasets[dataset].budget, progress)
    seconds = time.perf_counter() - started

    def draw(fit: Fit, seed: int) -> dict[str, dict]:
        if spec.family == "oracle":
            return {}
        drawn = {}
        for checkpoint, state in fit.checkpoints.items():
            replicate = make_model(name, settings, prepared.spec, device)
            replicate.load(state)
            drawn[checkpoint] = replicate.sample(experiment.samples, streams.seed("sample", seed))
        return drawn

    for seed, fit in zip(seeds, fits, strict=True):
        info = expected | {
            "identity": store.run_identity(dataset, model),
            "spec": prepared.spec.to_json(),
            "seed": seed,
            "block": seeds,
            # replicates of a block are trained together: time and memory are the block's
            "block_seconds": round(seconds, 3),
            "block_peak_memory_mb": peak_memory_mb(device),
            "platform": platform_key(device),
            "git": git_state(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_run(store.run_dir(dataset, model, seed), fit, draw(fit, seed), info)
        if fit.status != "ok":
            print(f"{dataset}/{model} seed {seed}: {fit.status}, {fit.reason}", file=sys.stderr)
