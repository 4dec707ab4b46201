"""Figure data of a dataset: of every model what the report draws, from the replicate with the lowest seed."""

import csv
from math import isfinite
from typing import Any

import numpy as np

from deepgen_bench.datasets.base import SyntheticDataset
from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.experiment.store import Store
from deepgen_bench.models.replicate import Run
from deepgen_bench.runtime.seeds import derive_seed
from deepgen_bench.stages.figure_densities import density, lattice, points
from deepgen_bench.stages.measure import Block
from deepgen_bench.stages.prepare import open_data
from deepgen_bench.stages.progress import Progress
from deepgen_bench.storage.figure_data import write_figure_data

# examples that are shown: images one by one, vectors as a cloud
IMAGES, VECTORS = 36, 1000

Arrays = dict[str, np.ndarray]


def write_figures(store: Store, dataset: str) -> None:
    """Write what the report draws of a dataset and of the runs on it."""
    prepared = open_data(store, dataset)
    test = prepared.split("test")
    arrays: Arrays = {"real": shown(test)}
    # a density can be drawn of one or two numbers
    axes = lattice(test) if prepared.spec.levels is None and prepared.spec.dim <= 2 else []
    arrays |= {f"axis_{i}": axis for i, axis in enumerate(axes)}
    made = store.experiment.dataset(dataset)
    if axes and isinstance(made, SyntheticDataset):
        arrays["truth"] = np.exp(made.log_prob(points(axes))).reshape([len(axis) for axis in axes])
    models: dict[str, Any] = {}
    with Progress(f"{dataset} figures") as progress:
        for done, model in enumerate(store.experiment.models, 1):
            runs = [run for block in store.blocks() for run in Block(store, dataset, model, block).runs.values()]
            models[model] = {"family": store.experiment.model_spec(model).family, "runs": [cost(run) for run in runs]}
            models[model]["curves"] = {str(run.info["seed"]): curves(run) for run in runs}
            whole = [run for run in runs if run.info["status"] == "ok"]
            if whole and models[model]["family"] != "oracle":
                info, drawn = of_run(store, dataset, model, whole[0], prepared, axes)
                models[model] |= info
                arrays |= {f"{model}/{name}": array for name, array in drawn.items()}
            progress(done, len(store.experiment.models), model)
    info = {"dataset": dataset, "name": prepared.name, "digest": prepared.digest, "sizes": prepared.sizes}
    info |= {"spec": prepared.spec.to_json(), "models": models}
    write_figure_data(store.figure_data(dataset), info, arrays)


def shown(x: np.ndarray) -> np.ndarray:
    return x[:IMAGES] if x.dtype == np.uint8 else x[:VECTORS].astype(np.float32)


def curves(run: Run) -> dict[str, list[float]]:
    """The columns of a replicate's training curves, as long as all are finite; empty for models that have none."""
    path = run.directory / "curves.csv"
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []
    # a replicate that diverged ends with others
    rows = [row for row in rows if all(isfinite(float(value)) for value in row.values())]
    return {name: [float(f"{float(row[name]):.6g}") for row in rows] for name in (rows[0] if rows else ())}


def cost(run: Run) -> dict[str, Any]:
    """What a replicate is and what it cost; its share of the time of its block."""
    info = run.info
    kept = ("seed", "status", "reason", "parameters", "steps", "examples", "best_step", "finished", "digest", "git")
    share = {"seconds": info["block_seconds"] / len(info["block"]), "together": len(info["block"])}
    return (
        {key: info.get(key) for key in kept}
        | share
        | {
            "memory_mb": info["block_peak_memory_mb"],
            "platform": info["platform"],
            "identity": info["identity"],
        }
    )


def of_run(
    store: Store, dataset: str, label: str, run: Run, prepared: Prepared, axes: list[np.ndarray]
) -> tuple[dict[str, Any], Arrays]:
    """What is shown of one replicate, and of what kind it is."""
    outputs = store.experiment.model_settings(label, dataset).outputs(prepared.spec.support)
    info: dict[str, Any] = {"shown_seed": run.info["seed"], "outputs": list(outputs)}
    arrays = {f"samples_{output}": shown(run.samples("final", output)) for output in outputs}
    family = store.experiment.model_spec(label).family
    if family == "external":
        return info, arrays
    model = run.model("final", "cpu")
    seed = derive_seed(store.experiment.base_seed, "figure", dataset)
    if axes:
        arrays["density"], info["density"] = density(model, family, axes, seed)
    if store.experiment.model_spec(label).uses_device:
        info |= of_latent(model, prepared, seed, arrays)
    return info, arrays


def of_latent(model: Any, prepared: Prepared, seed: int, arrays: Arrays) -> dict[str, Any]:
    """Add what shows a model's latent space to `arrays`; what there is to say of it."""
    from deepgen_bench.stages import figure_latent as latent

    info: dict[str, Any] = {}
    # models of outside packages need not have one
    if hasattr(model, "from_latent"):
        arrays["interpolations"] = latent.interpolations(model, seed)
    if not hasattr(model, "encode"):
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
