"""Write the tables of an experiment to files, or show them in a terminal."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from deepgen_bench.report.data.experiments import ExperimentFile
from deepgen_bench.report.data.paired import paired_errors
from deepgen_bench.report.data.sheet import sheets
from deepgen_bench.report.tables.comparison import comparison_tables
from deepgen_bench.report.tables.published import published_tables
from deepgen_bench.report.tables.render import Table, to_csv, to_document, to_latex, to_markdown, to_text
from deepgen_bench.report.tables.replicates import replicate_table
from deepgen_bench.report.tables.seeds import seeds_tables
from deepgen_bench.storage.files import write_text


def write_tables(
    rows: pd.DataFrame,
    directory: Path,
    checkpoint: str = "final",
    paired: pd.DataFrame | None = None,
    file: ExperimentFile | None = None,
) -> list[Path]:
    """Write every table as `<name>.csv`, `.md` and `.tex` in `directory`, and a LaTeX document of all as `_all.tex`.

    These are the comparison tables, those of replicates and of seeds, and for the published numbers in `file`, the
    experiment's, a table each. Returns the paths written.
    """
    paths = []
    errors = {} if paired is None else paired_errors(paired, rows["experiment"].iloc[0], checkpoint)
    by_dataset = sheets(rows, checkpoint, errors)
    quality = file.quality if file else {}
    replicates = [replicate_table(dataset, sheet, quality.get(dataset, {})) for dataset, sheet in by_dataset.items()]
    tables = comparison_tables(rows, checkpoint, paired)
    tables += [table for table in replicates if table]
    tables += seeds_tables(rows, checkpoint, paired)
    tables += published_tables(by_dataset, file.published if file else {})
    for table in tables:
        for suffix, render in ((".csv", to_csv), (".md", to_markdown), (".tex", to_latex)):
            paths.append(directory / f"{table.name}{suffix}")
            write_text(paths[-1], render(table))
    if tables:
        paths.append(directory / "_all.tex")
        write_text(paths[-1], to_document(tables))
    return paths


def show(
    rows: pd.DataFrame,
    checkpoint: str = "final",
    paired: pd.DataFrame | None = None,
    width: int = 120,
    make: Callable[..., list[Table]] = comparison_tables,
) -> str:
    """The tables that `make` makes of each experiment in `rows`, for a terminal of `width` characters.

    A note is given once.
    """
    parts = []
    shown: set[str] = set()
    for experiment, group in rows.groupby("experiment", sort=False):
        for table in make(group, checkpoint, paired):
            new = [note for note in table.notes if note not in shown]
            shown.update(new)
            title = f"{experiment} / {table.full_title}"
            parts.append(to_text(replace(table, title=title, dataset="", notes=new), width))
    return "\n".join(parts)
