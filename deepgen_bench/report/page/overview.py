"""The first screen of the report: the headline table, and what went wrong."""

from collections.abc import Sequence

import pandas as pd

from deepgen_bench.report.data.metrics import display_name
from deepgen_bench.report.page.section import Section
from deepgen_bench.report.tables.render import Cell, Table
from deepgen_bench.report.tables.wording import MARKS, MISSING, STATUSES, plural

WORST_FIRST = ["failed", "diverged", "suspect", "not_converged"]


def headline(sections: Sequence[Section]) -> Table:
    """The headline columns of all datasets, with the emphasis that they have in the comparison tables.

    A model with several kinds of sample has one row, with the last kind, by which it is ranked.
    """
    header, families = ["model"], []
    columns: list[dict[str, Cell]] = []
    for section in sections:
        for i, name in enumerate(section.headline.header[1:], 1):
            header.append(name)
            families.append(section.dataset)
            columns.append({row[0].model: row[i] for row in section.headline.rows})
    models = {row[0].model: row[0].emphasis for section in sections for row in section.headline.rows}
    rows = [
        [Cell(model, emphasis, model=model), *(column.get(model, Cell(MISSING)) for column in columns)]
        for model, emphasis in models.items()
    ]
    return Table("headline", "headline", header, rows, families=families)


def troubles(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """What failed, diverged or is in doubt at the final checkpoint, the worst first.

    Each is (status, dataset and metric, models with their numbers of seeds).
    """
    seeds: dict[tuple[str, str, str, str], set[int]] = {}
    doubtful = rows[~rows["status"].isin(["ok", "not_applicable"]) & (rows["checkpoint"] == "final")]
    for row in doubtful.itertuples(index=False):
        # a replicate that is missing altogether lacks every metric
        metric = "" if row.status in ("diverged", "failed") else display_name(row.metric)
        seeds.setdefault((row.status, row.dataset, metric, row.model), set()).add(int(row.seed))
    models: dict[tuple[str, str, str], list[str]] = {}
    for (status, dataset, metric, model), of_model in seeds.items():
        text = f"{model} ({len(of_model)} {plural(len(of_model), 'seed')})"
        models.setdefault((status, dataset, metric), []).append(text)
    return [
        (f"{MARKS.get(status, '')} {STATUSES[status]}".strip(), f"{dataset} {metric}".strip(), ", ".join(texts))
        for (status, dataset, metric), texts in sorted(models.items(), key=lambda item: WORST_FIRST.index(item[0][0]))
    ]
