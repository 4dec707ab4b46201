"""The first screen of the report: the headline table, and what went wrong."""

from collections.abc import Sequence

import pandas as pd

from deepgen_bench.report.page.section import Section
from deepgen_bench.report.tables.headings import NAMES
from deepgen_bench.report.tables.notes import MARKS
from deepgen_bench.report.tables.render import Cell, Table

WORST_FIRST = ["failed", "diverged", "suspect", "not_converged"]


def headline(sections: Sequence[Section]) -> Table:
    """The chief columns of all datasets in one table, with the marks of their own tables; of a model with several kinds
    of sample the one that it is ranked by, the last."""
    header, families = ["model"], []
    columns: list[dict[str, Cell]] = []
    for section in sections:
        for i, name in enumerate(section.chief.header[1:], 1):
            header.append(name)
            families.append(section.dataset)
            columns.append({model_of(row): row[i] for row in section.chief.rows})
    models = {model_of(row): row[0].emphasis for section in sections for row in section.chief.rows}
    rows = [
        [Cell(model, emphasis), *(column.get(model, Cell("–")) for column in columns)]
        for model, emphasis in models.items()
    ]
    return Table("headline", "headline", header, rows, families=families)


def model_of(row: Sequence[Cell]) -> str:
    """The model of a row, whose label may say what its sample is."""
    return row[0].text.split(" (")[0]


def troubles(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """What failed, diverged or is in doubt at the last checkpoint: the word, where, and whose; what is alike is one."""
    seeds: dict[tuple[str, str, str, str], set[int]] = {}
    doubtful = rows[~rows["status"].isin(["ok", "not_applicable"]) & (rows["checkpoint"] == "final")]
    for row in doubtful.itertuples(index=False):
        # a replicate that is not there at all lacks every metric
        metric = "" if row.status in ("diverged", "failed") else NAMES.get(row.metric, row.metric)
        seeds.setdefault((row.status, row.dataset, metric, row.model), set()).add(int(row.seed))
    models: dict[tuple[str, str, str], list[str]] = {}
    for (status, dataset, metric, model), its in seeds.items():
        models.setdefault((status, dataset, metric), []).append(
            f"{model} ({len(its)} seed{'s' if len(its) > 1 else ''})"
        )
    return [
        (f"{MARKS.get(status, '')} {status.replace('_', ' ')}".strip(), f"{dataset} {metric}".strip(), ", ".join(whose))
        for (status, dataset, metric), whose in sorted(models.items(), key=lambda item: WORST_FIRST.index(item[0][0]))
    ]
