"""Vega-Lite charts of measurements, training curves, costs, densities and latent spaces.

Functions that take plain records return None if there is nothing to draw. `Palette` gives models their colours.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from deepgen_bench.report.figures.colours import PALETTE, colours, shapes
from deepgen_bench.report.figures.pictures import data_uri, heat_map

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.HConcatChart | alt.VConcatChart

# no limit on the number of rows that a chart embeds
alt.data_transformers.disable_max_rows()
# the scale is logarithmic if the largest value is more than this many times the smallest
LOGARITHMIC = 20


@dataclass(frozen=True)
class Palette:
    """Colours and shapes of an experiment's models, in their order; `real` are those that are real data."""

    models: Sequence[str]
    real: Collection[str] = ()

    def of(self, model: str) -> str:
        """The colour of a model."""
        return colours(self.models, self.real)[model]

    def colour(self, field: str = "model", legend: bool = False) -> alt.Color:
        return alt.Color(f"{field}:N", scale=self._scale(colours), legend=alt.Legend() if legend else None)

    def shape(self, field: str = "model", legend: bool = False) -> alt.Shape:
        return alt.Shape(f"{field}:N", scale=self._scale(shapes), legend=alt.Legend() if legend else None)

    def _scale(self, assign: Callable[[Sequence[str], Collection[str]], dict[str, str]]) -> alt.Scale:
        values = assign(self.models, self.real)
        return alt.Scale(domain=list(self.models), range=[values[model] for model in self.models])


def dots(panels: Sequence[tuple[str, list[dict[str, Any]]]], palette: Palette, columns: int = 3) -> Chart | None:
    """A panel for each metric: the value of every seed, and the mean of each model with its interval.

    A panel is a title and records of label, model, seed, value, mean, low, high.
    """
    parts = [_dots(title, pd.DataFrame(records), palette) for title, records in panels if records]
    return alt.concat(*parts, columns=columns).resolve_scale(x="independent") if parts else None


def _dots(title: str, data: pd.DataFrame, palette: Palette) -> Chart:
    order = list(dict.fromkeys(data["label"]))
    y = alt.Y("label:N", sort=order, title=None)
    data, scale = _scaled(data, "value")
    x = alt.X("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5))
    tooltip = ["label:N", "seed:Q", alt.Tooltip("value:Q", format=".5g")]
    jitter = alt.Chart(data).mark_circle(size=26, opacity=0.55).encode(x, y, palette.colour(), tooltip=tooltip)
    means = data.drop_duplicates("label")
    known = means[means["low"].notna()]
    interval_tips = _interval_tips()
    interval = (
        alt.Chart(known)
        .mark_rule(strokeWidth=2)
        .encode(alt.X("low:Q"), y, palette.colour(), x2="high:Q", tooltip=["label:N", *interval_tips])
    )
    mean = (
        alt.Chart(means)
        .mark_tick(thickness=3, size=13)
        .encode(alt.X("mean:Q"), y, palette.colour(), tooltip=["label:N", *interval_tips])
    )
    return alt.layer(interval, jitter, mean).properties(width=210, height=alt.Step(17))


def _scaled(data: pd.DataFrame, value: str) -> tuple[pd.DataFrame, alt.Scale]:
    """`data` and the scale of its column `value`.

    The scale is logarithmic if all values are positive and more than `LOGARITHMIC` times apart; intervals are then cut
    at a third of the smallest value. It is a symmetric logarithm if the range is more than `LOGARITHMIC` times the
    interquartile range, and linear otherwise.
    """
    finite = data[value][np.isfinite(data[value])].to_numpy()
    if len(finite) and finite.min() > 0 and finite.max() > LOGARITHMIC * finite.min():
        cut = {name: data[name].clip(lower=finite.min() / 3) for name in ("low", "high") if name in data}
        return data.assign(**cut), alt.Scale(type="log", nice=False, padding=8)
    spread = np.subtract(*np.percentile(finite, [75, 25])) if len(finite) else 0
    if spread > 0 and np.ptp(finite) > LOGARITHMIC * spread:
        return data, alt.Scale(type="symlog", constant=float(spread), zero=False, nice=False, padding=8)
    return data, alt.Scale(zero=False, padding=8)


def curves(records: list[dict[str, Any]], palette: Palette, columns: int = 4) -> Chart | None:
    """Training curves from records of panel, model, seed, examples, value: a line for each seed."""
    if not records:
        return None
    data = pd.DataFrame(records)
    parts = []
    for panel, records_of_panel in data.groupby("panel", sort=False):
        scaled, scale = _scaled(records_of_panel, "value")
        chart = (
            alt.Chart(scaled, title=alt.Title(panel, fontSize=11))
            .mark_line(strokeWidth=1.2, opacity=0.8)
            .encode(
                alt.X("examples:Q", title="training examples", axis=alt.Axis(tickCount=3, format="~s")),
                alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4)),
                palette.colour(),
                detail="seed:N",
                tooltip=["model:N", "seed:Q", "examples:Q", alt.Tooltip("value:Q", format=".5g")],
            )
            .properties(width=155, height=105)
        )
        parts.append(chart)
    return alt.concat(*parts, columns=columns).resolve_scale(x="independent", y="independent")


def lines(records: list[dict[str, Any]], palette: Palette, size: str, columns: int = 3) -> Chart | None:
    """Means with intervals against a size (K or n), from records of panel, model, sample, size, mean, low, high.

    There is a line for each model and kind of sample.
    """
    if not records:
        return None
    data = pd.DataFrame(records)
    parts = []
    for panel, records_of_panel in data.groupby("panel", sort=False):
        scaled, scale = _scaled(records_of_panel, "mean")
        axis = alt.Axis(tickCount=4)
        base = alt.Chart(scaled, title=alt.Title(panel, fontSize=11)).encode(
            alt.X("size:Q", title=size, scale=alt.Scale(type="log", nice=False, padding=10), axis=axis),
            palette.colour(legend=True),
        )
        tooltip = ["model:N", "sample:N", "size:Q", *_interval_tips()]
        y = alt.Y("mean:Q", title=None, scale=scale)
        kind = alt.StrokeDash("sample:N", title="sample", legend=alt.Legend() if data["sample"].nunique() > 1 else None)
        parts.append(
            alt.layer(
                base.mark_line().encode(y, kind),
                base.mark_rule().encode(alt.Y("low:Q", title=None), y2="high:Q"),
                base.mark_point(filled=True, size=45).encode(y, palette.shape(legend=True), tooltip=tooltip),
            ).properties(width=230, height=180)
        )
    return alt.concat(*parts, columns=columns).resolve_scale(y="independent")


def _interval_tips() -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:Q", format=".5g") for name in ("mean", "low", "high")]


def against_cost(
    panels: Sequence[tuple[str, list[dict[str, Any]]]], palette: Palette, columns: int = 2
) -> Chart | None:
    """Quality against training time, a point for each model.

    A panel is a title and records of label, model, seconds, mean, low, high, parameters.
    """
    parts = []
    for title, records in panels:
        if not records:
            continue
        data, scale = _scaled(pd.DataFrame(records), "mean")
        base = alt.Chart(data).encode(
            alt.X("seconds:Q", title="seconds a replicate", scale=alt.Scale(type="log", nice=False, padding=15)),
            palette.colour(legend=True),
        )
        tooltip = [
            "label:N",
            alt.Tooltip("seconds:Q", format=".3g"),
            alt.Tooltip("mean:Q", format=".5g"),
            "parameters:Q",
        ]
        y = alt.Y("mean:Q", title=title, scale=scale)
        parts.append(
            alt.layer(
                base.mark_rule().encode(alt.Y("low:Q", title=title), y2="high:Q"),
                base.mark_point(filled=True, size=70).encode(y, palette.shape(legend=True), tooltip=tooltip),
            ).properties(width=330, height=220)
        )
    return alt.concat(*parts, columns=columns).resolve_scale(x="independent", y="independent") if parts else None


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
            layers.append(alt.Chart(data).mark_line(color="#808080", strokeDash=[4, 3], strokeWidth=1.2).encode(x, y))
        points = pd.DataFrame({"x": _rounded(samples[:300, 0])})
        layers.append(
            alt.Chart(points).mark_tick(opacity=0.4, size=9, color="#808080", yOffset=5).encode(x, alt.YDatum(0))
        )
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
        colour = "#ffffff" if density is not None else "#808080"
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
        layers.insert(0, alt.Chart(points).mark_circle(size=5, opacity=0.5, color="#808080").encode(x, y))
    return alt.layer(*layers, title=alt.Title(title, fontSize=11)).properties(width=180, height=180)


def beside(parts: Sequence[Chart], columns: int = 4) -> Chart:
    return alt.concat(*parts, columns=columns)


def _rounded(values: np.ndarray) -> list[float]:
    """Values rounded to five significant digits, enough for a chart."""
    return [float(f"{value:.5g}") for value in np.asarray(values, float)]
