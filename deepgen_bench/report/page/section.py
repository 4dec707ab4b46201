"""The part of the report on one dataset: its tables and figures."""

from collections.abc import Iterator
from dataclasses import dataclass

from deepgen_bench.report.data.experiments import Experiments
from deepgen_bench.report.data.figure_data import DatasetFigures
from deepgen_bench.report.data.paired import paired_errors
from deepgen_bench.report.data.parts import headline_columns, main_part
from deepgen_bench.report.data.sheet import Sheet, sheets
from deepgen_bench.report.figures import measurements, models
from deepgen_bench.report.figures.colours import Palette
from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.tables.comparison import tables_of_sheets
from deepgen_bench.report.tables.cost import cost_table
from deepgen_bench.report.tables.render import Table
from deepgen_bench.report.tables.replicates import replicate_table
from deepgen_bench.report.tables.seeds import seeds_table

CHECKPOINT = "final"


@dataclass(frozen=True)
class Section:
    """`tables`, the comparison first, and `figures`; `headline` has the columns that stand for the dataset."""

    dataset: str
    facts: str
    tables: list[Table]
    figures: list[Figure]
    headline: Table

    @property
    def unbeaten(self) -> list[tuple[str, list[str]]]:
        """For each headline column, the models that are not told from the best one."""
        names = self.headline.header[1:]
        best = [
            [row[0].text for row in self.headline.rows if row[i].emphasis == "bold"] for i in range(1, len(names) + 1)
        ]
        return [(name, labels) for name, labels in zip(names, best, strict=True) if labels]


def sections_of(experiments: Experiments) -> tuple[list[Section], list[Table]]:
    """A section for every dataset, and the tables over all datasets."""
    results = experiments.results
    errors = paired_errors(results.paired, experiments.name, CHECKPOINT)
    by_dataset = sheets(results.rows, CHECKPOINT, errors)
    quality = {dataset: limits for file in experiments.files for dataset, limits in file.quality.items()}
    tables = tables_of_sheets(by_dataset, errors, CHECKPOINT)
    palette = Palette(experiments.models, experiments.real)
    sections = []
    for dataset, sheet in by_dataset.items():
        figure_data = results.figures.get(dataset)
        of_dataset = [table for table in tables if table.dataset == dataset]
        headline = _headline(sheet, of_dataset[0])
        further = replicate_table(dataset, sheet, quality.get(dataset, {})), seeds_table(dataset, sheet, errors)
        of_dataset[1:1] = [table for table in further if table]
        if figure_data is not None:
            of_dataset.append(cost_table(dataset, figure_data))
        figures = [figure for figure in _figures(dataset, sheet, figure_data, palette) if not figure.empty]
        facts = _facts(figure_data) if figure_data else ""
        sections.append(Section(dataset, facts, of_dataset, figures, headline))
    return sections, [table for table in tables if not table.dataset]


def _headline(sheet: Sheet, comparison: Table) -> Table:
    """The model and the headline columns of a comparison table."""
    columns = main_part(sheet).columns
    return comparison.columns([0, *(comparison.lead + columns.index(column) for column in headline_columns(sheet))])


def _figures(dataset: str, sheet: Sheet, figure_data: DatasetFigures | None, palette: Palette) -> Iterator[Figure]:
    if figure_data is not None:
        yield from models.samples(dataset, figure_data, palette)
    yield measurements.every_seed(dataset, sheet, palette)
    yield measurements.by_importance_samples(dataset, sheet, palette)
    yield measurements.by_sample_size(dataset, sheet, palette)
    if figure_data is not None:
        yield from models.latent_spaces(dataset, figure_data, palette)
        yield from models.training_curves(dataset, figure_data, palette)
        yield measurements.against_cost(dataset, sheet, figure_data, palette)


def _facts(figure_data: DatasetFigures) -> str:
    """Support, shape, sizes of the splits and digest of a dataset."""
    info, spec = figure_data.info, figure_data.info["spec"]
    sizes = ", ".join(f"{count:,} {split}" for split, count in info["sizes"].items())
    levels = f", {figure_data.levels} levels" if figure_data.levels else ""
    shape = " × ".join(map(str, spec["shape"]))
    return f"{info['name']}: {spec['support']}, {shape}{levels}; {sizes} examples; digest {info['digest'][:12]}"
