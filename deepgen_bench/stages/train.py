"""Train and sample a block of replicates. Opens the training and validation splits, never the test split."""

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from deepgen_bench.datasets.user.files import source_digest
from deepgen_bench.experiment.identity import code_identity
from deepgen_bench.experiment.store import Store
from deepgen_bench.models.base import GenerativeModel, Streams, TrainingData
from deepgen_bench.models.replicate import Run, current, make_model, seal, write_run, write_samples
from deepgen_bench.runtime.device import open_device
from deepgen_bench.runtime.memory import suggest_on_out_of_memory
from deepgen_bench.runtime.provenance import (
    determinism_flags,
    git_state,
    nondeterministic_operations,
    peak_memory_mb,
    platform_key,
    scheduler_job,
)
from deepgen_bench.stages.prepare import check_contents, open_data
from deepgen_bench.stages.progress import Progress
from deepgen_bench.storage.files import Damaged, remove_parts
from deepgen_bench.training.checkpoint import Keeper
from deepgen_bench.training.result import State


def train_block(store: Store, dataset: str, model: str, block: int) -> None:
    """Train the replicates of the block that are not in the store yet, then write the block's manifest.

    A replicate is in the store as soon as it is trained, and only one job at a time works on it. One with fewer samples
    than the experiment wants (none yet, or those of another experiment) is sampled, not trained again.
    """
    seeds = store.blocks()[block]
    with ExitStack() as locks:
        # in the order of the seeds, so that no two jobs wait for each other
        for seed in seeds:
            locks.enter_context(store.locked(store.run_dir(dataset, model, seed)))
        job = Job(store, dataset, model, block)
        job.train(seeds)
        runs = {seed: Run(store.run_dir(dataset, model, seed)) for seed in seeds}
        for run in runs.values():
            job.sample(run)
        # of this job, killed earlier
        job.checkpoint.unlink(missing_ok=True)
        remove_parts(job.checkpoint.parent, job.checkpoint.name)
    replicates = [
        {"seed": seed, "run": store.run_id(dataset, model, seed)}
        | {key: run.info[key] for key in ("status", "digest", "n_samples")}
        for seed, run in runs.items()
    ]
    # what is measured next depends on all of it
    measured = {"samples": store.experiment.samples, "data": job.prepared.digest}
    store.write_manifest(store.manifest(dataset, model, block), {"replicates": replicates} | measured)


class Job:
    """What training and sampling a block of replicates of one (dataset, model) pair share."""

    def __init__(self, store: Store, dataset: str, model: str, block: int):
        self.store, self.dataset, self.model = store, dataset, model
        experiment = self.experiment = store.experiment
        self.prepared = open_data(store, dataset)
        self.spec = experiment.model_spec(model)
        self.settings = experiment.model_settings(model, dataset)
        self.streams = Streams(experiment.base_seed, dataset, model)
        self.checkpoint = store.checkpoint(dataset, model, block)
        self.expected = {"data_digest": self.prepared.digest, "code": store.model_code(model)}
        # the data may have been prepared before there was this model
        check_contents(experiment, dataset, model, self.prepared.spec, self.prepared.sizes["test"])

    @cached_property
    def device(self) -> str:
        # opened once, for it takes a GPU; the classical models need no torch, so they open none
        return open_device(self.experiment.device) if self.spec.uses_device else "cpu"

    def make(self) -> GenerativeModel:
        name = self.experiment.models[self.model].model or self.model
        return make_model(name, self.settings, self.prepared.spec, self.device)

    def draw(self, states: dict[str, State], seed: int) -> dict[str, dict[str, np.ndarray]]:
        """Samples by output of each of the states; more samples begin with the same ones as fewer."""
        if self.spec.family == "oracle":
            return {}
        drawn = {}
        for name, state in states.items():
            replicate = self.make()
            replicate.load(state)
            drawn[name] = replicate.sample(self.experiment.samples, self.streams.seed("sample", seed))
        return drawn

    def train(self, seeds: list[int]) -> None:
        """Train those of the replicates that are not in the store as they should be, and write their folders, without
        samples; go on with what a killed job has begun."""
        expected = {seed: self.expected | self.sources(seed) for seed in seeds}
        reasons = {seed: current(self.store.run_dir(self.dataset, self.model, seed), expected[seed]) for seed in seeds}
        for seed, why in reasons.items():
            if why:
                print(f"{self.dataset}/{self.model} seed {seed}: {why}", file=sys.stderr)
        if missing := [seed for seed in seeds if reasons[seed]]:
            data, model = TrainingData(self.prepared.split("train"), self.prepared.split("validation")), self.make()
            for group in model.groups(missing):
                self.train_group(model, data, {seed: expected[seed] for seed in group})

    def sources(self, seed: int) -> dict[str, list[str]]:
        """The content of the user's own files that the replicate is made of, for a model that is made of such."""
        paths = self.settings.sources(seed)
        return {} if paths is None else {"sources": list(map(source_digest, paths))}

    def train_group(self, model: GenerativeModel, data: TrainingData, expected: dict[int, dict[str, Any]]) -> None:
        """Train the replicates whose seeds these are together and write each one's folder."""
        seeds = list(expected)
        budget = self.experiment.datasets[self.dataset].budget
        common: dict[str, Any] = self.expected | {
            "identity": self.store.run_identity(self.dataset, self.model),
            "platform": platform_key(self.device),
        }
        fits_to = common | {"format": code_identity("deepgen_bench.training.checkpoint")}
        keeper = model.keeper = Keeper(self.checkpoint, fits_to, self.experiment.checkpoint_seconds)
        what = f"{self.dataset}/{self.model} seeds {seeds}"
        costly = self.costly_settings(model.settings, seeds)
        with (
            Progress(what) as progress,
            suggest_on_out_of_memory(costly, what),
            nondeterministic_operations() as operations,
        ):
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
            "determinism": determinism_flags(),
            "nondeterministic_operations": operations,
            "git": git_state(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        for seed, fit in zip(seeds, fits, strict=True):
            info = common | expected[seed] | {"seed": seed}
            write_run(self.store.run_dir(self.dataset, self.model, seed), fit, {}, info)
            if fit.status != "ok":
                print(f"{self.dataset}/{self.model} seed {seed}: {fit.status}, {fit.reason}", file=sys.stderr)
        self.checkpoint.unlink(missing_ok=True)

    def costly_settings(self, settings: Any, seeds: list[int]) -> str:
        """What decides how much memory a training needs, with its present values."""
        width = "channels" if getattr(settings, "network", "mlp") != "mlp" else "hidden"
        values = [f"{name} ({getattr(settings, name)})" for name in ("batch_size", width) if hasattr(settings, name)]
        found = " or ".join(values) or "the settings"
        together = f", or seeds_per_job ({self.experiment.seeds_per_job})" if len(seeds) > 1 else ""
        return f"{found} of {self.model} on {self.dataset}{together}"

    def sample(self, run: Run) -> None:
        """Have as many samples of a trained replicate as this experiment wants."""
        remove_parts(run.directory)
        try:
            run.check_samples(self.experiment.samples)
            return
        except Damaged as found:
            if run.info["n_samples"]:
                print(f"{found}; it is sampled anew", file=sys.stderr)
        # by digest: the best checkpoint may be the final one
        states = {digest: run.state(checkpoint) for checkpoint, digest in run.info["checkpoints"].items()}
        if run.info["n_samples"]:
            # killed while these are written, it is one without samples, and not one whose digests are wrong
            seal(run.directory, run.info | {"n_samples": 0, "samples": {}})
        drawn = self.draw(states, run.info["seed"])
        by_checkpoint = {name: drawn[digest] for name, digest in run.info["checkpoints"].items() if drawn}
        samples = write_samples(run.directory, by_checkpoint)
        n = run.most(self.experiment.samples)
        if n < self.experiment.samples:
            print(f"{run.directory}: {n} samples, the experiment wants {self.experiment.samples}", file=sys.stderr)
        seal(run.directory, run.info | {"n_samples": n, "samples": samples})
        run.info = Run(run.directory).info
