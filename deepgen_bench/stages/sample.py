"""Sample a trained replicate into a picture or an array."""

from pathlib import Path

import numpy as np

from deepgen_bench.models.replicate import Replicate
from deepgen_bench.report.figures.pictures import sheet, square
from deepgen_bench.runtime.device import open_device
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import write_array, write_atomic, write_bytes


def sample_run(directory: Path, n: int, output: Path, checkpoint: str, seed: int, draw: bool) -> str:
    """Draw `n` samples of the replicate in `directory`, write them to `output`, and return a line that describes it.
    Errors: `UserError`."""
    if output.suffix not in (".png", ".npy"):
        raise UserError(f"--output: {output}; valid: a name that ends in .png or .npy")
    run = Replicate(directory)
    samples = run.model(checkpoint, open_device("auto")).sample(n, seed)
    kind = "draw" if draw and "draw" in samples else list(samples)[-1]
    x = samples[kind]
    if output.suffix == ".npy":
        write_array(output, x)
    elif run.spec.levels is not None:
        write_bytes(output, sheet(square(x), run.spec.levels))
    else:
        write_atomic(output, lambda file: scatter(x, file))
    return f"{output}: {len(x)} samples of {directory}, checkpoint {checkpoint}" + (f", {kind}" if kind else "")


def scatter(x: np.ndarray, file) -> None:  # type: ignore[no-untyped-def]
    """Vectors as a histogram (1-D) or a scatter plot of the first two coordinates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    if x.shape[1] == 1:
        axes.hist(x[:, 0], bins="auto", density=True)
    else:
        axes.scatter(x[:, 0], x[:, 1], s=4)
        axes.set_aspect("equal")
    figure.savefig(file, format="png", dpi=120)
