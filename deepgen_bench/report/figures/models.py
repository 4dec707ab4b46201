"""Figures of the models themselves: samples, densities, latent spaces, training curves."""

from collections.abc import Iterator

import numpy as np

from deepgen_bench.report.data.figure_data import DatasetFigures
from deepgen_bench.report.figures import charts, model_charts
from deepgen_bench.report.figures.colours import Palette
from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.figures.pictures import sheet, square
from deepgen_bench.storage.keys import RowLabel


def samples(dataset: str, figures: DatasetFigures, palette: Palette) -> Iterator[Figure]:
    """Images, or densities and samples of vectors with one or two components; none for longer vectors."""
    if figures.levels is not None:
        yield _images(dataset, figures, figures.levels)
        return
    axes = [figures.arrays[name] for name in ("axis_0", "axis_1") if name in figures.arrays]
    if not axes:
        return
    caption = (
        "Densities of the replicate with the lowest seed: exact where a model has one, that of the probability flow "
        "for diffusion, else a histogram of 500,000 draws."
    )
    chart, details = _line(axes[0], figures, palette) if len(axes) == 1 else _plane(axes, figures)
    text = f"Densities on {dataset}: the true one, and every model's with samples on it."
    yield Figure(f"{dataset}_densities", "Densities and samples", f"{caption} {details}", text, chart)


def _images(dataset: str, figures: DatasetFigures, levels: int) -> Figure:
    pictures = [("real data (test split)", sheet(square(figures.arrays["real"]), levels))]
    pictures += [(title, sheet(square(images), levels)) for title, _, _, images in _panels(figures)]
    caption = "The first samples of the replicate with the lowest seed, not selected, at the size of the real data."
    text = f"Sheets of images: real {dataset} and samples of every model."
    return Figure(f"{dataset}_samples", "Real data and samples", caption, text, pictures=pictures)


def _line(axis: np.ndarray, figures: DatasetFigures, palette: Palette) -> tuple[charts.Chart, str]:
    panels = {title: (model, density, points) for title, model, density, points in _panels(figures)}
    chart = model_charts.line_densities(axis, figures.arrays.get("truth"), panels, palette)
    return chart, "Dashed: the true density. Marks below: samples."


def _plane(axes: list[np.ndarray], figures: DatasetFigures) -> tuple[charts.Chart, str]:
    truth, real = figures.arrays.get("truth"), figures.arrays["real"]
    maps = {"data" if truth is None else "true density, data": (truth, real)}
    maps |= {title: (density, points) for title, _, density, points in _panels(figures)}
    # without a true density, a quantile, so that the peak of one model does not hide the others
    known = [density for density, _ in maps.values() if density is not None]
    top = float(truth.max() if truth is not None else max(np.quantile(density, 0.99) for density in known))
    details = "Colours follow the square root of the density, on one scale for all. Points: samples."
    return model_charts.plane_densities(axes, maps, top), details


def _panels(figures: DatasetFigures) -> Iterator[tuple[str, str, np.ndarray | None, np.ndarray]]:
    """(title, model, density or None, samples) for every model and kind of sample."""
    for model, of_model in figures.models.items():
        arrays = of_model.arrays
        outputs = [output for output in of_model.info.get("outputs", ()) if f"samples_{output}" in arrays]
        for output in outputs:
            title = RowLabel(model, output if len(outputs) > 1 else "")
            yield str(title), model, arrays.get("density"), arrays[f"samples_{output}"]


def latent_spaces(dataset: str, figures: DatasetFigures, palette: Palette) -> Iterator[Figure]:
    levels = figures.levels
    for model, of_model in figures.models.items():
        info, arrays = of_model.info, of_model.arrays
        if "labels" in arrays:
            caption = "Means of q(z|x) of test examples, each drawn as the number of its class."
            if info["latent_dim"] > 2:
                share = f"{info['variance_shown']:.0%} of the variance"
                caption = f"{caption} The first two of {info['latent_dim']} principal components, {share}."
            text = f"Scatter plot of the codes of {model} for {dataset} test examples, by class."
            chart = model_charts.embedding(arrays["codes"], arrays["labels"], model)
            yield Figure(f"{dataset}_{model}_codes", f"Latent space of {model}", caption, text, chart)
        if levels is not None and "manifold" in arrays:
            pictures = [("z₁ to the right, z₂ upwards", sheet(arrays["manifold"], levels))]
            caption = "The decoder's mean over the latent plane, in equal steps of the prior's probability."
            name = f"{dataset}_{model}_manifold"
            yield Figure(name, f"Manifold of {model}", caption, caption, pictures=pictures, large=True)
        if levels is not None and "traversals" in arrays:
            units = ", ".join(str(unit + 1) for unit in info["units"])
            caption = (
                "The decoder's mean as one latent unit moves from −2.5 to 2.5, with the others as in the code of a "
                f"test example. Rows: units {units}, in order of the spread of their codes."
            )
            pictures = [(model, sheet(arrays["traversals"], levels))]
            name = f"{dataset}_{model}_traversals"
            yield Figure(name, f"Traversals of {model}", caption, caption, pictures=pictures, large=True)
    yield from _interpolations(dataset, figures, palette)


def _interpolations(dataset: str, figures: DatasetFigures, palette: Palette) -> Iterator[Figure]:
    rows = {
        model: of_model.arrays["interpolations"]
        for model, of_model in figures.models.items()
        if "interpolations" in of_model.arrays
    }
    name, title = f"{dataset}_interpolations", "Interpolations"
    caption = "From one latent draw to another, in even steps of angle and length; the draws are not selected."
    text = f"Interpolations between latent draws on {dataset}, by model."
    if figures.levels is not None:
        pictures = [(model, sheet(images, figures.levels)) for model, images in rows.items()]
        yield Figure(name, title, caption, text, pictures=pictures, large=True)
    elif rows and figures.info["spec"]["shape"][0] <= 2:
        real = figures.arrays["real"]
        parts = [model_charts.paths(points, real, model, palette.of(model)) for model, points in rows.items()]
        yield Figure(name, title, f"{caption} Grey: real data.", text, model_charts.beside(parts))


# By the end of a curve's name: file name, title and caption.
CURVES = {
    "validation_score": (
        "validation",
        "Validation scores during training",
        "Lower is better; the checkpoint `best` is at the minimum.",
    ),
    "loss": ("losses", "Training losses", "As minimised. Adversarial losses do not measure the quality of samples."),
}


def training_curves(dataset: str, figures: DatasetFigures, palette: Palette) -> Iterator[Figure]:
    for kind, (name, title, caption) in CURVES.items():
        records = [
            {"panel": panel, "model": model, "seed": int(seed), "examples": x, "value": y}
            for model, of_model in figures.models.items()
            for seed, columns in of_model.info["curves"].items()
            for panel, values in _curves(model, columns, kind)
            for x, y in zip(columns["examples"], values, strict=True)
            if np.isfinite(y)
        ]
        text = f"{title} on {dataset}: a panel for each model, a line for each seed."
        chart = charts.curves(records, palette)
        yield Figure(f"{dataset}_{name}", title, f"A line for each seed. {caption}", text, chart)


def _curves(model: str, columns: dict[str, list[float]], kind: str) -> Iterator[tuple[str, list[float]]]:
    """(panel, values) of the curves of a kind; none for a model that is not trained in steps."""
    if "examples" not in columns:
        return
    for name, values in columns.items():
        if name.endswith(kind):
            yield model if name == kind else f"{model}: {name.replace('_', ' ')}", values
