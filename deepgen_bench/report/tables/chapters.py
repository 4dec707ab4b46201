"""Textbook claims as chapters of the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.tables.render import Table
from deepgen_bench.report.tables.studies import claim_verdict, row_table
from deepgen_bench.studies.result import read_result


@dataclass(frozen=True)
class Chapter:
    """A claim: its words, the formula as MathML, rows, the worst verdict of all rows, and figures."""

    label: str
    title: str
    statement: str
    source: str
    formula: str
    paragraphs: list[str]
    rows: Table
    verdict: str
    figures: Sequence[Figure]


def chapters(home: Path, labels: Sequence[str]) -> list[Chapter]:
    """The claims of an experiment folder, in the order of their labels."""
    return [read_chapter(home, label, number) for number, label in enumerate(labels, 1)]


def read_chapter(home: Path, label: str, number: int) -> Chapter:
    from latex2mathml.converter import convert

    from deepgen_bench.report.figures.theory_charts import CHARTS

    result = read_result(home / "theory" / f"{label}.json")
    words = result.words
    assert words is not None
    tables = {name: pd.DataFrame(records) for name, records in result.tables.items()}
    charts = CHARTS[result.study](tables) if result.study in CHARTS else []
    figures = [
        Figure(f"theory_{label}_{name}", title, caption, f"{title}. {caption}", chart)
        for name, title, caption, chart in charts
    ]
    return Chapter(
        label=label,
        title=f"{number}. {words.title}",
        statement=words.statement,
        source=words.source,
        formula=convert(words.formula, display="block"),
        paragraphs=words.text.split("\n\n"),
        rows=row_table(words.title, result.rows),
        verdict=claim_verdict(result),
        figures=figures,
    )
