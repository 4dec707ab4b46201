"""The contents of a report, in the order of the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from deepgen_bench.report.data.experiments import ExperimentFile, Experiments
from deepgen_bench.report.data.sheet import sheets
from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.page.overview import headline, troubles
from deepgen_bench.report.page.provenance import Provenance, provenance
from deepgen_bench.report.page.section import CHECKPOINT, Section, sections_of
from deepgen_bench.report.tables.chapters import Chapter, chapters
from deepgen_bench.report.tables.published import published_tables
from deepgen_bench.report.tables.render import Table
from deepgen_bench.report.tables.studies import calibration_table
from deepgen_bench.studies.result import read_result


@dataclass(frozen=True)
class Contents:
    experiments: Experiments
    headline: Table
    troubles: list[tuple[str, str, str]]
    ranks: list[Table]
    published: list[Table]
    theory: list[Chapter]
    sections: list[Section]
    calibration: list[Table]
    provenance: Provenance

    @property
    def n_seeds(self) -> int:
        return int(self.experiments.results.rows["seed"].nunique())

    @property
    def figures(self) -> list[Figure]:
        parts: Sequence[Chapter | Section] = [*self.theory, *self.sections]
        return [figure for part in parts for figure in part.figures]


def contents_of(experiments: Experiments) -> Contents:
    results, files = experiments.results, experiments.files
    sections, ranks = sections_of(experiments)
    return Contents(
        experiments,
        headline(sections),
        troubles(results.rows),
        ranks,
        _published(experiments),
        list(chain.from_iterable(chapters(file.home, file.theory) for file in files)),
        sections,
        [table for file in files for table in _calibration(file)],
        provenance(results),
    )


def _published(experiments: Experiments) -> list[Table]:
    """Published numbers beside those of a single experiment; several experiments share no labels with the papers."""
    if len(experiments.files) > 1 or not (published := experiments.files[0].published):
        return []
    return list(published_tables(sheets(experiments.results.rows, CHECKPOINT), published))


def _calibration(file: ExperimentFile) -> list[Table]:
    """The calibration table of an experiment, if it has checks and all of them have finished."""
    paths = {label: file.home / "calibration" / f"{label}.json" for label in file.calibration}
    finished = paths and all(path.is_file() for path in paths.values())
    return [calibration_table({label: read_result(path) for label, path in paths.items()})] if finished else []
