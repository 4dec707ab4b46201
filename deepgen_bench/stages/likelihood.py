"""Measure log-likelihoods of a block of replicates, exact or bounded as the model's family allows. Opens the test
split."""

from dataclasses import dataclass
from typing import Any

from deepgen_bench.experiment.identity import stage_identity
from deepgen_bench.experiment.store import Store
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.rows import Likelihoods
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.runtime.device import open_device
from deepgen_bench.stages.block import Block, Measured, Row, Vectors
from deepgen_bench.stages.progress import Progress
from deepgen_bench.storage.keys import FINAL, VectorName
from deepgen_bench.storage.measured import write_measured


def measure_likelihood(store: Store, dataset: str, model: str, block_number: int) -> None:
    """Measure log-likelihoods, or bounds to them, of all replicates of a block."""
    block = Block(store, dataset, model, block_number)
    job = LikelihoodJob.of(block)
    rows: list[Row] = []
    missing: list[Row] = []
    vectors: Vectors = {}
    with Progress(f"{dataset}/{model} likelihood") as progress:
        for done, replicate in enumerate(block.replicates(), 1):
            if replicate.info["status"] != "ok":
                missing += block.rows_without_value(replicate, Measurement("log_likelihood", None, direction="max"))
                continue
            measured = job.measure(replicate)
            rows += measured.rows
            run_id = store.run_id(dataset, model, replicate.info["seed"])
            vectors |= {VectorName.of_run(name, run_id): vector for name, vector in measured.vectors.items()}
            progress(done, len(block.seeds), f"seed {replicate.info['seed']}")
    write_measured(store.measurements(dataset, model, block_number, "likelihood"), rows + missing, vectors)


@dataclass(frozen=True)
class LikelihoodJob:
    """What the likelihoods of a block's replicates share."""

    block: Block
    held_out: HeldOut
    device: str

    @classmethod
    def of(cls, block: Block) -> "LikelihoodJob":
        experiment, prepared = block.store.experiment, block.prepared
        assert experiment.likelihood is not None
        test = prepared.split("test")[: experiment.likelihood.n]
        train, validation = prepared.split("train")[: len(test)], prepared.split("validation")
        held_out = HeldOut(test, prepared.spec, experiment.base_seed, block.dataset, train, validation)
        device = open_device(experiment.device) if block.spec.uses_device else "cpu"
        return cls(block, held_out, device)

    def measure(self, replicate: Replicate) -> Measured:
        """Measurements of a replicate and the per-example values behind them."""
        store, seed = self.block.store, replicate.info["seed"]
        assert store.experiment.likelihood is not None
        annealed = seed in store.experiment.annealed_seeds
        identity: list[Any] = [store.experiment.likelihood.identity(), stage_identity("likelihood")]
        # the data, and the code of their true density
        identity += [self.block.prepared.digest, store.data_identity(self.block.dataset)["code"], annealed]
        # of the parameters alone, because other samples may be drawn from them
        depends_on = replicate.info["checkpoints"]
        costly = "likelihood.k or likelihood.n"
        return self.block.cached(
            replicate, "likelihood", identity, depends_on, costly, lambda: self.measure_checkpoints(replicate, annealed)
        )

    def measure_checkpoints(self, replicate: Replicate, annealed: bool) -> Measured:
        from deepgen_bench.metrics.likelihood import by_family

        block = self.block
        settings = block.store.experiment.likelihood
        assert settings is not None
        rows: list[Row] = []
        vectors: Vectors = {}
        known: dict[str, Likelihoods] = {}
        for checkpoint, digest in replicate.info["checkpoints"].items():
            if digest not in known:
                model = None if block.spec.role == "oracle" else replicate.model(checkpoint, self.device)
                audit = annealed and digest == replicate.info["checkpoints"][FINAL]
                known[digest] = by_family.measure(model, self.held_out, settings, block.source.exact_density, audit)
            likelihoods = known[digest]
            rows += block.rows(replicate, checkpoint, likelihoods.measurements)
            vectors |= {VectorName.at_checkpoint(name, checkpoint): v for name, v in likelihoods.vectors.items()}
        return Measured(rows, vectors)
