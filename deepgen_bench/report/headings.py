"""How measurements are called and how numbers are written in a table made for people."""

from collections.abc import Sequence
from math import floor, isfinite, log10

from deepgen_bench.report.summary import Comparable
from deepgen_bench.results import parse_variant

# In the order of a table's columns.
NAMES = {
    "frechet_distance": "FD",
    "inception_score": "IS",
    "kernel_distance": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "w1": "W1",
    "w2": "W2",
    "centred_w2": "centred W2",
    "sliced_w2": "sliced W2",
    "mmd": "MMD",
    "c2st": "C2ST",
    "modes_covered": "modes covered",
    "high_quality": "high quality",
    "log_likelihood": "log-likelihood",
    "elbo": "ELBO",
    "iw_elbo": "IW-ELBO",
    "bits_per_dim": "bits/dim",
    "reconstruction": "reconstruction",
    "kl": "KL",
    "active_units": "active units",
}
ARROWS = {"max": " ↑", "min": " ↓", "none": ""}
INCEPTION = {"frechet_distance": "FID", "inception_score": "IS", "kernel_distance": "KID"}
# The 2015-12-05 weights that published FIDs use; anything else called inception is named with its extractor.
INCEPTION_DIGEST = "6726825d"
IN_HEADING = ("extractor", "K", "representation")


def headings(columns: Sequence[Comparable]) -> list[str]:
    """A heading for each column, without arrow; equal ones are told apart by what differs between them."""
    names = [_heading(column) for column in columns]
    result = []
    for name, column in zip(names, columns, strict=True):
        facts = [_facts(other) for other, its in zip(columns, names, strict=True) if its == name]
        own = _facts(column)
        differing = [key for key in own if len({fact.get(key) for fact in facts}) > 1]
        result.append(name + (f" ({', '.join(f'{key}={own[key]}' for key in differing)})" if differing else ""))
    return result


def position(metric: str) -> int:
    """Where a metric's columns stand: known ones in the order of `NAMES`, others after them."""
    return list(NAMES).index(metric) if metric in NAMES else len(NAMES)


def mean_and_sd(mean: float, sd: float) -> str:
    """`mean ± sd`, the sd to two significant digits and the mean to the same decimals; four digits without an sd."""
    if sd < 1e-15 * abs(mean):  # equal numbers, averaged in floating point
        sd = 0.0
    if not (isfinite(mean) and isfinite(sd)) or sd == 0:
        alone = f"{mean:.4g}" if abs(mean) < 1e4 else f"{mean:.0f}"
        return f"{alone} ± 0" if sd == 0 else alone
    sd = float(f"{sd:.1e}")  # so that 0.0996 counts as 0.10
    decimals = 1 - floor(log10(sd))
    if decimals > 8:
        return f"{mean:.6g} ± {sd:.1e}"
    places = max(decimals, 0)
    return f"{round(mean, decimals) + 0.0:.{places}f} ± {sd:.{places}f}"  # + 0.0: no negative zero


def _heading(column: Comparable) -> str:
    pairs = parse_variant(column.variant)
    name = NAMES.get(column.metric, column.metric.replace("_", " "))
    extractor, digest = pairs.get("extractor", ""), pairs.get("digest", "")
    if column.metric in INCEPTION:
        extractor = extractor or "features not stated"
        if extractor == "inception" and digest.startswith(INCEPTION_DIGEST):
            name, extractor = INCEPTION[column.metric], ""
    if extractor == "inception" and not digest.startswith(INCEPTION_DIGEST):
        extractor = f"inception, weights {digest or 'not stated'}"
    unit = "" if column.unit == "1" or name.endswith(column.unit) else column.unit
    brackets = ", ".join(part for part in (unit, pairs.get("representation", "")) if part)
    parts = [name, f"K={pairs['K']}" if "K" in pairs else "", f"({extractor})" if extractor else ""]
    return " ".join(part for part in (*parts, f"[{brackets}]" if brackets else "") if part)


def _facts(column: Comparable) -> dict[str, str]:
    pairs = {key: text for key, text in parse_variant(column.variant).items() if key not in IN_HEADING}
    n_real, n_generated, split = column.n_real, column.n_generated, column.reference_split
    return {**pairs, "n_real": str(n_real), "n_generated": str(n_generated), "split": split}
