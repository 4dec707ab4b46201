"""Comparison tables: models against metrics, one table per dataset, with the notes needed to read it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from deepgen_bench.errors import UserError
from deepgen_bench.files import write_text
from deepgen_bench.report.headings import ARROWS, IN_HEADING, headings, mean_and_sd, position
from deepgen_bench.report.render import Cell, Emphasis, Table, to_csv, to_latex, to_markdown, to_text
from deepgen_bench.report.summary import Comparable, summarise
from deepgen_bench.results import parse_variant

ORACLE = "oracle"
LIKELIHOODS = ("log_likelihood", "elbo", "iw_elbo", "bits_per_dim")
VAE_METRICS = ("reconstruction", "kl", "active_units")
# Without a value: the worst thing that happened names the cell.
WORDS = {
    "diverged": "diverged",
    "failed": "failed",
    "not_converged": "not converged",
    "suspect": "suspect",
    "not_applicable": "n/a",
}
MISSING = "–"
BOUNDS = {"lower": "lower bound", "upper": "upper bound", "exact": "exact", "estimate": "estimate"}


@dataclass(frozen=True)
class Row:
    """A model as the table shows it: `output` is set where one model gives two kinds of sample."""

    label: str
    model: str
    output: str


def comparison_tables(rows: pd.DataFrame, checkpoint: str = "final", all_k: bool = False) -> list[Table]:
    """Tables of one experiment's measurements, per dataset `<dataset>` and, with VAE diagnostics, `<dataset>_vae`.

    Checkpoint `best` shows models that have only a final one with it. Of importance-weighted bounds only the largest K
    is shown unless `all_k`. Best means are bold by the rule of `best_rows`.
    """
    if checkpoint not in ("final", "best"):
        raise UserError(f"checkpoint {checkpoint!r}; valid: final, best")
    if len(names := rows["experiment"].unique()) > 1:
        raise UserError(f"rows of {len(names)} experiments ({', '.join(names)}); tables are made of one")
    tables = []
    for dataset, found in rows.groupby("dataset", sort=False):
        has_best = set(found.loc[(found["checkpoint"] == "best") & (found["status"] == "ok"), "model"])
        wanted = [checkpoint if model in has_best else "final" for model in found["model"]]
        shown = found[found["checkpoint"] == wanted]
        vae = shown["metric"].isin(VAE_METRICS)
        for name, title, part in (
            (f"{dataset}", f"{dataset}: comparison", shown[~vae]),
            (f"{dataset}_vae", f"{dataset}: latent-variable models", shown[vae]),
        ):
            applicable = part.loc[part["status"] != "not_applicable", "model"].unique()
            part = part if name == dataset else part[part["model"].isin(applicable)]
            if len(applicable):
                tables.append(_table(name, title, part, checkpoint, all_k))
    return tables


def write_tables(
    rows: pd.DataFrame, directory: Path, checkpoint: Literal["final", "best"] = "final", all_k: bool = False
) -> list[Path]:
    """Write every table of `comparison_tables` as `<name>.csv`, `.md` and `.tex` in `directory`; the paths written."""
    paths = []
    for table in comparison_tables(rows, checkpoint, all_k):
        for suffix, render in ((".csv", to_csv), (".md", to_markdown), (".tex", to_latex)):
            paths.append(directory / f"{table.name}{suffix}")
            write_text(paths[-1], render(table))
    return paths


def show(
    rows: pd.DataFrame, checkpoint: Literal["final", "best"] = "final", all_k: bool = False, width: int = 120
) -> str:
    """The tables of all experiments in `rows` for a terminal of `width` characters."""
    parts = []
    for experiment, group in rows.groupby("experiment", sort=False):
        for table in comparison_tables(group, checkpoint, all_k):
            parts.append(f"{experiment} / {to_text(table, width)}")
    return "\n".join([*parts, "mean ± sd over seeds; * best mean; ↑ larger, ↓ smaller is better\n"])


def best_rows(groups: Sequence[Any]) -> list[int]:
    """Which groups of one column (rows of a summary with a value, no oracle) have the best mean.

    None where the column has no direction, or shows fewer than two models. A bound says where a number lies, so it is
    ranked against bounds of its own kind as a number, and against another kind only as far as it holds: no group is
    best while a number of another kind may really be better (a lower bound where larger is better, an upper bound where
    smaller is), nor if it is itself such a bound on the wrong side. Exact values and estimates are one kind.
    """
    directions = {group.direction for group in groups}
    if len({group.model for group in groups}) < 2 or len(directions) > 1 or directions & {"none"}:
        return []
    larger = directions == {"max"}
    top = (max if larger else min)(group.mean for group in groups)
    open_side, wrong_side = ("lower", "upper") if larger else ("upper", "lower")
    kind = [group.bound if group.bound in ("lower", "upper") else "point" for group in groups]
    return [
        i
        for i, group in enumerate(groups)
        if group.mean == top
        and all(other == kind[i] or (other != open_side and kind[i] != wrong_side) for other in kind)
    ]


def _table(name: str, title: str, part: pd.DataFrame, checkpoint: str, all_k: bool) -> Table:
    groups = list(summarise(part).itertuples(index=False))
    columns = _columns(groups, all_k)
    names = headings(columns)
    rows = _rows(part, groups)
    found = [[_find(groups, row, column) for column in columns] for row in rows]
    directions, best = [], []
    for j in range(len(columns)):
        valued = [i for i, line in enumerate(found) if _valued(line[j])]
        directions.append({found[i][j].direction for i in valued})
        ranked = [i for i in valued if rows[i].model != ORACLE]
        best.append({ranked[k] for k in best_rows([found[i][j] for i in ranked])})
    arrows = [ARROWS[next(iter(one))] if len(one) == 1 else "" for one in directions]
    cells = []
    for i, row in enumerate(rows):
        own = part[part["model"] == row.model]
        seeds, complete = _seeds(own)
        lost = (own["status"] == "diverged").all()
        style: Emphasis = "italic" if row.model == ORACLE else ""
        line = [Cell(row.label, style), Cell(seeds, style)]
        for j, group in enumerate(found[i]):
            line.append(Cell(_text(group, complete, lost), "bold" if i in best[j] else style))
        cells.append(line)
    header = ["model", "seeds", *(n + arrow for n, arrow in zip(names, arrows, strict=True))]
    return Table(name, title, header, cells, list(_notes(part, checkpoint, rows, columns, names, found)))


def _columns(groups: Sequence[Any], all_k: bool) -> list[Comparable]:
    """What is compared: all that has a value, then what was tried and has none; in the order of `position`."""
    columns: list[Comparable] = []
    for group in sorted(groups, key=lambda group: group.n_seeds == 0):
        column = _comparable(group)
        failed = group.n_seeds == 0 and set(_statuses(group)) != {"not_applicable"}
        if group.n_seeds and column not in columns or failed and not any(other.admits(column) for other in columns):
            columns.append(column)
    if not all_k:
        largest: dict[Comparable, int] = {}
        for column in columns:
            family, k = _split_k(column)
            largest[family] = max(k, largest.get(family, 0))
        columns = [column for column in columns if _split_k(column)[1] == largest[_split_k(column)[0]]]
    return sorted(columns, key=lambda column: position(column.metric))


def _split_k(column: Comparable) -> tuple[Comparable, int]:
    """A column without its K, and K (0 where there is none)."""
    pairs = parse_variant(column.variant)
    k = int(pairs.pop("K", 0))
    return column._replace(variant=";".join(f"{key}={text}" for key, text in pairs.items())), k


def _rows(part: pd.DataFrame, groups: Sequence[Any]) -> list[Row]:
    """Models in the order of the results, the oracle first; two rows for a model with two kinds of output."""
    rows = []
    for model in sorted(part["model"].unique(), key=lambda model: model != ORACLE):
        outputs = list(dict.fromkeys(group.output for group in groups if group.model == model and group.output))
        if len(outputs) > 1:
            rows += [Row(f"{model} ({output})", model, output) for output in outputs]
        else:
            rows.append(Row(model, model, "".join(outputs)))
    return rows


def _find(groups: Sequence[Any], row: Row, column: Comparable) -> Any:
    """The summary of `row` in `column`: the group with a value if there is one, else what is said of its lack."""
    mine = [group for group in groups if group.model == row.model and group.output in ("", row.output)]
    exact = [group for group in mine if _comparable(group) == column]
    exact.sort(key=lambda group: (group.n_seeds == 0, group.output == ""))
    silent = [group for group in mine if group.n_seeds == 0 and column.admits(_comparable(group))]
    if column.metric in LIKELIHOODS:  # a model that has no density says so once, of log_likelihood
        silent += [group for group in mine if group.n_seeds == 0 and group.metric == "log_likelihood"]
    return next(iter([*exact, *silent]), None)


def _comparable(group: Any) -> Comparable:
    n_real, n_generated = (None if pd.isna(n) else int(n) for n in (group.n_real, group.n_generated))
    return Comparable(group.metric, group.variant, group.unit, n_real, n_generated, group.reference_split)


def _valued(group: Any) -> bool:
    return group is not None and group.n_seeds > 0


def _statuses(group: Any) -> list[str]:
    return [part.split("=")[0] for part in group.statuses.split(";")]


def _text(group: Any, complete: int, lost: bool) -> str:
    """`mean ± sd`, with the number of seeds where it is not that of the row; a word where no seed has a value.

    `lost`: every seed diverged, which leaves nothing to say of single metrics.
    """
    if group is None:
        return WORDS["diverged"] if lost else MISSING
    if group.n_seeds:
        seeds = "" if group.n_seeds == complete else f" ({group.n_seeds} seed{'s' if group.n_seeds > 1 else ''})"
        return mean_and_sd(group.mean, group.sd) + seeds
    return next(word for status, word in WORDS.items() if status in _statuses(group))


def _seeds(rows: pd.DataFrame) -> tuple[str, int]:
    """`4/5, 1 diverged` and 4: a seed counts if it did not diverge and something of it has a value."""
    worst = []
    for _, statuses in rows.groupby("seed")["status"]:
        found = set(statuses)
        fine = "diverged" not in found and "ok" in found
        worst.append("ok" if fine else next(status for status in WORDS if status in found))
    complete = worst.count("ok")
    others = [f", {worst.count(status)} {word}" for status, word in WORDS.items() if status in worst]
    return f"{complete}/{len(worst)}{''.join(others)}", complete


def _notes(
    part: pd.DataFrame,
    checkpoint: str,
    rows: Sequence[Row],
    columns: Sequence[Comparable],
    names: Sequence[str],
    found: Sequence[Sequence[Any]],
) -> Iterable[str]:
    """What a reader must know: spread, checkpoint, oracle, and for each column what it was computed from."""
    yield (
        "± is the standard deviation over seeds (n - 1), of the seeds that have a value; it is not the sampling error "
        "of a measurement. Bold: best mean of a column, not a test of significance. No arrow: not ranked."
    )
    final = sorted(set(part.loc[part["checkpoint"] == "final", "model"]))
    if checkpoint == "best" and final:
        yield f"Checkpoint: best; final where a model has no other: {', '.join(final)}."
    else:
        yield f"Checkpoint: {checkpoint}."
    if any(row.model == ORACLE for row in rows):
        yield (
            "oracle: real data in the place of samples, the reference point of every metric; not a strict floor, as an "
            "under-dispersed model can score better. It is not ranked."
        )
    for output, models in _grouped((row.output, row.model) for row in rows if row.output and row.label == row.model):
        what = {"mean": "the decoder's mean", "draw": "a draw from the decoder"}.get(output, output)
        yield f"A sample of {', '.join(models)} is {what}."
    for size, headed in _grouped((_size(column), name) for column, name in zip(columns, names, strict=True)):
        yield f"{size}: {', '.join(headed)}."
    facts = []
    for j, column in enumerate(columns):
        pairs = [f"{k}={text}" for k, text in parse_variant(column.variant).items() if k not in IN_HEADING]
        kinds = list(dict.fromkeys(BOUNDS[line[j].bound] for line in found if _valued(line[j])))
        facts.append(", ".join([*(kinds if kinds != ["estimate"] else []), *pairs]))
    for fact, headed in _grouped((fact, name) for fact, name in zip(facts, names, strict=True) if fact):
        yield f"{fact}: {', '.join(headed)}."
    for (status, reason), models in _grouped(_causes(part)):
        yield f"{WORDS[status]} ({', '.join(models)}): {reason}."


def _size(column: Comparable) -> str:
    counts = [f"n_real {column.n_real}"] * bool(column.n_real)
    counts += [f"n_generated {column.n_generated}"] * bool(column.n_generated)
    return ", ".join([*counts, f"{column.reference_split} split"])


def _causes(part: pd.DataFrame) -> Iterable[tuple[tuple[str, str], str]]:
    for row in part[(part["status"] != "ok") & (part["reason"] != "")].itertuples(index=False):
        seed = "" if row.status == "not_applicable" else f" seed {row.seed}"
        yield (row.status, row.reason.rstrip(".")), f"{row.model}{seed}"


def _grouped(pairs: Iterable[tuple[Any, str]]) -> Iterable[tuple[Any, list[str]]]:
    """Names collected by what is said of them, both in order of appearance and once."""
    collected: dict[Any, dict[str, None]] = {}
    for key, name in pairs:
        collected.setdefault(key, {})[name] = None
    return [(key, list(names)) for key, names in collected.items()]
