"""Tooltips: the details behind a number of a table, in a few lines."""

from math import isfinite

from deepgen_bench.report.data.groups import Spread
from deepgen_bench.report.tables.wording import BOUNDS, STATUSES, estimator_text, plural, split_text

# Labels of variant keys whose names do not explain themselves.
LABELS = {"digest": "weights"}


def tooltip(spread: Spread) -> str:
    """Lines on seeds and spread, errors, kind of number and estimator, and what it was measured on."""
    lines = (_over_seeds(spread), _errors(spread), _method(spread), _measured_on(spread))
    return "\n".join(filter(None, lines))


def _over_seeds(spread: Spread) -> str:
    values = ", ".join(f"{value:.4g}" for value in spread.values.values())
    sd = f", sd {spread.sd:.2g}" if isfinite(spread.sd) else ""
    seeds = f"{plural(spread.n_seeds, 'seed')} {', '.join(map(str, spread.values))}"
    return f"{spread.mean:.6g}{sd} over {seeds}: {values}"


def _errors(spread: Spread) -> str:
    named = {"of one measurement": spread.std_error, "by Monte Carlo or quadrature": spread.mc_error}
    errors = [f"{error:.2g} {name}" for name, error in named.items() if isfinite(error)]
    return f"standard error {', '.join(errors)}" if errors else ""


def _method(spread: Spread) -> str:
    settings = [f"{LABELS.get(key, key)} {value}" for key, value in spread.column.settings.pairs.items()]
    output = f"sample: {spread.group.output}" if spread.group.output else ""
    return ", ".join(filter(None, (BOUNDS[spread.bound], estimator_text(spread.group.estimator), output, *settings)))


def _measured_on(spread: Spread) -> str:
    column = spread.column
    counts = {"real": column.n_real, "generated": column.n_generated}
    sizes = [f"n {name} {n}" for name, n in counts.items() if n]
    doubts = [f"{count} {STATUSES[status]}" for status, count in spread.statuses.items() if status != "ok"]
    return ", ".join([*sizes, split_text(column.reference_split), f"checkpoint {spread.group.checkpoint}", *doubts])
