"""Tables as CSV, Markdown, LaTeX or aligned text."""

import csv
import io
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Literal

from deepgen_bench.runtime.errors import printable

Emphasis = Literal["", "bold", "italic"]


@dataclass(frozen=True)
class Cell:
    """A plain text (`1.2 ± 0.1`) and its emphasis.

    `tooltip` holds further details, `value` the number that the table is sorted by; `model` is the model that a row's
    first cell names, where there is one.
    """

    text: str
    emphasis: Emphasis = ""
    tooltip: str = ""
    value: float | None = None
    model: str = ""


@dataclass(frozen=True)
class Table:
    """Cells to be written. `name` is the stem of the file, `dataset` the dataset that the table is about, if any.

    The first `lead` columns describe the row and are repeated in every block. `families` has the subject of each other
    column; a table that is too wide is broken into blocks between families.
    """

    name: str
    title: str
    header: list[str]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    families: list[str] = field(default_factory=list)
    lead: int = 1
    dataset: str = ""

    @property
    def full_title(self) -> str:
        """The title after the dataset."""
        return f"{self.dataset}: {self.title}" if self.dataset else self.title

    def columns(self, chosen: Sequence[int]) -> "Table":
        """The table with these columns only, by number."""
        families = [self.families[i - self.lead] for i in chosen if i >= self.lead]
        lead = sum(i < self.lead for i in chosen)
        rows = [[row[i] for i in chosen] for row in self.rows]
        header = [self.header[i] for i in chosen]
        return replace(self, header=header, rows=rows, families=families, lead=lead)

    @property
    def spans(self) -> list[tuple[str, int]]:
        """The families in their order, and the number of columns of each."""
        return [(family, len(list(columns))) for family, columns in groupby(self.families)]

    def block(self, start: int, stop: int) -> "Table":
        """The lead and the columns from `start` to `stop`."""
        return self.columns([*range(self.lead), *range(start, stop)])


def to_csv(table: Table) -> str:
    """One block of any width, without emphasis and notes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_inert, table.header))
    writer.writerows([[_inert(cell.text) for cell in row] for row in table.rows])
    return text.getvalue()


def to_markdown(table: Table, columns: int = 6) -> str:
    """Pipe tables of at most `columns` metrics each, then the notes as a list."""
    marks = {"": "{}", "bold": "**{}**", "italic": "*{}*"}
    parts = [f"### {_markdown(table.full_title)}"]
    for block in _blocks(table, lambda widths: len(widths) - table.lead <= columns):
        lines = [[_markdown(name) for name in block.header]]
        lines += [[marks[cell.emphasis].format(_markdown(cell.text)) for cell in row] for row in block.rows]
        rule = "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(_widths(lines)))
        body = [f"| {' | '.join(line)} |" for line in _aligned(lines)]
        parts.append("\n".join([body[0], f"|{rule}|", *body[1:]]))
    parts.append("\n".join(f"- {_markdown(note)}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def to_latex(table: Table, columns: int = 4) -> str:
    """A `table` with a booktabs `tabular` for at most every `columns` metrics, and the notes below."""
    bold = {"": "{}", "bold": r"\textbf{{{}}}", "italic": r"\textit{{{}}}"}
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{_latex(table.full_title)}}}",
    ]
    lines.append(rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', table.name)}}}")
    for block in _blocks(table, lambda widths: len(widths) - table.lead <= columns):
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(block.header) - 1)}}}", r"\toprule"]
        lines += [" & ".join(map(_stacked, block.header)) + r" \\", r"\midrule"]
        rows = [" & ".join(bold[cell.emphasis].format(_latex(cell.text)) for cell in row) for row in block.rows]
        # LaTeX would read [ as an optional argument and * as the star of the \\ above
        lines += [re.sub(r"^[\[*]", r"{\g<0>}", row) + r" \\" for row in rows]
        lines += [r"\bottomrule", r"\end{tabular}", "", r"\medskip"]
    lines += [r"\begin{minipage}{\linewidth}\footnotesize", *(_latex(note) + r"\par" for note in table.notes)]
    return "\n".join([*lines, r"\end{minipage}", r"\end{table}"]) + "\n"


def to_document(tables: Sequence[Table]) -> str:
    """A LaTeX document that includes the file of each table."""
    head = [
        r"\documentclass{article}",
        r"\usepackage[a4paper,landscape,margin=1cm]{geometry}",
        r"\usepackage{booktabs}",
    ]
    inputs = [rf"\input{{{table.name}.tex}}" for table in tables]
    return "\n".join([*head, r"\begin{document}", *inputs, r"\end{document}"]) + "\n"


def to_text(table: Table, width: int = 120) -> str:
    """Aligned columns for a terminal, in blocks no wider than `width`, then the notes; bold cells have a star."""
    marks = {"": "{}", "bold": "{}*", "italic": "{}"}
    parts = [printable(table.full_title)]
    for block in _blocks(table, lambda widths: sum(widths) + 2 * (len(widths) - 1) <= width):
        lines = [list(map(printable, block.header))]
        lines += [[marks[cell.emphasis].format(printable(cell.text)) for cell in row] for row in block.rows]
        parts.append("\n".join("  ".join(line).rstrip() for line in _aligned(lines)))
    notes = [textwrap.fill(printable(note), width, initial_indent="- ", subsequent_indent="  ") for note in table.notes]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def _blocks(table: Table, fits: Callable[[list[int]], bool]) -> Iterator[Table]:
    """The table in blocks that each repeat the lead: each family by itself, in as few equal blocks as fit.

    `fits` decides by the widths of the columns. A column that is too wide becomes a block of its own.
    """
    widths = _widths([table.header, *([cell.text + "*" for cell in row] for row in table.rows)])
    if fits(widths):
        yield table
        return
    start = table.lead
    for _, names in groupby(table.families or [""] * (len(widths) - start)):
        count = len(list(names))
        for parts in range(1, count + 1):
            edges = [start + count * i // parts for i in range(parts + 1)]
            blocks = list(pairwise(edges))
            if all(fits(widths[: table.lead] + widths[a:b]) for a, b in blocks):
                break
        yield from (table.block(a, b) for a, b in blocks)
        start += count


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _aligned(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pad the cells: the first column is aligned to the left, the others to the right."""
    widths = _widths(lines)
    padded = [[text.rjust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    return [[line[0].ljust(widths[0]), *rest[1:]] for line, rest in zip(lines, padded, strict=True)]


def _inert(text: str) -> str:
    """A text that no spreadsheet reads as a formula; signed numbers are unchanged."""
    text = printable(text)
    return f"'{text}" if re.match(r"[=@]|[+-](?![\d.])", text) else text


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_`<>&~$]|\](?=[(\[:]))", r"\\\1", printable(text))


def _stacked(heading: str) -> str:
    """A heading with brackets in two lines, broken before the first bracket."""
    lines = [_latex(line) for line in re.split(r" (?=[(\[])", heading, maxsplit=1)]
    # {}: LaTeX would read a bracket right after \\ as an optional argument
    return rf"\shortstack[r]{{{lines[0]}\\{{}}{lines[1]}}}" if len(lines) > 1 else lines[0]


def _latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {char: "\\" + char for char in "&%$#_{}"}
    special |= {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "–": "--", "<": "$<$", ">": "$>$"}
    special |= {"∞": r"$\infty$", "≤": r"$\le$", "≥": r"$\ge$", "−": "$-$", "τ": r"$\tau$"}
    text = "".join(special.get(char, char) for char in printable(text))
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", text)  # a minus sign, not a hyphen
