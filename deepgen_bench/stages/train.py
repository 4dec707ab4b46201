"""Train and sample a block of replicates. Opens the training and validation splits, never the test split."""

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from deepgen_bench.datasets.user.files import source_digest
from deepgen_bench.experiment.identity import stage_identity
from deepgen_bench.experiment.store import Store
from deepgen_bench.models.base import GenerativeModel, Streams, TrainingData
from deepgen_bench.models.replicate import (
    Replicate,
    make_model,
    reason_to_train,
    write_info,
    write_replicate,
    write_samples,
)
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
from deepgen_bench.training.checkpoint import Checkpointer
from deepgen_bench.training.result import State


def train_block(store: Store, dataset: str, model: str, block: int) -> None:
    """Train the replicates of a block that are not in the store yet, then write the block's manifest.

    A replicate is in the store as soon as it is trained, and only one job at a time works on it. One with fewer samples
    than the experiment wants (none yet, or those of another experiment) is sampled, not trained again.
    """
    seeds = store.blocks()[block]
    with ExitStack() as locks:
        # in the order of the seeds, so that no two jobs wait for each other
        for seed in seeds:
            locks.enter_context(store.locked(store.run_dir(dataset, model, seed)))
        job = TrainingJob(store, dataset, model, block)
        job.train(seeds)
        replicates = {seed: Replicate(store.run_dir(dataset, model, seed)) for seed in seeds}
        for replicate in replicates.values():
            job.sample(replicate)
        # left by this job when it was killed earlier
        job.checkpoint.unlink(missing_ok=True)
        remove_parts(job.checkpoint.parent, job.checkpoint.name)
    entries = [
        {"seed": seed, "run": store.run_id(dataset, model, seed)}
        | {key: replicate.info[key] for key in ("status", "digest", "n_samples")}
        for seed, replicate in replicates.items()
    ]
    # all that later jobs depend on
    content = {"replicates": entries, "samples": store.experiment.samples, "data": job.prepared.digest}
    store.write_manifest(store.manifest(dataset, model, block), content)


class TrainingJob:
    """Training and sampling of a block of replicates of one (dataset, model) pair."""

    def __init__(self, store: Store, dataset: str, model: str, block: int):
        self.store, self.dataset, self.model = store, dataset, model
        experiment = self.experiment = store.experiment
        self.prepared = open_data(store, dataset)
        self.spec = experiment.model_spec(model)
        self.settings = experiment.model_settings(model, dataset)
        self.streams = Streams(experiment.base_seed, dataset, model)
        self.checkpoint = store.checkpoint(dataset, model, block)
        self.expected = {"data_digest": self.prepared.digest, "code": store.model_code(model)}
        # the data may have been prepared before the experiment had this model
        check_contents(experiment, dataset, model, self.prepared.spec, self.prepared.sizes["test"])

    @cached_property
    def device(self) -> str:
        # opened once, because it takes a GPU; classical models need none, nor torch
        return open_device(self.experiment.device) if self.spec.uses_device else "cpu"

    def make(self) -> GenerativeModel:
        return make_model(self.experiment.models[self.model].name, self.settings, self.prepared.spec, self.device)

    def train(self, seeds: list[int]) -> None:
        """Train the replicates that the store lacks or that are out of date, and write their folders without samples.
        What a killed job has begun is resumed."""
        expected = {seed: self.expected | self.sources(seed) for seed in seeds}
        reasons = {
            seed: reason_to_train(self.store.run_dir(self.dataset, self.model, seed), expected[seed]) for seed in seeds
        }
        for seed, reason in reasons.items():
            if reason:
                print(f"{self.dataset}/{self.model} seed {seed}: {reason}", file=sys.stderr)
        if missing := [seed for seed in seeds if reasons[seed]]:
            data, model = TrainingData(self.prepared.split("train"), self.prepared.split("validation")), self.make()
            for group in model.groups(missing):
                self.train_group(model, data, {seed: expected[seed] for seed in group})

    def sources(self, seed: int) -> dict[str, list[str]]:
        """Digests of the user's own files that a replicate consists of; empty for a model that is trained."""
        paths = self.settings.sources(seed)
        return {} if paths is None else {"sources": list(map(source_digest, paths))}

    def train_group(self, model: GenerativeModel, data: TrainingData, expected: dict[int, dict[str, Any]]) -> None:
        """Train the replicates with the seeds in `expected` together, and write the folder of each."""
        seeds = list(expected)
        budget = self.experiment.datasets[self.dataset].budget
        common: dict[str, Any] = self.expected | {
            "identity": self.store.run_identity(self.dataset, self.model),
            "platform": platform_key(self.device),
        }
        resumes_with = common | {"format": stage_identity("checkpoint")}
        checkpointer = model.checkpointer = Checkpointer(
            self.checkpoint, resumes_with, self.experiment.checkpoint_seconds
        )
        label = f"{self.dataset}/{self.model} seeds {seeds}"
        costly = self.costly_settings(seeds)
        with (
            Progress(label) as progress,
            suggest_on_out_of_memory(costly, label),
            nondeterministic_operations() as operations,
        ):
            results = model.fit(data, seeds, self.streams, budget, progress)
        common |= {
            "spec": self.prepared.spec.to_json(),
            "n_samples": 0,
            # replicates of a block are trained together: time and memory are the block's
            "block": seeds,
            "block_seconds": round(checkpointer.elapsed, 3),
            "block_peak_memory_mb": peak_memory_mb(self.device),
            "resumed_at": checkpointer.resumed_at,
            "scheduler_job": scheduler_job(),
            "determinism": determinism_flags(),
            "nondeterministic_operations": operations,
            "git": git_state(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        for seed, result in zip(seeds, results, strict=True):
            info = common | expected[seed] | {"seed": seed}
            write_replicate(self.store.run_dir(self.dataset, self.model, seed), result, {}, info)
            if result.status != "ok":
                print(f"{self.dataset}/{self.model} seed {seed}: {result.status}, {result.reason}", file=sys.stderr)
        self.checkpoint.unlink(missing_ok=True)

    def costly_settings(self, seeds: list[int]) -> str:
        """The settings that decide how much memory a training needs, with their present values."""
        values = [f"{name} ({getattr(self.settings, name)})" for name in self.settings.memory_settings()]
        settings = " or ".join(values) or "the settings"
        together = f", or seeds_per_job ({self.experiment.seeds_per_job})" if len(seeds) > 1 else ""
        return f"{settings} of {self.model} on {self.dataset}{together}"

    def sample(self, replicate: Replicate) -> None:
        """Draw as many samples of a trained replicate as this experiment wants, unless they are there."""
        remove_parts(replicate.directory)
        wanted = self.experiment.samples
        try:
            replicate.check_samples(wanted)
            return
        except Damaged as error:
            if replicate.info["n_samples"]:
                print(f"{error}; it is sampled again", file=sys.stderr)
        # by digest: the best checkpoint may be the final one
        states = {digest: replicate.state(checkpoint) for checkpoint, digest in replicate.info["checkpoints"].items()}
        if replicate.info["n_samples"]:
            # if the job is killed while writing, the replicate has no samples, instead of samples with wrong digests
            write_info(replicate.directory, replicate.info | {"n_samples": 0, "samples": {}})
        samples = self.draw(states, replicate.info["seed"])
        by_checkpoint = {name: samples[digest] for name, digest in replicate.info["checkpoints"].items() if samples}
        digests = write_samples(replicate.directory, by_checkpoint)
        n = replicate.available(wanted)
        if n < wanted:
            print(f"{replicate.directory}: {n} samples, the experiment wants {wanted}", file=sys.stderr)
        write_info(replicate.directory, replicate.info | {"n_samples": n, "samples": digests})
        replicate.info = Replicate(replicate.directory).info

    def draw(self, states: dict[str, State], seed: int) -> dict[str, dict[str, np.ndarray]]:
        """Samples by output of each of the states. More samples begin with the same ones as fewer."""
        if self.spec.role == "oracle":
            return {}
        samples = {}
        for name, state in states.items():
            replicate = self.make()
            replicate.load(state)
            samples[name] = replicate.sample(self.experiment.samples, self.streams.seed("sample", seed))
        return samples
