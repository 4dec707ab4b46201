"""How measurements are called and how numbers are written in a table made for people."""

from collections.abc import Sequence
from math import floor, isfinite, log10

from deepgen_bench.report.data.summary import Comparable
from deepgen_bench.storage.keys import Variant

# In the order of a table's columns, by what they tell.
FAMILIES = {
    "likelihood": {
        "log_likelihood": "log-likelihood",
        "elbo": "ELBO",
        "iw_elbo": "IW-ELBO",
        "bits_per_dim": "bits/dim",
        "log_density_ratio": "log p/p*",
    },
    "fidelity": {
        "frechet_distance": "FD",
        "frechet_distance_infinity": "FD∞",
        "inception_score": "IS",
        "kernel_distance": "KID",
        "precision": "precision",
        "recall": "recall",
        "density": "density",
        "coverage": "coverage",
    },
    "transport": {"w1": "W1", "w2": "W2", "centred_w2": "centred W2", "sliced_w2": "sliced W2"},
    "two-sample": {"mmd": "MMD", "c2st": "C2ST"},
    "modes": {"modes_covered": "modes covered", "high_quality": "high quality", "mode_kl": "mode KL"},
    "latent variables": {
        "reconstruction": "reconstruction",
        "kl": "KL",
        "active_units": "active units",
        "ess": "ESS",
        "pareto_k": "Pareto k",
        "ais": "AIS",
        "bdmc_gap": "BDMC gap",
        "tau": "τ",
    },
    "historical": {"parzen": "Parzen", "parzen_of_train": "Parzen of training data"},
    "memorisation": {"nn_auc": "NN AUC", "copied": "copied", "train_test_gap": "train − test"},
}
NAMES = {metric: name for names in FAMILIES.values() for metric, name in names.items()}
ARROWS = {"max": " ↑", "min": " ↓", "none": ""}
INCEPTION = {
    "frechet_distance": "FID",
    "frechet_distance_infinity": "FID∞",
    "inception_score": "IS",
    "kernel_distance": "KID",
}
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


def family(metric: str) -> str:
    """What a metric tells; `other` for one that is not known here."""
    return next((family for family, names in FAMILIES.items() if metric in names), "other")


def position(metric: str) -> int:
    """Where a metric's columns stand: known ones in the order of `NAMES`, others after them."""
    return list(NAMES).index(metric) if metric in NAMES else len(NAMES)


def mean_and_error(mean: float, error: float) -> str:
    """`mean ± error`, the error to two significant digits and the mean to the same decimals.

    Four digits of the mean alone where no error is known (NaN), and with `± 0`.
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


def _heading(column: Comparable) -> str:
    pairs = Variant.parse(column.variant).pairs
    name = NAMES.get(column.metric, column.metric.replace("_", " "))
    extractor, digest = pairs.get("extractor", ""), pairs.get("digest", "")
    if column.metric in INCEPTION:
        extractor = extractor or "features not stated"
        if extractor == "inception" and digest.startswith(INCEPTION_DIGEST):
            name, extractor = INCEPTION[column.metric], ""
    if extractor == "inception" and not digest.startswith(INCEPTION_DIGEST):
        extractor = f"inception, weights {digest or 'not stated'}"
    unit = "" if column.unit == "1" or name.endswith(column.unit) else column.unit
    split = f"{column.reference_split} split" if column.reference_split in ("train", "validation") else ""
    brackets = ", ".join(part for part in (unit, pairs.get("representation", ""), split) if part)
    parts = [name, f"K={pairs['K']}" if "K" in pairs else "", f"({extractor})" if extractor else ""]
    return " ".join(part for part in (*parts, f"[{brackets}]" if brackets else "") if part)


def _facts(column: Comparable) -> dict[str, str]:
    pairs = {key: text for key, text in Variant.parse(column.variant).pairs.items() if key not in IN_HEADING}
    n_real, n_generated = column.n_real, column.n_generated
    if n_real == n_generated or n_generated is None:
        return {**pairs, "n": str(n_real)}
    return {**pairs, "n_real": str(n_real), "n_generated": str(n_generated)}
