"""What there is to say of one number of a table, in a few lines."""

from math import isfinite

from deepgen_bench.report.data.summary import Spread
from deepgen_bench.report.tables.notes import BOUNDS, of_split
from deepgen_bench.storage.keys import Variant

# keys of a variant that do not say by themselves what they are
WORDS = {"digest": "weights"}


def about(spread: Spread) -> str:
    """Seeds, spread and errors; kind of number and estimator; what it was measured on."""
    return "\n".join(filter(None, (_over_seeds(spread), _errors(spread), _how(spread), _measured_on(spread))))


def _over_seeds(spread: Spread) -> str:
    values = ", ".join(f"{value:.4g}" for value in spread.values.values())
    sd = f", sd {spread.sd:.2g}" if isfinite(spread.sd) else ""
    seeds = f"seed{'s' if spread.n_seeds > 1 else ''} {', '.join(map(str, spread.values))}"
    return f"{spread.mean:.6g}{sd} over {seeds}: {values}"


def _errors(spread: Spread) -> str:
    named = {"of one measurement": spread.std_error, "by Monte Carlo or quadrature": spread.mc_error}
    errors = [f"{error:.2g} {name}" for name, error in named.items() if isfinite(error)]
    return f"standard error {', '.join(errors)}" if errors else ""


def _how(spread: Spread) -> str:
    facts = [f"{WORDS.get(key, key)} {value}" for key, value in Variant.parse(spread.column.variant).pairs.items()]
    output = f"sample: {spread.group.output}" if spread.group.output else ""
    return ", ".join(filter(None, (BOUNDS[spread.bound], spread.group.estimator, output, *facts)))


def _measured_on(spread: Spread) -> str:
    column = spread.column
    counts = {"real": column.n_real, "generated": column.n_generated}
    sizes = [f"n {name} {n}" for name, n in counts.items() if n]
    doubts = [f"{count} {status}" for status, count in spread.statuses.items() if status != "ok"]
    return ", ".join([*sizes, of_split(column.reference_split), f"checkpoint {spread.group.checkpoint}", *doubts])
