"""Write the data of a dataset's figures: for every model, from its replicate with the lowest seed."""

import csv
from math import isfinite
from typing import Any

import numpy as np

from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.experiment.store import Store
from deepgen_bench.models.base import GenerativeModel, HasLatentSpace, LatentVariable
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.runtime.seeds import derive_seed
from deepgen_bench.stages.block import Block
from deepgen_bench.stages.figure_densities import density, lattice, points
from deepgen_bench.stages.prepare import open_data
from deepgen_bench.stages.progress import Progress
from deepgen_bench.storage.figure_data import write_figure_data
from deepgen_bench.storage.keys import FINAL

# examples shown: images one by one, vectors as a scatter plot
IMAGES, VECTORS = 36, 1000

Arrays = dict[str, np.ndarray]


def write_figures(store: Store, dataset: str) -> None:
    """Write the figure data of a dataset and of all models on it."""
    prepared, source = open_data(store, dataset), store.experiment.dataset(dataset)
    test = prepared.split("test")
    arrays: Arrays = {"real": shown(test)}
    # densities are drawn in one or two dimensions
    axes = lattice(test) if prepared.spec.levels is None and prepared.spec.dim <= 2 else []
    arrays |= {f"axis_{i}": axis for i, axis in enumerate(axes)}
    if axes and source.exact_density:
        arrays["truth"] = np.exp(source.exact_density(points(axes))).reshape([len(axis) for axis in axes])
    models: dict[str, Any] = {}
    with Progress(f"{dataset} figures") as progress:
        for done, model in enumerate(store.experiment.models, 1):
            replicates = read_replicates(store, dataset, model)
            models[model], model_arrays = figure_data_of_model(store, dataset, model, replicates, prepared, axes)
            arrays |= {f"{model}/{name}": array for name, array in model_arrays.items()}
            progress(done, len(store.experiment.models), model)
    info = {"dataset": dataset, "name": prepared.name, "digest": prepared.digest, "sizes": prepared.sizes}
    info |= {"spec": prepared.spec.to_json(), "models": models}
    write_figure_data(store.figure_data(dataset), info, arrays)


def shown(x: np.ndarray) -> np.ndarray:
    """The first examples, vectors in single precision."""
    return x[:IMAGES] if x.dtype == np.uint8 else x[:VECTORS].astype(np.float32)


def read_replicates(store: Store, dataset: str, model: str) -> list[Replicate]:
    """All replicates of a model. The samples of the first finished one alone stay in memory."""
    replicates: list[Replicate] = []
    for block in store.blocks():
        for replicate in Block(store, dataset, model, block).replicates():
            if any(earlier.loaded for earlier in replicates):
                replicate.loaded.clear()
            replicates.append(replicate)
    return replicates


def figure_data_of_model(
    store: Store, dataset: str, label: str, replicates: list[Replicate], prepared: Prepared, axes: list[np.ndarray]
) -> tuple[dict[str, Any], Arrays]:
    """Costs and training curves of all replicates; samples, densities and latent space of the first finished one."""
    spec = store.experiment.model_spec(label)
    info: dict[str, Any] = {"role": spec.role, "trained": spec.trained, "runs": [cost(each) for each in replicates]}
    info["curves"] = {str(each.info["seed"]): curves(each) for each in replicates}
    finished = [replicate for replicate in replicates if replicate.info["status"] == "ok"]
    if not finished or spec.role == "oracle":
        return info, {}
    replicate = finished[0]
    outputs = store.experiment.model_settings(label, dataset).outputs(prepared.spec.support)
    info |= {"shown_seed": replicate.info["seed"], "outputs": list(outputs)}
    arrays = {f"samples_{output}": shown(replicate.samples(FINAL, output)) for output in outputs}
    if not spec.trained:
        return info, arrays
    model = replicate.model(FINAL, "cpu")
    seed = derive_seed(store.experiment.base_seed, "figure", dataset)
    if axes:
        arrays["density"], info["density"] = density(model, axes, seed)
    if spec.uses_device:
        info |= add_latent_space(model, prepared, seed, arrays)
    return info, arrays


def curves(replicate: Replicate) -> dict[str, list[float]]:
    """Columns of a replicate's training curves, as long as all are finite; empty for models that have none."""
    path = replicate.directory / "curves.csv"
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []
    # the last rows of a diverged replicate are not finite
    rows = [row for row in rows if all(isfinite(float(value)) for value in row.values())]
    return {name: [float(f"{float(row[name]):.6g}") for row in rows] for name in (rows[0] if rows else ())}


def cost(replicate: Replicate) -> dict[str, Any]:
    """What training a replicate cost: its share of the time of its block, the block's memory, and the platform."""
    info = replicate.info
    copied = ("seed", "status", "reason", "parameters", "steps", "examples", "best_step", "finished", "digest", "git")
    share = {"seconds": info["block_seconds"] / len(info["block"]), "together": len(info["block"])}
    others = {"memory_mb": info["block_peak_memory_mb"], "platform": info["platform"], "identity": info["identity"]}
    return {key: info.get(key) for key in copied} | share | others


def add_latent_space(model: GenerativeModel, prepared: Prepared, seed: int, arrays: Arrays) -> dict[str, Any]:
    """Add arrays that show a model's latent space to `arrays`, and return information about them."""
    from deepgen_bench.stages import figure_latent as latent

    info: dict[str, Any] = {}
    if not isinstance(model, HasLatentSpace):
        return info
    arrays["interpolations"] = latent.interpolations(model, seed)
    if not isinstance(model, LatentVariable):
        return info
    test, labels = prepared.split("test")[: latent.EXAMPLES], prepared.labels("test")
    codes = latent.codes(model, test)
    arrays["codes"], info["variance_shown"] = latent.plane(codes)
    info["latent_dim"] = codes.shape[1]
    if labels is not None:
        arrays["labels"] = labels[: len(codes)]
    if prepared.spec.levels is not None and codes.shape[1] == 2:
        arrays["manifold"] = latent.manifold(model)
    elif prepared.spec.levels is not None:
        arrays["traversals"], info["units"] = latent.traversals(model, codes[0], codes.std(0))
    return info
