"""Vega-Lite charts of measurements, training curves and costs.

Functions take plain records and return None if there is nothing to draw.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from deepgen_bench.report.figures.colours import Palette

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.HConcatChart | alt.VConcatChart

# no limit on the number of rows that a chart embeds
alt.data_transformers.disable_max_rows()
# the scale is logarithmic if the largest value is more than this many times the smallest
LOGARITHMIC = 20


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
