"""Write the test examples whose likelihood an experiment measures, for a model elsewhere to evaluate."""

from pathlib import Path

from deepgen_bench.errors import UserError
from deepgen_bench.files import write_array
from deepgen_bench.metrics.held_out import HeldOut
from deepgen_bench.stages.prepare import open_data
from deepgen_bench.store import Store


def export_examples(store: Store, dataset: str, output: Path, representation: str | None) -> str:
    """Write them as a `.npy` file, in the benchmark's order, and say what was written.

    As stored: uint8 grey levels (n, c, h, w) or float64 vectors (n, d); in a `representation` of images: float64
    (n, c·h·w) with the very noise that every model is measured with.
    """
    if output.suffix != ".npy":
        raise UserError(f"--output: {output}; valid: a name that ends in .npy")
    experiment = store.experiment
    if experiment.likelihood is None:
        raise UserError("likelihood: null, so no test example has one; valid: an experiment with likelihoods")
    prepared = open_data(store, dataset)
    if representation and prepared.spec.levels is None:
        raise UserError(f"--representation: {representation}, of images; {dataset} holds vectors, which have but one")
    x = prepared.split("test")[: experiment.likelihood.n]
    if representation:
        x = HeldOut(x, prepared.spec, experiment.base_seed, dataset).represent(representation)[1]
    write_array(output, x)
    return (
        f"{output}: {x.dtype} {x.shape}, the first {len(x)} test examples of {dataset}, {representation or 'as stored'}"
    )
