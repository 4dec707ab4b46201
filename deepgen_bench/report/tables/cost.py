"""The table of what training cost."""

import numpy as np

from deepgen_bench.report.data.figure_data import DatasetFigures
from deepgen_bench.report.tables.render import Cell, Table
from deepgen_bench.report.tables.wording import MISSING, mean_and_error


def cost_table(dataset: str, figures: DatasetFigures) -> Table:
    """Parameters, steps, time and memory of the trained models on a dataset."""
    header = ["model", "parameters", "steps", "training examples", "seconds a replicate", "trained together"]
    header += ["peak memory [MB]", "device"]
    rows = []
    for model, of_model in figures.models.items():
        if not of_model.info["trained"]:
            continue
        replicates = of_model.replicates
        seconds = np.array([replicate["seconds"] for replicate in replicates])
        error = float(seconds.std(ddof=1)) if len(seconds) > 1 else float("nan")
        tooltip = "mean ± sd over replicates; a replicate's time is its share of its block's training time"
        cells = [Cell(model)]
        cells += [
            _largest([replicate[name] for replicate in replicates]) for name in ("parameters", "steps", "examples")
        ]
        cells += [Cell(mean_and_error(float(seconds.mean()), error), tooltip=tooltip, value=float(seconds.mean()))]
        cells += [_largest([replicate["together"] for replicate in replicates])]
        cells += [_largest([peak for replicate in replicates for peak in replicate["memory_mb"].values()])]
        cells += [Cell(", ".join(sorted({replicate["platform"]["device"] for replicate in replicates})))]
        rows.append(cells)
    notes = ["A job that shared its machine with other jobs took longer than it would have alone."]
    return Table(f"{dataset}_cost", "cost", header, rows, notes, ["cost"] * 7, dataset=dataset)


def _largest(values: list[float | None]) -> Cell:
    """The largest of the known values."""
    known = [value for value in values if value is not None]
    return Cell(f"{max(known):,.0f}", value=max(known)) if known else Cell(MISSING)
