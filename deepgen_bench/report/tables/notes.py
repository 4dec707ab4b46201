"""What a reader must know under a table."""

import re
from collections.abc import Iterable, Sequence

from deepgen_bench.report.data.comparisons import Comparisons, is_suspect
from deepgen_bench.report.data.selection import ORACLE, OVER_EXAMPLES
from deepgen_bench.report.data.sheet import Row, Sheet
from deepgen_bench.report.data.statistics import LEVEL
from deepgen_bench.report.data.summary import Comparable, Event, Spread
from deepgen_bench.report.tables.headings import IN_HEADING, mean_and_error
from deepgen_bench.storage.keys import Variant

# Without a value: what does not apply, or else the worst thing that happened, names the cell.
WORDS = {
    "not_applicable": "n/a",
    "diverged": "diverged",
    "failed": "failed",
    "not_converged": "not converged",
    "suspect": "suspect",
}
MARKS = {"suspect": "?", "not_converged": "!"}
SIGNS = {"lower": "≥ ", "upper": "≤ "}
BOUNDS = {"lower": "lower bound", "upper": "upper bound", "exact": "exact", "estimate": "estimate"}
NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?"
OUTPUTS = {"mean": "the decoder's mean", "draw": "a draw from the decoder"}


def number(spread: Spread) -> str:
    """`mean ± margin`, with the sign of a bound before it and marks behind it where it is in doubt for some seed."""
    marks = "".join(f" {mark}" for status, mark in MARKS.items() if status in spread.statuses)
    return SIGNS.get(spread.bound, "") + mean_and_error(spread.mean, spread.margin) + marks


def notes(
    sheet: Sheet,
    rows: Sequence[Row],
    columns: Sequence[Comparable],
    names: Sequence[str],
    found: Sequence[Sequence[Spread | None]],
    comparisons: Comparisons,
    checkpoint: str,
) -> Iterable[str]:
    """The notes of a table, of which `names` heads the columns and `found` holds the cells by row."""
    names = _short(names)
    alone = "given the one test set; none for a single seed."
    if any(column.metric in OVER_EXAMPLES for column in columns):
        alone = f"for likelihoods also over the test examples, otherwise {alone}"
    yield f"±: half-width of the 95 % t interval over seeds, {alone}"
    yield from _tests(names, comparisons)
    if any(spread.bound in SIGNS for line in found for spread in line if spread and spread.n_seeds):
        yield (
            "≥, ≤: lower and upper bounds. One is bold only where it is better than every exact value and estimate of "
            "its column and no other bound is shown to be better. Where it is not bold its model need not be worse."
        )
    models = {row.model for row in rows}
    final = sorted({s.group.model for s in sheet.spreads if s.group.checkpoint == "final"} & models)
    fallback = f"; final where a model has no other: {', '.join(final)}" if checkpoint == "best" and final else ""
    yield f"Checkpoint: {checkpoint}{fallback}."
    if ORACLE in models:
        yield (
            "oracle: real data in the place of samples, the reference point of every metric, not ranked. It is not a "
            "strict floor: an under-dispersed model can score better."
        )
    for output, its in _grouped((row.output, row.model) for row in rows if row.output and row.label == row.model):
        yield f"A sample of {', '.join(its)} is {OUTPUTS.get(output, output)}."
    sizes, facts = map(_size, columns), [_fact(j, columns, found) for j in range(len(columns))]
    for fact, headed in [*_grouped(zip(sizes, names, strict=True)), *_grouped(zip(facts, names, strict=True))]:
        if fact:
            yield f"{fact}: {', '.join(headed) if len(headed) < len(names) else 'all'}."
    how = [_estimators([line[j] for line in found]) for j in range(len(columns))]
    for text, headed in _grouped(zip(how, names, strict=True)):
        if text:
            yield f"{', '.join(headed)} by {text}."
    for (word, reason), its in _events(sheet, rows, found):
        yield f"{word} ({', '.join(its)}): {reason}."


def _tests(names: Sequence[str], comparisons: Comparisons) -> Iterable[str]:
    """What bold means, of which tests, and what they leave out."""
    if comparisons.count:
        yield (
            f"Bold (*): not told apart from the best, as no other model is shown to be better at {LEVEL * 100:g} % "
            "(Welch's t-test over seeds for every two models, Holm's correction for all "
            f"{comparisons.count} of the table)."
        )
        if comparisons.repeated:
            yield "Columns of the comparison are bold as there."
    elif any(comparisons.best):
        yield "Bold (*): as in the comparison."
    elif comparisons.ranked:
        yield "Nothing is bold: too few models with at least two seeds to compare."
    if min((group.n_seeds for column in comparisons.best for group in column), default=0) == 2:
        yield "Two seeds are too few to tell: a test with one degree of freedom separates almost nothing."
    yield "↑ larger, ↓ smaller is better; no arrow: not ranked."
    if comparisons.paired:
        yield "Likelihoods of two models are compared example by example, on the same test examples, and over seeds."
    if comparisons.unpaired:
        yield (
            f"Likelihoods are compared as if on different test examples where the examples' own values are not there "
            f"({comparisons.unpaired} comparisons): this misses differences."
        )
    left_out = [
        (f"{'suspect' if is_suspect(group) else 'fewer than two seeds with a finite value'}: {group.group.model}", name)
        for name, groups in zip(names, comparisons.left_out, strict=True)
        for group in groups
    ]
    for model, headed in _grouped(left_out if comparisons.count else []):
        yield f"Not compared, {model} in {', '.join(headed)}."


def _short(names: Sequence[str]) -> list[str]:
    """Headings without unit and representation, where that leaves them different."""
    short = [re.sub(r" \[.*\]$", "", name) for name in names]
    return [brief if short.count(brief) == 1 else name for brief, name in zip(short, names, strict=True)]


def _size(column: Comparable) -> str:
    counts = [f"n_real {column.n_real}"] * bool(column.n_real)
    counts += [f"n_generated {column.n_generated}"] * bool(column.n_generated)
    return ", ".join([*counts, of_split(column.reference_split)])


def of_split(split: str) -> str:
    """What a measurement was made against, or on."""
    others = {"density": "against the known density", "simulated": "on data simulated by each model itself"}
    return others.get(split, f"{split} split")


def _fact(j: int, columns: Sequence[Comparable], found: Sequence[Sequence[Spread | None]]) -> str:
    """Kind of number, where no estimator tells it, and the parts of the variant that no heading shows."""
    pairs = [f"{k}={text}" for k, text in Variant.parse(columns[j].variant).pairs.items() if k not in IN_HEADING]
    cells = [spread for line in found if (spread := line[j]) and spread.n_seeds and not spread.group.estimator]
    kinds = list(dict.fromkeys(BOUNDS[spread.bound] for spread in cells))
    return ", ".join([*(kinds if kinds != ["estimate"] else []), *pairs])


def _estimators(cells: Sequence[Spread | None]) -> str:
    """How the numbers of a column were come by, and what kind each is, where they say so."""
    told = [spread for spread in cells if spread and spread.n_seeds and spread.group.estimator]
    pairs = ((f"{spread.group.estimator} ({BOUNDS[spread.bound]})", spread.group.model) for spread in told)
    return "; ".join(f"{how}: {', '.join(models)}" for how, models in _grouped(pairs))


def _events(
    sheet: Sheet, rows: Sequence[Row], found: Sequence[Sequence[Spread | None]]
) -> Iterable[tuple[tuple[str, str], list[str]]]:
    """What befell the replicates of a table, by status and reason; reasons that differ in numbers alone are one."""
    models = {row.model for row in rows}
    gone = ("diverged", "failed")
    lost = [(spread, event) for spread in sheet.spreads for event in spread.events if event.status in gone]
    shown = [(spread, event) for line in found for spread in line if spread for event in spread.events]
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    seeds: dict[tuple[str, str], dict[str, set[int]]] = {}
    for spread, event in [*lost, *shown]:
        if event.reason and spread.group.model in models:
            key = _word(event, spread), re.sub(NUMBER, "#", event.reason)
            reasons.setdefault(key, {})[event.reason.rstrip(".")] = None
            seeds.setdefault(key, {}).setdefault(spread.group.model, set()).add(event.seed)
    for (word, pattern), its in seeds.items():
        names = [model if word == WORDS["not_applicable"] else f"{model} {_seeds(of)}" for model, of in its.items()]
        yield (word, _ranges(list(reasons[word, pattern]))), names


def _ranges(reasons: Sequence[str]) -> str:
    """Reasons that differ in numbers alone as one, with the smallest and the largest of each number."""
    numbers = [iter(re.findall(NUMBER, reason)) for reason in reasons]

    def spread(_: re.Match[str]) -> str:
        ordered = sorted({next(its) for its in numbers}, key=lambda text: float(text.replace(",", "")))
        return ordered[0] if len(ordered) == 1 else f"{ordered[0]}–{ordered[-1]}"

    return re.sub(NUMBER, spread, reasons[0])


def _word(event: Event, spread: Spread) -> str:
    word = WORDS[event.status]
    return f"{MARKS[event.status]} {word}" if spread.n_seeds and event.status in MARKS else word


def _seeds(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    return f"seed{'s' if len(ordered) > 1 else ''} {', '.join(map(str, ordered))}"


def _grouped(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    """Names collected by what is said of them, both in order of appearance and once."""
    collected: dict[str, dict[str, None]] = {}
    for key, name in pairs:
        collected.setdefault(key, {})[name] = None
    return [(key, list(names)) for key, names in collected.items()]
