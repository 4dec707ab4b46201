"""Write the tables of an experiment to files, or show them in a terminal."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from deepgen_bench.experiment.schema import PublishedEntry
from deepgen_bench.report.data.sheet import sheets
from deepgen_bench.report.tables.comparison import comparison_tables
from deepgen_bench.report.tables.published import published_tables
from deepgen_bench.report.tables.render import to_csv, to_document, to_latex, to_markdown, to_text
from deepgen_bench.storage.files import write_text


def write_tables(
    rows: pd.DataFrame,
    directory: Path,
    checkpoint: str = "final",
    paired: pd.DataFrame | None = None,
    published: Mapping[str, PublishedEntry] | None = None,
) -> list[Path]:
    """Write every table of `comparison_tables` and `published_tables` as `<name>.csv`, `.md` and `.tex` in `directory`.

    `_all.tex` is a LaTeX document of all of them. Returns the paths written.
    """
    paths = []
    tables = comparison_tables(rows, checkpoint, paired)
    if published:
        tables += published_tables(sheets(rows, checkpoint), published)
    for table in tables:
        for suffix, render in ((".csv", to_csv), (".md", to_markdown), (".tex", to_latex)):
            paths.append(directory / f"{table.name}{suffix}")
            write_text(paths[-1], render(table))
    if tables:
        paths.append(directory / "_all.tex")
        write_text(paths[-1], to_document(tables))
    return paths


def show(rows: pd.DataFrame, checkpoint: str = "final", paired: pd.DataFrame | None = None, width: int = 120) -> str:
    """The tables of all experiments in `rows` for a terminal of `width` characters; a note is given once."""
    parts = []
    shown: set[str] = set()
    for experiment, group in rows.groupby("experiment", sort=False):
        for table in comparison_tables(group, checkpoint, paired):
            new = [note for note in table.notes if note not in shown]
            shown.update(new)
            title = f"{experiment} / {table.full_title}"
            parts.append(to_text(replace(table, title=title, dataset="", notes=new), width))
    return "\n".join(parts)
