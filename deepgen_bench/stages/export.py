"""Write data in the benchmark's order, for training or evaluating a model elsewhere."""

from pathlib import Path

from deepgen_bench.experiment.store import Store
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.prepare import write_splits
from deepgen_bench.storage.files import write_array


def export_examples(store: Store, dataset: str, split: str, representation: str | None, output: Path) -> str:
    """Write a split as a `.npy` file and return a line that describes it; of `test` the examples whose likelihood is
    measured.

    As stored: uint8 grey levels (n, c, h, w) or float64 vectors (n, d). Test images also in a `representation`: float64
    (n, c·h·w) with the noise that every model is measured with. The data are prepared first if they are not there.
    Errors: `UserError`.
    """
    if output.suffix != ".npy":
        raise UserError(f"--output: {output}; valid: a name that ends in .npy")
    experiment = store.experiment
    # without the checks of models, whose files of samples may not exist yet
    prepared = write_splits(store, dataset)
    if representation and (split != "test" or prepared.spec.levels is None):
        raise UserError(f"--representation: {representation}; valid for test images only, not {dataset}, {split}")
    x = prepared.split(split)
    if split == "test" and experiment.likelihood:
        x = x[: experiment.likelihood.n]
    if representation:
        x = HeldOut(x, prepared.spec, experiment.base_seed, dataset).represent(representation)[1]
    write_array(output, x)
    return f"{output}: {x.dtype} {x.shape}, {dataset}, {split}, {representation or 'as stored'}"
