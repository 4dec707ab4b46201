"""A transformed simple variable has a complex law, and a generator learns such a transformation."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.studies.textbook.claim import Claim, Evidence, Row, mean_row

# generated samples that are held against a law; Kolmogorov's 99.9 % quantile is 1.95
SAMPLES, KOLMOGOROV = 4000, 1.95


class TransformationSettings(Settings):
    """`n` draws of each transformed variable; `replicates` generators for each, trained on `budget` examples."""

    n: int = Field(100_000, ge=10_000)
    replicates: int = Field(5, ge=2, le=100)
    budget: int = Field(300_000, ge=1)


def laws(n: int, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, Any]]:
    """By name: n draws of a transformation, and the law that they must have."""
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
    title = "Simple noise, transformed"
    statement = "A function of simple noise has a complex law, and a generator can learn the function from samples."
    source = "inverse transform and Box & Muller 1958; Goodfellow et al. 2014"
    formula = r"X = g(Z), \qquad P(X \in A) = P(Z \in g^{-1}(A))"
    text = (
        "Each transformation is held against its law by the Kolmogorov–Smirnov distance, which 99.9 % of all samples "
        "of this size keep below the prediction. Then generators (minimax GAN) learn each law from samples. Theirs is "
        "never exact, so no test is made: their distance stands beside that of a fresh sample of the same size."
    )

    def evidence(self) -> Evidence:
        rows: list[Row] = []
        curves: list[dict[str, Any]] = []
        for name, (x, law) in laws(self.settings.n, self.rng("draws")).items():
            found = distance(x, law)
            critical = float(KOLMOGOROV / np.sqrt(len(x)))
            rows.append(Row("KS distance of the transformation", name, critical, found, 0.0, relation="at most"))
            learnt = self.learnt(name, x)
            fresh = laws(self.settings.replicates * SAMPLES, self.rng("fresh"))[name][0].reshape(-1, SAMPLES)
            own = np.array([distance(sample, law) for sample in learnt])
            floor = np.array([distance(sample, law) for sample in fresh])
            rows.append(mean_row(f"KS distance of generators, n = {SAMPLES:,}", name, 0.0, own, 0.1, "at most"))
            rows.append(mean_row(f"KS distance of fresh samples, n = {SAMPLES:,}", name, None, floor))
            low, high = np.quantile(x, [0.001, 0.999])
            grid = np.linspace(low, high, 121)
            shown = {("law", -1): law.cdf(grid), ("transformation", -1): of(x, grid)}
            shown |= {("generator", seed): of(sample, grid) for seed, sample in enumerate(learnt)}
            for (which, seed), values in shown.items():
                common = {"law": name, "which": which, "seed": seed}
                curves += [common | {"x": float(a), "F": float(p)} for a, p in zip(grid, values, strict=True)]
        return Evidence(rows, {"curves": curves})

    def learnt(self, name: str, x: np.ndarray) -> np.ndarray:
        """Samples of trained generators, (S, SAMPLES)."""
        from deepgen_bench.studies.textbook.learning import splits_of, trained

        settings: dict[str, Any] = {"batch_size": 128, "hidden": [64, 64], "latent_dim": 2, "beta1": 0.0}
        settings |= {"learning_rate": 3e-4, "discriminator_learning_rate": 3e-4, "critic_steps": 2}
        splits, count = splits_of(x[:24_000, None], 2000), self.settings.replicates
        models = trained(self, name, "gan", settings, splits, count, self.settings.budget)
        seeds = self.seeds(f"{name} samples", count)
        return np.array([model.sample(SAMPLES, seed)[""][:, 0] for model, seed in zip(models, seeds, strict=True)])


def distance(x: np.ndarray, law: Any) -> float:
    from scipy.stats import kstest

    return float(kstest(x, law.cdf).statistic)


def of(x: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The empirical distribution function on a grid."""
    return np.searchsorted(np.sort(x), grid, side="right") / len(x)
