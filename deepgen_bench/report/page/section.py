"""A dataset's part of the report: its tables and figures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deepgen_bench.report.data.material import Drawn, Material
from deepgen_bench.report.data.paired import paired_errors
from deepgen_bench.report.data.sheet import Sheet, sheets
from deepgen_bench.report.figures.charts import Palette
from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.figures.figures_of_measurements import against_cost, chief_columns, seeds_and_sizes
from deepgen_bench.report.figures.figures_of_models import latent_space, real_and_generated, training
from deepgen_bench.report.tables.headings import mean_and_error
from deepgen_bench.report.tables.render import Cell, Table
from deepgen_bench.report.tables.tables import parts_of, tables_of

CHECKPOINT = "final"


@dataclass(frozen=True)
class Section:
    """`tables`, the comparison first; `chief` are the columns of it that stand for the dataset."""

    dataset: str
    facts: str
    tables: list[Table]
    figures: list[Figure]
    chief: Table

    @property
    def unbeaten(self) -> list[tuple[str, list[str]]]:
        """Of each chief column, the models that no other is shown to beat."""
        found = []
        for i, name in enumerate(self.chief.header[1:], 1):
            best = [row[0].text for row in self.chief.rows if row[i].emphasis == "bold"]
            found += [(name, best)] if best else []
        return found


def sections_of(material: Material) -> tuple[list[Section], list[Table]]:
    """Every dataset's, and the tables that are of no single one."""
    measured = sheets(material.rows, CHECKPOINT)
    tables = tables_of(measured, paired_errors(material.paired, material.name, CHECKPOINT), CHECKPOINT)
    palette = Palette(material.models)
    sections = []
    for dataset, sheet in measured.items():
        drawn = material.drawn.get(dataset)
        own = [table for table in tables if table.dataset == dataset]
        (_, _, columns), *_ = parts_of(sheet)
        chief = own[0].columns([0, *(own[0].lead + columns.index(column) for column in chief_columns(sheet))])
        if drawn is not None:
            own.append(cost_table(dataset, drawn))
        figures = [figure for figure in figures_of(dataset, sheet, drawn, palette) if not figure.empty]
        sections.append(Section(dataset, facts_of(drawn) if drawn else "", own, figures, chief))
    return sections, [table for table in tables if not table.dataset]


def figures_of(dataset: str, sheet: Sheet, drawn: Drawn | None, palette: Palette) -> Iterator[Figure]:
    if drawn is not None:
        yield from real_and_generated(dataset, drawn, palette)
    yield from seeds_and_sizes(dataset, sheet, palette)
    if drawn is not None:
        yield from latent_space(dataset, drawn, palette)
        yield from training(dataset, drawn, palette)
        yield from against_cost(dataset, sheet, drawn, palette)


def facts_of(drawn: Drawn) -> str:
    info, spec = drawn.info, drawn.info["spec"]
    sizes = ", ".join(f"{count:,} {split}" for split, count in info["sizes"].items())
    levels = f", {spec['levels']} levels" if spec["levels"] else ""
    shape = " × ".join(map(str, spec["shape"]))
    return f"{info['name']}: {spec['support']}, {shape}{levels}; {sizes} examples; digest {info['digest'][:12]}"


def cost_table(dataset: str, drawn: Drawn) -> Table:
    """What the runs of a dataset cost, by model."""
    header = ["model", "parameters", "steps", "training examples", "seconds a replicate", "trained together"]
    header += ["peak memory [MB]", "device"]
    rows = []
    for model, (info, _) in drawn.models.items():
        runs = info["runs"]
        if info["family"] in ("oracle", "external"):
            continue
        seconds = np.array([run["seconds"] for run in runs])
        error = float(seconds.std(ddof=1)) if len(seconds) > 1 else float("nan")
        about = "mean ± sd over replicates of each one's share of its block's training time"
        cells = [Cell(model)]
        cells += [count([run[name] for run in runs]) for name in ("parameters", "steps", "examples")]
        cells += [Cell(mean_and_error(float(seconds.mean()), error), about=about, value=float(seconds.mean()))]
        cells += [count([run["together"] for run in runs])]
        cells += [count([peak for run in runs for peak in run["memory_mb"].values()])]
        cells += [Cell(", ".join(sorted({run["platform"]["device"] for run in runs})))]
        rows.append(cells)
    notes = ["Times of jobs that shared a machine with others are longer than they would be alone."]
    return Table(f"{dataset}_cost", f"{dataset}: cost", header, rows, notes, ["cost"] * 7, dataset=dataset)


def count(values: list[float | None]) -> Cell:
    """The largest of what is known."""
    known = [value for value in values if value is not None]
    return Cell(f"{max(known):,.0f}", value=max(known)) if known else Cell("–")
