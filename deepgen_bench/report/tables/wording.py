"""Words, signs and number formats that all tables share."""

from math import floor, isfinite, log10

from deepgen_bench.report.data.groups import Spread
from deepgen_bench.storage.keys import Estimator

ARROWS = {"max": " ↑", "min": " ↓", "none": ""}
SIGNS = {"lower": "≥ ", "upper": "≤ "}
BOUNDS = {"lower": "lower bound", "upper": "upper bound", "exact": "exact", "estimate": "estimate"}
# A cell without a value shows the first of these that applies: "n/a", or else the most serious status.
STATUSES = {
    "not_applicable": "n/a",
    "diverged": "diverged",
    "failed": "failed",
    "not_converged": "not converged",
    "suspect": "suspect",
}
# Marks behind a value in doubt.
MARKS = {"suspect": "?", "not_converged": "!"}
MISSING = "–"
OUTPUTS = {"mean": "the decoder's mean", "draw": "a draw from the decoder"}
SPLITS = {"density": "against the known density", "simulated": "on data simulated by each model itself"}
# By the code of an estimator; the numbers in braces are those of `storage.keys.Estimator`.
ESTIMATORS = {
    "closed_form": "closed form",
    "grid": "quadrature on a grid",
    "laplace": "importance sampling at {starts} Laplace modes with {draws} draws",
    "laplace_ais": (
        "importance sampling at {starts} Laplace modes with {draws} draws, and where its weights are heavy-tailed "
        "annealed importance sampling from there with {steps} steps and {chains} chains"
    ),
    "flow_ode": "the ODE of the probability flow (the density of DDIM with ever more steps, not of the chain)",
    "denoising_bound": "the bound of {steps} denoising steps",
    "recorded": "values that came with the samples",
}


def estimator_text(estimator: str) -> str:
    """What an estimator, as text of a `storage.keys.Estimator`, is; an unknown one (of a plug-in) as it is."""
    try:
        parsed = Estimator.parse(estimator)
        return ESTIMATORS[parsed.code].format(**parsed.numbers)
    except (KeyError, ValueError):
        return estimator


def split_text(split: str) -> str:
    """What a measurement was made against, or on."""
    return SPLITS.get(split, f"{split} split")


def plural(count: int, noun: str) -> str:
    return f"{noun}{'' if count == 1 else 's'}"


def number(spread: Spread) -> str:
    """`mean ± margin` after the sign of a bound, and before marks if it is in doubt for some seed."""
    marks = "".join(f" {mark}" for status, mark in MARKS.items() if status in spread.statuses)
    return SIGNS.get(spread.bound, "") + mean_and_error(spread.mean, spread.margin) + marks


def mean_and_error(mean: float, error: float) -> str:
    """`mean ± error`: the error to two significant digits, the mean to the same decimals.

    The mean alone, to four digits, if the error is unknown (NaN); four digits and `± 0` if it is 0.
    """
    if not (isfinite(mean) and isfinite(error)) or error == 0:
        alone = f"{mean:.4g}" if abs(mean) < 1e4 else f"{mean:.0f}"
        return f"{alone} ± 0" if error == 0 else alone
    error = float(f"{error:.1e}")  # so that 0.0996 counts as 0.10
    decimals = 1 - floor(log10(error))
    if decimals > 8:
        return f"{mean:.6g} ± {error:.1e}"
    places = max(decimals, 0)
    return f"{round(mean, decimals) + 0.0:.{places}f} ± {error:.{places}f}"  # + 0.0: no negative zero
