"""The theory as measured: a table of all claims, and each as a chapter of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.tables.render import Cell, Table, to_markdown
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import read_json, write_text

COLUMNS = ["label", "quantity", "setting", "prediction", "measurement", "std_error", "relation", "tolerance", "verdict"]
SIGNS = {"equal": "", "at most": "≤ ", "at least": "≥ "}
PARTS = {"claim", "title", "statement", "source", "formula", "text", "rows", "tables"}


@dataclass(frozen=True)
class Chapter:
    """A claim as it is read: words, formula as MathML, rows, a verdict over all of them, and figures."""

    label: str
    title: str
    statement: str
    source: str
    formula: str
    paragraphs: list[str]
    rows: Table
    verdict: str
    figures: Sequence[Figure]


def write_theory(parts: Mapping[str, Path], directory: Path) -> str:
    """Write `theory.csv` (all digits) and `theory.md` in `directory`; one line that sums them up."""
    claims = {label: read_claim(path) for label, path in parts.items()}
    lines = pd.DataFrame([row | {"label": label} for label, claim in claims.items() for row in claim["rows"]])
    write_text(directory / "theory.csv", lines[COLUMNS].to_csv(index=False, lineterminator="\n"))
    texts = ["# The theory, measured", f"{summary(claims)}.", NOTE]
    for claim in claims.values():
        words = f"{claim['statement']} ({claim['source']})\n\n$${claim['formula']}$$\n\n{claim['text']}"
        texts.append(to_markdown(table(claim), columns=9).replace("\n\n", f"\n\n{words}\n\n", 1))
    write_text(directory / "theory.md", "\n\n".join(texts))
    return summary(claims)


def read_claim(path: Path) -> dict[str, Any]:
    """What the stage wrote. Errors: `UserError` naming a file that is no such thing."""
    claim = read_json(path)
    if not isinstance(claim, dict) or not set(claim) >= PARTS:
        raise UserError(f"{path}: not a measured claim with {', '.join(sorted(PARTS))}; delete it to run it anew")
    return claim


NOTE = (
    "A row holds if measurement ± 2 errors lies within the tolerance of the prediction, and fails if none of it does; "
    "undecided: the run is too small to tell. The error is the standard error over seeds or examples. Rows without a "
    "verdict are shown for comparison."
)


def summary(claims: Mapping[str, dict[str, Any]]) -> str:
    verdicts = [verdict_of(claim) for claim in claims.values()]
    words = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "undecided": ("is undecided", "are undecided")}
    counts = {verdict: verdicts.count(verdict) for verdict in words}
    return ", ".join(f"{n} of {len(claims)} claims {words[verdict][n > 1]}" for verdict, n in counts.items() if n)


def verdict_of(claim: dict[str, Any]) -> str:
    """The worst of its rows."""
    verdicts = {row["verdict"] for row in claim["rows"]}
    return next((word for word in ("fails", "undecided", "holds") if word in verdicts), "undecided")


def table(claim: dict[str, Any]) -> Table:
    header = ["quantity", "setting", "prediction", "measured", "error", "tolerance", "verdict"]
    rows = []
    for row in claim["rows"]:
        judged = row["verdict"] != "context"
        without = "exact" if judged and row["relation"] == "equal" else "–"
        cells: list[tuple[str, float | None]] = [
            (row["quantity"], None),
            (row["setting"], None),
            (f"{SIGNS[row['relation']]}{row['prediction']:.5g}" if judged else "–", row["prediction"]),
            (f"{row['measurement']:.5g}", row["measurement"]),
            (f"{row['std_error']:.2g}" if row["std_error"] else without, row["std_error"]),
            (f"{row['tolerance']:g}" if judged else "–", row["tolerance"]),
            (row["verdict"] if judged else "–", None),
        ]
        emphasis = "bold" if row["verdict"] in ("fails", "undecided") else ""
        rows.append([Cell(text, emphasis, value=value) for text, value in cells])  # type: ignore[arg-type]
    return Table(claim["title"], claim["title"], header, rows)


def chapters(home: Path, labels: Sequence[str]) -> list[Chapter]:
    """The claims of an experiment folder, in their order."""
    from latex2mathml.converter import convert

    from deepgen_bench.report.figures.theory_charts import CHARTS

    found = []
    for number, label in enumerate(labels, 1):
        claim = read_claim(home / "theory" / f"{label}.json")
        tables = {name: pd.DataFrame(records) for name, records in claim["tables"].items()}
        drawn = CHARTS[claim["claim"]](tables) if claim["claim"] in CHARTS else []
        figures = [
            Figure(f"theory_{label}_{name}", title, caption, f"{title}. {caption}", chart)
            for name, title, caption, chart in drawn
        ]
        found.append(
            Chapter(
                label=label,
                title=f"{number}. {claim['title']}",
                statement=claim["statement"],
                source=claim["source"],
                formula=convert(claim["formula"], display="block"),
                paragraphs=claim["text"].split("\n\n"),
                rows=table(claim),
                verdict=verdict_of(claim),
                figures=figures,
            )
        )
    return found
