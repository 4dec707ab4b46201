"""Figures of measurements: every seed, by K and by n, and against cost."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from deepgen_bench.report.data.figure_data import DatasetFigures
from deepgen_bench.report.data.groups import Comparable, Spread
from deepgen_bench.report.data.headings import heading_of, headings
from deepgen_bench.report.data.metrics import SIZED, family
from deepgen_bench.report.data.parts import headline_columns, main_part
from deepgen_bench.report.data.sheet import Sheet
from deepgen_bench.report.figures import charts
from deepgen_bench.report.figures.colours import Palette
from deepgen_bench.report.figures.figure import Figure


def every_seed(dataset: str, sheet: Sheet, palette: Palette) -> Figure:
    columns = [column for column in main_part(sheet).columns if family(column.metric) != "memorisation"]
    titles = map(str, headings(columns))
    panels = [(title, _seed_records(sheet, column)) for title, column in zip(titles, columns, strict=True)]
    return Figure(
        f"{dataset}_seeds",
        "Every seed",
        "Points: seeds. Ticks: their means. Lines: 95 % intervals as in the table. Where values lie far apart, the "
        "scale is logarithmic and intervals may be cut at its lower end.",
        f"For each metric on {dataset}, every model's value for every seed, with mean and interval; the numbers are "
        "those of the comparison table.",
        charts.dots(panels, palette),
    )


def by_importance_samples(dataset: str, sheet: Sheet, palette: Palette) -> Figure:
    columns = [column for column in sheet.columns if column.metric == "iw_elbo"]
    sizes = [int(column.settings.get("K")) for column in columns]
    return Figure(
        f"{dataset}_importance_samples",
        "Importance-weighted ELBO by K",
        "A lower bound on log p(x) that rises with the number K of importance samples. Where it still rises at the "
        "largest K, it is loose.",
        f"Importance-weighted ELBO on {dataset} against K, a line for each model.",
        charts.lines(list(_size_records(sheet, columns, sizes)), palette, "K"),
    )


def by_sample_size(dataset: str, sheet: Sheet, palette: Palette) -> Figure:
    columns = [column for column in sheet.columns if column.metric in SIZED and column.reference_split == "test"]
    sizes = [column.n_generated for column in columns]
    return Figure(
        f"{dataset}_sample_size",
        "By sample size",
        "A distance that falls with n is biased by the sample size: only numbers at the same n are comparable.",
        f"Distances on {dataset} against the number of samples, a line for each model.",
        charts.lines(list(_size_records(sheet, columns, sizes)), palette, "n"),
    )


def against_cost(dataset: str, sheet: Sheet, figures: DatasetFigures, palette: Palette) -> Figure:
    panels = [
        (str(heading_of(column)), list(_cost_records(sheet, column, figures))) for column in headline_columns(sheet)
    ]
    return Figure(
        f"{dataset}_cost",
        "Quality against cost",
        "Training time of a replicate: its share of the time of its block. Intervals as in the table.",
        f"Quality against training time on {dataset}, a point for each model.",
        charts.against_cost(panels, palette),
    )


def _seed_records(sheet: Sheet, column: Comparable) -> list[dict[str, Any]]:
    """The value of each seed in a column, with the model's mean and interval."""
    records = []
    for row in sheet.rows:
        spread = sheet.find(row, column)
        if spread is None or not spread.n_seeds:
            continue
        fields = {"label": str(row.label), "model": row.model, **_interval(spread)}
        records += [
            fields | {"seed": seed, "value": value} for seed, value in spread.values.items() if np.isfinite(value)
        ]
    return records


def _size_records(sheet: Sheet, columns: Sequence[Comparable], sizes: Sequence[int | None]) -> Iterator[dict[str, Any]]:
    """Means of columns against their sizes (K or n), of all measurements with several sizes."""
    panels: dict[str, list[tuple[int, Comparable]]] = {}
    for column, size in zip(columns, sizes, strict=True):
        if size is not None:
            panels.setdefault(heading_of(column).without_k, []).append((size, column))
    for panel, members in panels.items():
        if len({size for size, _ in members}) < 2:
            continue
        for size, column in members:
            for spread in sheet.competing(column):
                fields = {"panel": panel, "model": spread.group.model, "sample": spread.group.output or "only one"}
                yield fields | {"size": size, **_interval(spread)}


def _cost_records(sheet: Sheet, column: Comparable, figures: DatasetFigures) -> Iterator[dict[str, Any]]:
    """The mean of each trained model in a column, with the mean training time of its replicates."""
    for row in sheet.rows:
        spread, of_model = sheet.find(row, column), figures.models.get(row.model)
        replicates = [each for each in of_model.replicates if each["seconds"] > 0] if of_model else []
        if row.is_real or spread is None or not spread.n_seeds or not replicates:
            continue
        seconds = float(np.mean([replicate["seconds"] for replicate in replicates]))
        cost = {"seconds": seconds, "parameters": replicates[0]["parameters"]}
        yield {"label": str(row.label), "model": row.model, **cost, **_interval(spread)}


def _interval(spread: Spread) -> dict[str, float | None]:
    known = np.isfinite(spread.margin)
    ends = {"low": spread.mean - spread.margin, "high": spread.mean + spread.margin}
    return {"mean": spread.mean, **{name: end if known else None for name, end in ends.items()}}
