"""A transformation of a simple random variable has a complex distribution, and a generator learns such a function."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Claim, Evidence, Row, mean_row

# number of generated samples that are compared with a distribution; the 99.9 % quantile of Kolmogorov's statistic
SAMPLES, KOLMOGOROV = 4000, 1.95


class TransformationSettings(Settings):
    """`n` draws of each transformed variable; `replicates` generators for each, trained on `budget` examples."""

    n: int = Field(100_000, ge=10_000)
    replicates: int = Field(5, ge=2, le=100)
    budget: int = Field(300_000, ge=1)


def transformations(n: int, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, Any]]:
    """By name: n draws of a transformed variable, and its exact distribution (a scipy distribution)."""
    from scipy import stats

    u, v = 1 - rng.random((2, n))
    z = rng.standard_normal((2, n))
    return {
        "−log U ~ Exp(1)": (-np.log(u), stats.expon),
        "Z₁² + Z₂² ~ χ²(2)": ((z**2).sum(0), stats.chi2(2)),
        "√(−2 log U₁) cos(2πU₂) ~ N(0, 1)": (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v), stats.norm),
    }


class Transformation(Claim):
    Settings = TransformationSettings
    settings: TransformationSettings
    trains = ("gan",)
    title = "Transformations of simple noise"
    statement = (
        "A function of simple noise has a complex distribution, and a generator can learn the function from samples."
    )
    source = "inverse transform and Box & Muller 1958; Goodfellow et al. 2014"
    formula = r"X = g(Z), \qquad P(X \in A) = P(Z \in g^{-1}(A))"
    text = (
        "Each transformed variable is compared with its exact distribution by the Kolmogorov–Smirnov distance, which "
        "is below the prediction for 99.9 % of all samples of this size. Then generators (minimax GAN) learn each "
        "distribution from samples. A generator's distribution is never exact, so no test is made: its distance is "
        "shown with that of new samples of the same size from the exact distribution."
    )

    def measure(self) -> Evidence:
        rows: list[Row] = []
        curves: list[dict[str, Any]] = []
        for name, (x, exact) in transformations(self.settings.n, self.rng("draws")).items():
            distance = ks_distance(x, exact)
            critical = float(KOLMOGOROV / np.sqrt(len(x)))
            rows.append(Row("KS distance of the transformation", name, critical, distance, 0.0, relation="at most"))
            generated = self.train_generators(name, x)
            fresh, _ = transformations(self.settings.replicates * SAMPLES, self.rng("fresh"))[name]
            distances, floor = (
                np.array([ks_distance(sample, exact) for sample in samples])
                for samples in (generated, fresh.reshape(-1, SAMPLES))
            )
            rows.append(mean_row(f"KS distance of generators, n = {SAMPLES:,}", name, 0.0, distances, 0.1, "at most"))
            rows.append(mean_row(f"KS distance of new samples, n = {SAMPLES:,}", name, None, floor))
            low, high = np.quantile(x, [0.001, 0.999])
            grid = np.linspace(low, high, 121)
            functions = {("exact", -1): exact.cdf(grid), ("transformation", -1): empirical_cdf(x, grid)}
            functions |= {("generator", seed): empirical_cdf(sample, grid) for seed, sample in enumerate(generated)}
            for (which, seed), values in functions.items():
                common = {"distribution": name, "which": which, "seed": seed}
                curves += [common | {"x": float(a), "F": float(p)} for a, p in zip(grid, values, strict=True)]
        return Evidence(rows, {"curves": curves})

    def train_generators(self, name: str, x: np.ndarray) -> np.ndarray:
        """Samples of trained generators, (S, SAMPLES)."""
        from deepgen_bench.studies.textbook.train import split_vectors, train_models

        settings: dict[str, Any] = {"batch_size": 128, "hidden": [64, 64], "latent_dim": 2, "beta1": 0.0}
        settings |= {"learning_rate": 3e-4, "discriminator_learning_rate": 3e-4, "critic_steps": 2}
        splits, count = split_vectors(x[:24_000, None], 2000), self.settings.replicates
        models = train_models(self, name, "gan", settings, splits, count, self.settings.budget)
        seeds = self.seeds(f"{name} samples", count)
        return np.array([model.sample(SAMPLES, seed)[""][:, 0] for model, seed in zip(models, seeds, strict=True)])


def ks_distance(x: np.ndarray, distribution: Any) -> float:
    """The Kolmogorov–Smirnov distance between draws and a scipy distribution."""
    from scipy.stats import kstest

    return float(kstest(x, distribution.cdf).statistic)


def empirical_cdf(x: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The empirical distribution function of x on a grid."""
    return np.searchsorted(np.sort(x), grid, side="right") / len(x)
