"""Figures of the models themselves: samples, densities, latent spaces, training curves."""

from collections.abc import Iterator

import numpy as np

from deepgen_bench.report.data.material import Drawn
from deepgen_bench.report.figures import charts
from deepgen_bench.report.figures.charts import Palette
from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.figures.pictures import sheet, square

# samples and densities


def real_and_generated(dataset: str, drawn: Drawn, palette: Palette) -> Iterator[Figure]:
    levels = drawn.info["spec"]["levels"]
    if levels is not None:
        pictures = [("real data (test split)", sheet(square(drawn.arrays["real"]), levels))]
        pictures += [(title, sheet(square(samples), levels)) for title, _, _, samples in panels_of(drawn)]
        caption = "The first samples of the replicate with the lowest seed, not chosen, at the size of the real data."
        text = f"Sheets of images: real {dataset} and samples of every model."
        yield Figure(f"{dataset}_samples", "Real data and samples", caption, text, pictures=pictures)
        return
    axes = [drawn.arrays[name] for name in ("axis_0", "axis_1") if name in drawn.arrays]
    if not axes:
        return
    truth, real = drawn.arrays.get("truth"), drawn.arrays["real"]
    title = "Densities and samples"
    text = f"Densities on {dataset}: the true one, and every model's with samples on it."
    caption = (
        "Densities of the replicate with the lowest seed: exact where a model has one, the probability flow's for "
        "diffusion, else a histogram of 500,000 draws. "
    )
    if len(axes) == 1:
        found = {title: (model, density, samples) for title, model, density, samples in panels_of(drawn)}
        caption += "Dashed: the true density. Marks below: samples."
        yield Figure(
            f"{dataset}_densities", title, caption, text, charts.line_densities(axes[0], truth, found, palette)
        )
        return
    maps = {"data" if truth is None else "true density, data": (truth, real)}
    maps |= {title: (density, samples) for title, _, density, samples in panels_of(drawn)}
    # where the truth is not known, what no model's peaks hide
    known = [density for density, _ in maps.values() if density is not None]
    top = float(truth.max() if truth is not None else max(np.quantile(density, 0.99) for density in known))
    caption += "Colours go by the square root of the density, alike in all. Points: samples."
    yield Figure(f"{dataset}_densities", title, caption, text, charts.plane_densities(axes, maps, top))


def panels_of(drawn: Drawn) -> Iterator[tuple[str, str, np.ndarray | None, np.ndarray]]:
    """(title, model, density or None, samples) of every model that has samples; the density with the first output."""
    for model, (info, arrays) in drawn.models.items():
        outputs = [output for output in info.get("outputs", ()) if f"samples_{output}" in arrays]
        for output in outputs:
            title = f"{model} ({output})" if len(outputs) > 1 else model
            yield title, model, arrays.get("density"), arrays[f"samples_{output}"]


# latent spaces


def latent_space(dataset: str, drawn: Drawn, palette: Palette) -> Iterator[Figure]:
    levels = drawn.info["spec"]["levels"]
    for model, (info, arrays) in drawn.models.items():
        if "labels" in arrays:
            caption = "Means of q(z|x) of test examples, each drawn as its class."
            if info["latent_dim"] > 2:
                share = f"{info['variance_shown']:.0%} of the variance"
                caption = f"{caption} The first two of {info['latent_dim']} principal components, {share}."
            text = f"Scatter plot of {model}'s codes of {dataset} test examples by class."
            chart = charts.embedding(arrays["codes"], arrays["labels"], model)
            yield Figure(f"{dataset}_{model}_codes", f"Latent space of {model}", caption, text, chart)
        if "manifold" in arrays:
            pictures = [("z₁ to the right, z₂ upwards", sheet(arrays["manifold"], levels))]
            caption = "The decoder's mean over the latent plane, in equal steps of the prior's probability."
            name = f"{dataset}_{model}_manifold"
            yield Figure(name, f"Manifold of {model}", caption, caption, pictures=pictures, large=True)
        if "traversals" in arrays:
            units = ", ".join(str(unit + 1) for unit in info["units"])
            caption = (
                "The decoder's mean as one latent unit goes from −2.5 to 2.5, the others as in the code of a test "
                f"example. Rows: units {units}, by the spread of their codes."
            )
            pictures = [(model, sheet(arrays["traversals"], levels))]
            name = f"{dataset}_{model}_traversals"
            yield Figure(name, f"Traversals of {model}", caption, caption, pictures=pictures, large=True)
    yield from interpolations(dataset, drawn, palette)


def interpolations(dataset: str, drawn: Drawn, palette: Palette) -> Iterator[Figure]:
    levels = drawn.info["spec"]["levels"]
    rows = {
        model: arrays["interpolations"] for model, (_, arrays) in drawn.models.items() if "interpolations" in arrays
    }
    name, title = f"{dataset}_interpolations", "Interpolations"
    caption = "From one latent draw to another, in even steps of angle and length; the draws are not chosen."
    text = f"Interpolations between latent draws on {dataset}, by model."
    if levels is not None:
        pictures = [(model, sheet(images, levels)) for model, images in rows.items()]
        yield Figure(name, title, caption, text, pictures=pictures, large=True)
    elif rows and drawn.info["spec"]["shape"][0] <= 2:
        real = drawn.arrays["real"]
        parts = [charts.paths(points, real, model, palette.of(model)) for model, points in rows.items()]
        yield Figure(name, title, f"{caption} Grey: real data.", text, charts.beside(parts))


# training

SHOWN = {
    "validation_score": (
        "validation",
        "Validation scores in training",
        "The lower the better; the checkpoint `best` is where it is lowest.",
    ),
    "loss": ("losses", "Training losses", "As minimised. Those of adversaries say nothing of the quality of samples."),
}


def training(dataset: str, drawn: Drawn, palette: Palette) -> Iterator[Figure]:
    for kind, (name, title, caption) in SHOWN.items():
        records = [
            {"panel": panel, "model": model, "seed": int(seed), "examples": x, "value": y}
            for model, (info, _) in drawn.models.items()
            for seed, columns in info["curves"].items()
            for panel, values in curves(model, columns, kind)
            for x, y in zip(columns["examples"], values, strict=True)
            if np.isfinite(y)
        ]
        text = f"{title} on {dataset}: a panel for each model, a line for each seed."
        chart = charts.curves(records, palette)
        yield Figure(f"{dataset}_{name}", title, f"A line for each seed. {caption}", text, chart)


def curves(model: str, columns: dict[str, list[float]], kind: str) -> Iterator[tuple[str, list[float]]]:
    """The curves of a kind, and what their panels are called; none of a model that is not trained step by step."""
    if "examples" not in columns:
        return
    for name, values in columns.items():
        if name.endswith(kind):
            yield model if name == kind else f"{model}: {name.replace('_', ' ')}", values
