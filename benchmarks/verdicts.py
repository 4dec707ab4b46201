"""Error and power of the verdicts of the tables, beside those of pairwise Welch tests, under several kinds of noise.

    python benchmarks/verdicts.py [--tables 1000]

Prints two Markdown tables: the share of columns in which a model is called worse though all are equally good, and the
share in which a model that is better by some standard deviations is alone in bold. A column has `k` models.
"""

import argparse
from collections.abc import Callable
from itertools import combinations

import numpy as np
from scipy import stats

from deepgen_bench.report.data.confidence_set import LEVEL, confidence_set
from deepgen_bench.report.data.statistics import holm

Values = np.ndarray  # (k, seeds), smaller is better


def spreads(k: int, factor: float) -> np.ndarray:
    """Standard deviations (k, 1) from 1 to `factor`."""
    return np.geomspace(1, factor, k)[:, None]


def collapsing(rng: np.random.Generator, k: int, seeds: int) -> Values:
    """15 % of the replicates of every model collapse."""
    return rng.standard_normal((k, seeds)) + 20 * (rng.random((k, seeds)) < 0.15)


def one_collapses(rng: np.random.Generator, k: int, seeds: int) -> Values:
    """One model collapses in 20 % of its replicates and is better otherwise: as often better than another as worse."""
    values = rng.standard_normal((k, seeds))
    values[0] += np.where(rng.random(seeds) < 0.2, 20, -np.sqrt(2) * stats.norm.ppf(0.625))
    return values


def equal_means(rng: np.random.Generator, k: int, seeds: int) -> Values:
    """Lognormal with equal means and unequal spreads: most replicates of a model of wide spread are better."""
    sd = spreads(k, 4) / 4
    return np.exp(sd * rng.standard_normal((k, seeds)) - sd**2 / 2)


NOISES: dict[str, Callable[[np.random.Generator, int, int], Values]] = {
    "normal": lambda rng, k, n: rng.standard_normal((k, n)),
    "t, 3 degrees of freedom": lambda rng, k, n: rng.standard_t(3, (k, n)),
    "lognormal": lambda rng, k, n: np.exp(rng.standard_normal((k, n))),
    "lognormal, equal medians, log spreads 1 : 4": lambda rng, k, n: np.exp(
        spreads(k, 4) / 4 * rng.standard_normal((k, n))
    ),
    "normal, spreads 1 : 2": lambda rng, k, n: spreads(k, 2) * rng.standard_normal((k, n)),
    "normal, spreads 1 : 4": lambda rng, k, n: spreads(k, 4) * rng.standard_normal((k, n)),
    "every model collapses now and then": collapsing,
    "one model collapses and is better otherwise": one_collapses,
    "lognormal, equal means, log spreads 1 : 4": equal_means,
}


def by_confidence_set(values: Values) -> np.ndarray:
    return confidence_set(list(values)) > LEVEL


def by_welch(values: Values) -> np.ndarray:
    """Models that no other beats in Welch's tests of all pairs, with Holm's correction over the column."""
    pairs = list(combinations(range(len(values)), 2))
    a, b = (values[list(side)] for side in zip(*pairs, strict=True))
    adjusted = holm(np.nan_to_num(stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue, nan=1.0))
    kept = np.ones(len(values), bool)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        if p <= 0.05:
            kept[i if values[i].mean() > values[j].mean() else j] = False
    return kept


PROCEDURES = {"Welch, Holm": by_welch, "confidence set": by_confidence_set}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=1000, help="columns per cell")
    tables = parser.parse_args().tables
    settings = [(12, 3), (12, 5), (12, 10), (3, 5), (2, 5)]
    print("| noise |", " | ".join(f"k = {k}, {n} seeds" for k, n in settings), "|")
    print("| --- |", " | ".join("---:" for _ in settings), "|")
    for name, noise in NOISES.items():
        cells = []
        for k, n in settings:
            rng = np.random.default_rng(0)
            drawn = [noise(rng, k, n) for _ in range(tables)]
            shares = [np.mean([not keep(values).all() for values in drawn]) for keep in PROCEDURES.values()]
            cells.append(" → ".join(f"{share * 100:.1f}" for share in shares))
        print(f"| {name} |", " | ".join(cells), "|", flush=True)
    print()
    differences = [2, 3, 4, 6]
    print("| 12 models, one is better by |", " | ".join(f"{d} sd" for d in differences), "|")
    print("| --- |", " | ".join("---:" for _ in differences), "|")
    for n in (3, 5, 10):
        cells = []
        for d in differences:
            rng = np.random.default_rng(1)
            drawn = [NOISES["normal"](rng, 12, n) for _ in range(max(tables // 5, 1))]
            for values in drawn:
                values[0] -= d
            kept = [[keep(values) for values in drawn] for keep in PROCEDURES.values()]
            cells.append(" → ".join(f"{np.mean([m[0] and m.sum() == 1 for m in of]) * 100:.0f}" for of in kept))
        print(f"| {n} seeds |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
