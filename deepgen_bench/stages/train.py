"""Train and sample a block of replicates. Opens the training and validation splits, never the test split."""

import sys
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.device import open_device
from deepgen_bench.files import remove_parts, write_json
from deepgen_bench.identity import code_identity
from deepgen_bench.models.base import GenerativeModel, Streams, TrainingData
from deepgen_bench.provenance import git_state, peak_memory_mb, platform_key, scheduler_job
from deepgen_bench.runs import Run, current, make_model, seal, write_run, write_samples
from deepgen_bench.stages.progress import Progress
from deepgen_bench.store import Store
from deepgen_bench.training.checkpoint import Keeper
from deepgen_bench.training.fit import State


def train_block(store: Store, dataset: str, model: str, block: int) -> None:
    """Train the replicates of the block that are not in the store yet, then write the block's manifest.

    A replicate is in the store as soon as it is trained. One with fewer samples than the experiment wants (none yet, or
    those of another experiment) is sampled, not trained again.
    """
    job = Job(store, dataset, model, block)
    seeds = store.blocks()[block]
    reasons = {seed: current(store.run_dir(dataset, model, seed), job.expected) for seed in seeds}
    for seed, why in reasons.items():
        if why:
            print(f"{dataset}/{model} seed {seed}: {why}", file=sys.stderr)
    job.train([seed for seed in seeds if reasons[seed]])
    runs = {seed: Run(store.run_dir(dataset, model, seed)) for seed in seeds}
    for run in runs.values():
        if run.info["n_samples"] < store.experiment.samples:
            job.sample(run)
    manifest = [
        {
            "seed": seed,
            "run": store.run_id(dataset, model, seed),
            "status": run.info["status"],
            "digest": run.info["digest"],
        }
        for seed, run in runs.items()
    ]
    path = store.manifest(dataset, model, block)
    write_json(path, manifest)
    # of this job, killed earlier
    job.checkpoint.unlink(missing_ok=True)
    for written in (job.checkpoint, path):
        remove_parts(written.parent, written.name)


class Job:
    """What training and sampling a block of replicates of one (dataset, model) pair share."""

    def __init__(self, store: Store, dataset: str, model: str, block: int):
        self.store, self.dataset, self.model = store, dataset, model
        experiment = self.experiment = store.experiment
        self.prepared = Prepared(store.data_dir(dataset))
        self.family = experiment.model_spec(model).family
        self.streams = Streams(experiment.base_seed, dataset, model)
        self.checkpoint = store.checkpoint(dataset, model, block)
        self.expected = {"data_digest": self.prepared.digest, "code": store.model_code(model)}

    @cached_property
    def device(self) -> str:
        # opened once, for it takes a GPU; the classical models need no torch, so they open none
        return open_device(self.experiment.device) if self.family in ("latent", "implicit") else "cpu"

    def make(self) -> GenerativeModel:
        name = self.experiment.models[self.model].model or self.model
        settings = self.experiment.model_settings(self.model, self.dataset)
        return make_model(name, settings, self.prepared.spec, self.device)

    def draw(self, states: dict[str, State], seed: int) -> dict[str, dict[str, np.ndarray]]:
        """Samples by checkpoint and output; more samples begin with the same ones as fewer."""
        if self.family == "oracle":
            return {}
        drawn = {}
        for checkpoint, state in states.items():
            replicate = self.make()
            replicate.load(state)
            drawn[checkpoint] = replicate.sample(self.experiment.samples, self.streams.seed("sample", seed))
        return drawn

    def train(self, seeds: list[int]) -> None:
        """Train these replicates and write their folders, without samples; go on with what a killed job has begun."""
        if seeds:
            data, model = TrainingData(self.prepared.split("train"), self.prepared.split("validation")), self.make()
            for group in model.groups(seeds):
                self.train_group(model, data, group)

    def train_group(self, model: GenerativeModel, data: TrainingData, seeds: list[int]) -> None:
        """Train these replicates together and write each one's folder."""
        budget = self.experiment.datasets[self.dataset].budget
        common: dict[str, Any] = self.expected | {
            "identity": self.store.run_identity(self.dataset, self.model),
            "platform": platform_key(self.device),
        }
        fits_to = common | {"format": code_identity("deepgen_bench.training.checkpoint")}
        keeper = model.keeper = Keeper(self.checkpoint, fits_to, self.experiment.checkpoint_seconds)
        with Progress(f"{self.dataset}/{self.model} seeds {seeds}") as progress:
            fits = model.fit(data, seeds, self.streams, budget, progress)
        common |= {
            "spec": self.prepared.spec.to_json(),
            "n_samples": 0,
            # replicates of a block are trained together: time and memory are the block's
            "block": seeds,
            "block_seconds": round(keeper.elapsed, 3),
            "block_peak_memory_mb": peak_memory_mb(self.device),
            "resumed_at": keeper.resumed_at,
            "scheduler_job": scheduler_job(),
            "git": git_state(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        for seed, fit in zip(seeds, fits, strict=True):
            write_run(self.store.run_dir(self.dataset, self.model, seed), fit, {}, common | {"seed": seed})
            if fit.status != "ok":
                print(f"{self.dataset}/{self.model} seed {seed}: {fit.status}, {fit.reason}", file=sys.stderr)
        self.checkpoint.unlink(missing_ok=True)

    def sample(self, run: Run) -> None:
        """Give a trained replicate as many samples as this experiment wants."""
        remove_parts(run.directory)
        states = {checkpoint: run.state(checkpoint) for checkpoint in run.checkpoints}
        if run.info["n_samples"]:
            # killed while these are written, it is one without samples, and not one whose digests are wrong
            seal(run.directory, run.info | {"n_samples": 0, "samples": {}})
        samples = write_samples(run.directory, self.draw(states, run.info["seed"]))
        seal(run.directory, run.info | {"n_samples": self.experiment.samples, "samples": samples})
        run.info = Run(run.directory).info
