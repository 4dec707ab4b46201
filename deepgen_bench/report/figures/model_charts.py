"""Vega-Lite charts of models: densities, latent codes, interpolations."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from deepgen_bench.report.figures.charts import Chart
from deepgen_bench.report.figures.colours import GREY, PALETTE, Palette
from deepgen_bench.report.figures.pictures import data_uri, heat_map


def line_densities(
    axis: np.ndarray,
    truth: np.ndarray | None,
    panels: Mapping[str, tuple[str, np.ndarray | None, np.ndarray]],
    palette: Palette,
) -> Chart:
    """Densities of one variable: in each panel (model, its density or None, samples) over the true density."""
    parts = []
    top = max(density.max() for density in [truth, *(d for _, d, _ in panels.values())] if density is not None)
    scale = alt.Scale(domain=[float(axis[0]), float(axis[-1])], nice=False)
    for title, (model, density, samples) in panels.items():
        layers = []
        x, y = alt.X("x:Q", title=None, scale=scale), alt.Y("p:Q", title=None, scale=alt.Scale(domain=[0, float(top)]))
        if density is not None:
            data = pd.DataFrame({"x": _rounded(axis), "p": _rounded(density), "model": model})
            layers.append(alt.Chart(data).mark_area(opacity=0.45, line=True).encode(x, y, palette.colour()))
        if truth is not None:
            data = pd.DataFrame({"x": _rounded(axis), "p": _rounded(truth)})
            layers.append(alt.Chart(data).mark_line(color=GREY, strokeDash=[4, 3], strokeWidth=1.2).encode(x, y))
        points = pd.DataFrame({"x": _rounded(samples[:300, 0])})
        layers.append(alt.Chart(points).mark_tick(opacity=0.4, size=9, color=GREY, yOffset=5).encode(x, alt.YDatum(0)))
        parts.append(alt.layer(*layers, title=alt.Title(title, fontSize=11)).properties(width=180, height=120))
    return alt.concat(*parts, columns=4)


def plane_densities(
    axes: Sequence[np.ndarray], panels: Mapping[str, tuple[np.ndarray | None, np.ndarray]], top: float
) -> Chart:
    """Densities of two variables as heat maps up to `top`, with the samples of each panel as points."""
    parts = []
    edges = [[float(axis[0] - (axis[1] - axis[0]) / 2), float(axis[-1] + (axis[1] - axis[0]) / 2)] for axis in axes]
    x_scale, y_scale = (alt.Scale(domain=edge, nice=False, zero=False) for edge in edges)
    size = 180
    for title, (density, samples) in panels.items():
        x, y = alt.X("x:Q", title=None, scale=x_scale), alt.Y("y:Q", title=None, scale=y_scale)
        layers = []
        if density is not None:
            centre = pd.DataFrame(
                [{"x": sum(edges[0]) / 2, "y": sum(edges[1]) / 2, "url": data_uri(heat_map(density, top))}]
            )
            layers.append(alt.Chart(centre).mark_image(width=size, height=size, aspect=False).encode(x, y, url="url:N"))
        points = pd.DataFrame({"x": _rounded(samples[:400, 0]), "y": _rounded(samples[:400, 1])})
        colour = "#ffffff" if density is not None else GREY
        layers.append(alt.Chart(points).mark_circle(size=5, opacity=0.65, color=colour, clip=True).encode(x, y))
        parts.append(alt.layer(*layers, title=alt.Title(title, fontSize=11)).properties(width=size, height=size))
    return alt.concat(*parts, columns=4)


def embedding(points: np.ndarray, labels: np.ndarray, title: str) -> Chart:
    """Codes (n, 2) in the plane, each drawn as the number of its class."""
    data = pd.DataFrame({"x": _rounded(points[:, 0]), "y": _rounded(points[:, 1]), "class": labels})
    domain = sorted(data["class"].unique().tolist())
    return (
        alt.Chart(data, title=alt.Title(title, fontSize=11))
        .mark_text(fontSize=9)
        .encode(
            alt.X("x:Q", title=None),
            alt.Y("y:Q", title=None),
            alt.Color("class:N", scale=alt.Scale(domain=domain, range=PALETTE), legend=None),
            text="class:N",
            tooltip=["class:N"],
        )
        .properties(width=330, height=330)
    )


def paths(rows: np.ndarray, samples: np.ndarray, title: str, colour: str) -> Chart:
    """Interpolations (rows, steps, D <= 2): lines in the plane over samples, or for D = 1 values against the step."""
    count, steps, dim = rows.shape
    flat = pd.DataFrame(
        {
            "row": np.repeat(np.arange(count), steps),
            "step": np.tile(np.arange(steps), count),
            "x": _rounded(rows[..., 0].ravel() if dim > 1 else np.tile(np.linspace(0, 1, steps), count)),
            "y": _rounded(rows[..., 1 if dim > 1 else 0].ravel()),
        }
    )
    names = (None, None) if dim > 1 else ("from one latent draw to another", "x")
    x, y = (
        alt.X("x:Q", title=names[0], scale=alt.Scale(zero=False)),
        alt.Y("y:Q", title=names[1], scale=alt.Scale(zero=False)),
    )
    lines = alt.Chart(flat).mark_line(strokeWidth=1.8, color=colour).encode(x, y, detail="row:N", order="step:Q")
    layers: list[alt.Chart] = [lines]
    if dim > 1:
        points = pd.DataFrame({"x": _rounded(samples[:400, 0]), "y": _rounded(samples[:400, 1])})
        layers.insert(0, alt.Chart(points).mark_circle(size=5, opacity=0.5, color=GREY).encode(x, y))
    return alt.layer(*layers, title=alt.Title(title, fontSize=11)).properties(width=180, height=180)


def beside(parts: Sequence[Chart], columns: int = 4) -> Chart:
    return alt.concat(*parts, columns=columns)


def _rounded(values: np.ndarray) -> list[float]:
    """Values rounded to five significant digits, enough for a chart."""
    return [float(f"{value:.5g}") for value in np.asarray(values, float)]
