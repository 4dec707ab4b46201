"""The notes below a table: how to read it, how its numbers were obtained, and what went wrong."""

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import TypeVar

from deepgen_bench.report.data.comparisons import Comparisons, is_suspect
from deepgen_bench.report.data.groups import Comparable, Spread
from deepgen_bench.report.data.headings import IN_HEADING
from deepgen_bench.report.data.metrics import OVER_EXAMPLES
from deepgen_bench.report.data.power import FEWEST
from deepgen_bench.report.data.sheet import Grid, Row, Sheet
from deepgen_bench.report.data.statistics import LEVEL
from deepgen_bench.report.tables.wording import (
    BOUNDS,
    MARKS,
    OUTPUTS,
    SIGNS,
    STATUSES,
    estimator_text,
    plural,
    split_text,
)

Item = TypeVar("Item")


def notes(sheet: Sheet, grid: Grid, names: Sequence[str], comparisons: Comparisons, checkpoint: str) -> Iterator[str]:
    """The notes of a table with the cells of `grid`, whose columns the notes call by `names`."""
    yield _intervals(grid)
    yield from _tests(names, comparisons)
    cells = [spread for j in range(len(names)) for spread in grid.valued(j)]
    if any(spread.bound in SIGNS for spread in cells):
        yield (
            "≥, ≤: lower and upper bounds. A bound is bold only if it is better than every exact value and estimate of "
            "its column and no other bound is shown to be better. The model of a bound that is not bold need not be "
            "worse."
        )
    yield _checkpoint(sheet, grid.rows, checkpoint)
    if real := list(dict.fromkeys(row.model for row in grid.rows if row.is_real)):
        yield (
            f"{', '.join(real)}: real data in place of samples, the reference point of every metric; not ranked. It is "
            "not a strict limit: a model whose samples vary too little can score better."
        )
    single = [(row.output, row.model) for row in grid.rows if row.output and not row.label.output]
    for output, models in _grouped(single):
        yield f"A sample of {', '.join(models)} is {OUTPUTS.get(output, output)}."
    yield from _columns(grid, names)
    for (word, reason), replicates in _events(sheet, grid):
        yield f"{word} ({', '.join(replicates)}): {reason}."


def _intervals(grid: Grid) -> str:
    cells = [spread for j in range(len(grid.columns)) for spread in grid.valued(j)]
    sampled = [isfinite(spread.test_error) or spread.column.metric in OVER_EXAMPLES for spread in cells]
    over = "over seeds and test examples" if all(sampled) else "over seeds, given the one test set"
    if any(sampled) and not all(sampled):
        over = "over seeds, and over test examples where they are known to matter"
    return f"±: half-width of the 95 % interval {over}; a single seed has none."


def _checkpoint(sheet: Sheet, rows: Sequence[Row], checkpoint: str) -> str:
    models = {row.model for row in rows}
    final = sorted({s.group.model for s in sheet.spreads if s.group.checkpoint == "final"} & models)
    fallback = f"; final for models without another one: {', '.join(final)}" if checkpoint == "best" and final else ""
    return f"Checkpoint: {checkpoint}{fallback}."


def _tests(names: Sequence[str], comparisons: Comparisons) -> Iterator[str]:
    """What bold means, which tests it rests on, and which models they leave out."""
    if comparisons.tested:
        yield (
            f"Bold (*): the models that are not told from the best one, column by column at {LEVEL * 100:g} % (model "
            "confidence set, by permutation tests of the ranks of all replicates)."
        )
        if comparisons.repeated:
            yield "Columns that also stand in the comparison table are bold as there."
    elif any(comparisons.best):
        yield "Bold (*): as in the comparison table."
    elif comparisons.ranked:
        yield "Nothing is bold: too few models with at least two seeds to compare."
    if (seeds := min((group.n_seeds for column in comparisons.best for group in column), default=FEWEST)) < FEWEST:
        yield f"{seeds} seeds are too few to tell two models from each other; {FEWEST} can."
    yield "↑: larger is better. ↓: smaller is better. No arrow: not ranked."
    if comparisons.paired:
        yield "The tests also cover which test examples were drawn, by the differences of models on the same examples."
    if comparisons.unpaired:
        yield (
            "Where values of single examples are missing, likelihoods are compared as if on different test examples, "
            "which detects fewer differences."
        )
    left_out = [
        (f"{_why_left_out(group)}: {group.group.model}", name)
        for name, groups in zip(names, comparisons.left_out, strict=True)
        for group in groups
    ]
    for model, columns in _grouped(left_out if comparisons.tested else []):
        yield f"Not compared, {model} in {', '.join(columns)}."


def _why_left_out(group: Spread) -> str:
    if is_suspect(group):
        return "suspect"
    known = isfinite(group.half_width)
    return "without a standard error" if known else "fewer than two seeds with a finite value"


def _columns(grid: Grid, names: Sequence[str]) -> Iterator[str]:
    """Sizes, settings and estimators, each with the columns that share them."""
    sizes = [_sizes(column) for column in grid.columns]
    facts = [_facts(column, grid.valued(j)) for j, column in enumerate(grid.columns)]
    for fact, columns in [*_grouped(zip(sizes, names, strict=True)), *_grouped(zip(facts, names, strict=True))]:
        if fact:
            yield f"{fact}: {', '.join(columns) if len(columns) < len(names) else 'all columns'}."
    methods = [_estimators(grid.valued(j)) for j in range(len(names))]
    for text, columns in _grouped(zip(methods, names, strict=True)):
        if text:
            yield f"{', '.join(columns)} by {text}."


def _sizes(column: Comparable) -> str:
    counts = {"n_real": column.n_real, "n_generated": column.n_generated}
    return ", ".join([*(f"{name} {n}" for name, n in counts.items() if n), split_text(column.reference_split)])


def _facts(column: Comparable, spreads: Sequence[Spread]) -> str:
    """The kind of the numbers without an estimator, and the settings that the heading does not show."""
    kinds = list(dict.fromkeys(BOUNDS[spread.bound] for spread in spreads if not spread.group.estimator))
    settings = [f"{key}={text}" for key, text in column.settings.without(*IN_HEADING).pairs.items()]
    return ", ".join([*(kinds if kinds != ["estimate"] else []), *settings])


def _estimators(spreads: Sequence[Spread]) -> str:
    """The estimators of a column's numbers and the kinds of number that they give, each with its models."""
    pairs = [
        (f"{estimator_text(spread.group.estimator)} ({BOUNDS[spread.bound]})", spread.group.model)
        for spread in spreads
        if spread.group.estimator
    ]
    return "; ".join(f"{method}: {', '.join(models)}" for method, models in _grouped(pairs))


def _events(sheet: Sheet, grid: Grid) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """What went wrong in the replicates of a table: (word, reason), and the models with their seeds."""
    models = {row.model for row in grid.rows}
    lost = [(spread, _events_of(spread, ("diverged", "failed"))) for spread in sheet.spreads]
    in_cells = [(spread, _events_of(spread, tuple(STATUSES))) for line in grid.cells for spread in line if spread]
    seeds: dict[tuple[str, str], dict[str, set[int]]] = {}
    for spread, events in [*lost, *in_cells]:
        for word, reason, of_seeds in events if spread.group.model in models else ():
            seeds.setdefault((word, reason), {}).setdefault(spread.group.model, set()).update(of_seeds)
    for (word, reason), by_model in seeds.items():
        names = [
            model if word == STATUSES["not_applicable"] else f"{model} {_seeds(of_model)}"
            for model, of_model in by_model.items()
        ]
        yield (word, reason), names


def _events_of(spread: Spread, statuses: Sequence[str]) -> Iterator[tuple[str, str, list[int]]]:
    """(word, reason, seeds) of the measurements of a spread with one of these statuses.

    Reasons of several seeds usually differ in numbers alone, so the first stands for all; `metrics.csv` has the others.
    Each reason of a failed job is given.
    """
    for status in statuses:
        events = [event for event in spread.events if event.status == status and event.reason]
        reasons = _grouped((event.reason.rstrip("."), event) for event in events)
        if status == "failed":
            yield from ((STATUSES[status], reason, [event.seed for event in same]) for reason, same in reasons)
        elif reasons:
            mark = f"{MARKS[status]} " if spread.n_seeds and status in MARKS else ""
            more = len(reasons) - 1
            others = f" (and {more} similar {plural(more, 'reason')}, see metrics.csv)" if more else ""
            yield f"{mark}{STATUSES[status]}", f"{reasons[0][0]}{others}", [event.seed for event in events]


def _seeds(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    return f"{plural(len(ordered), 'seed')} {', '.join(map(str, ordered))}"


def _grouped(pairs: Iterable[tuple[str, Item]]) -> list[tuple[str, list[Item]]]:
    """Items by key, both once and in order of appearance."""
    collected: dict[str, dict[Item, None]] = {}
    for key, item in pairs:
        collected.setdefault(key, {})[item] = None
    return [(key, list(items)) for key, items in collected.items()]
