"""Figures of measurements: every seed, by K and by n, against cost."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from deepgen_bench.report.data.comparisons import direction_of
from deepgen_bench.report.data.material import Drawn
from deepgen_bench.report.data.selection import ORACLE
from deepgen_bench.report.data.sheet import Sheet
from deepgen_bench.report.data.summary import Comparable, Spread
from deepgen_bench.report.figures import charts
from deepgen_bench.report.figures.charts import Palette
from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.tables.headings import family, headings
from deepgen_bench.report.tables.tables import SIZED, parts_of
from deepgen_bench.storage.keys import Variant


def seeds_and_sizes(dataset: str, measured: Sheet, palette: Palette) -> Iterator[Figure]:
    (_, _, main), *_ = parts_of(measured)
    shown = [column for column in main if family(column.metric) != "memorisation"]
    panels = [(title, dot_records(measured, column)) for column, title in zip(shown, headings(shown), strict=True)]
    yield Figure(
        f"{dataset}_seeds",
        "Every seed",
        "Points are seeds, a tick is their mean, a line its 95 % interval as in the table. Where values lie far apart "
        "the scale is logarithmic, and intervals may be cut at its lower end.",
        f"For each metric on {dataset}, every model's value for every seed, with mean and interval; the numbers are "
        "those of the comparison table.",
        charts.dots(panels, palette),
    )
    records = list(_by_size(measured, [c for c in measured.columns if c.metric == "iw_elbo"], "K"))
    yield Figure(
        f"{dataset}_importance_samples",
        "Importance-weighted ELBO by K",
        "A lower bound on log p(x) that rises with the number K of importance samples; where it still rises, the last "
        "one is loose.",
        f"Importance-weighted ELBO on {dataset} against K, a line for each model.",
        charts.lines(records, palette, "K"),
    )
    sized = [column for column in measured.columns if column.metric in SIZED and column.reference_split == "test"]
    records = list(_by_size(measured, sized, "n"))
    yield Figure(
        f"{dataset}_sample_size",
        "By sample size",
        "A distance that falls with n is biased by the size of the samples: only numbers of one n compare.",
        f"Distances on {dataset} against the number of samples, a line for each model.",
        charts.lines(records, palette, "n"),
    )


def dot_records(measured: Sheet, column: Comparable) -> list[dict[str, Any]]:
    """Each seed's value in a column, with its model's mean and interval."""
    records = []
    for row in measured.rows:
        spread = measured.find(row, column)
        if spread is None or not spread.n_seeds:
            continue
        fields = {"label": row.label, "model": row.model, **_interval(spread)}
        records += [
            fields | {"seed": seed, "value": value} for seed, value in spread.values.items() if np.isfinite(value)
        ]
    return records


def _interval(spread: Spread) -> dict[str, float | None]:
    known = np.isfinite(spread.margin)
    ends = {"low": spread.mean - spread.margin, "high": spread.mean + spread.margin}
    return {"mean": spread.mean, **{name: end if known else None for name, end in ends.items()}}


def _by_size(measured: Sheet, columns: Sequence[Comparable], size: str) -> Iterator[dict[str, Any]]:
    """Means against K or n, of all that has more than one."""
    panels: dict[str, list[tuple[int, Comparable]]] = {}
    for column in columns:
        title = re.sub(r" K=\d+", "", headings([column])[0])
        of = int(Variant.parse(column.variant).get("K")) if size == "K" else column.n_generated
        if of is not None:
            panels.setdefault(title, []).append((of, column))
    for panel, its in panels.items():
        if len({of for of, _ in its}) < 2:
            continue
        for of, column in its:
            for spread in measured.competing(column):
                fields = {"panel": panel, "model": spread.group.model, "sample": spread.group.output or "only one"}
                yield fields | {"size": of, **_interval(spread)}


def against_cost(dataset: str, measured: Sheet, drawn: Drawn, palette: Palette) -> Iterator[Figure]:
    panels = []
    for column in chief_columns(measured):
        records = []
        for row in measured.rows:
            spread = measured.find(row, column)
            runs = [run for run in drawn.models.get(row.model, ({"runs": []}, {}))[0]["runs"] if run["seconds"] > 0]
            if row.model == ORACLE or spread is None or not spread.n_seeds or not runs:
                continue
            seconds = float(np.mean([run["seconds"] for run in runs]))
            records.append(
                {"label": row.label, "model": row.model, "seconds": seconds, "parameters": runs[0]["parameters"]}
                | _interval(spread)
            )
        panels.append((headings([column])[0], records))
    yield Figure(
        f"{dataset}_cost",
        "Quality against cost",
        "Seconds of training, one replicate's share of its block. Intervals as in the table.",
        f"Quality against training time on {dataset}, a point for each model.",
        charts.against_cost(panels, palette),
    )


# one likelihood and one sample metric stand for a dataset where there is room for no more: of these the first that is
# ranked, at what most models have
CHIEF = [
    ["log_likelihood", "bits_per_dim", "iw_elbo"],
    [
        "frechet_distance",
        "frechet_distance_infinity",
        "centred_w2",
        "sliced_w2",
        "w1",
        "kernel_distance",
        "mmd",
        "c2st",
    ],
]


def chief_columns(measured: Sheet) -> list[Comparable]:
    (_, _, main), *_ = parts_of(measured)
    columns = []
    for metrics in CHIEF:
        competing = {column: measured.competing(column) for column in main if column.metric in metrics}
        ranked = [c for c, its in competing.items() if direction_of(its) != "none"]
        ranked.sort(key=lambda c: (metrics.index(c.metric), -len({s.group.model for s in competing[c]})))
        columns += ranked[:1]
    return columns
