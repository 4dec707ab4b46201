"""A mixture of simple distributions is a complex distribution."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.synthetic import SineMixture
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Claim, Evidence, Row, mean_row

# the density is evaluated at so many points of [-END, END]
END, POINTS = 1.9, 381
# the 99.9 % quantile of Kolmogorov's statistic, √n times the largest distance of distribution functions
KOLMOGOROV = 1.95


class MixtureSettings(Settings):
    """`n` draws; `replicates` VAEs with a one-dimensional latent space, each trained on `budget` examples."""

    n: int = Field(100_000, ge=1000)
    replicates: int = Field(5, ge=2, le=100)
    budget: int = Field(200_000, ge=1)


class Mixture(Claim):
    Settings = MixtureSettings
    settings: MixtureSettings
    trains = ("vae",)
    title = "Mixtures of simple distributions"
    statement = "A continuous mixture of simple distributions is complex, and a latent-variable model can learn it."
    source = "Kingma & Welling 2014, section 2"
    formula = r"Z \sim N(0, 1), \quad X \mid Z \sim N(\sin Z, 0.01), \quad p(x) = \int \pi(z)\, p(x \mid z)\, dz"
    text = (
        "The density of X has no closed form, but quadrature computes it accurately. Draws of X are compared with it "
        "by the largest distance between distribution functions; the same distance to the normal distribution with "
        "equal mean and variance measures how far from simple it is. VAEs with one latent dimension are trained on "
        "draws alone; the Kullback–Leibler divergence to their distribution, by quadrature over z, measures what they "
        "have learned."
    )

    def measure(self) -> Evidence:
        from scipy.stats import norm

        data = SineMixture(SineMixture.Settings.model_validate({}))
        x = data.sample(self.settings.n, self.rng("draws"))[:, 0]
        grid = np.linspace(-END, END, POINTS)
        density = np.exp(data.log_prob(grid[:, None]))
        cdf = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
        sd = float(np.sqrt(np.trapezoid(grid**2 * density, grid)))
        normal_cdf = norm.cdf(grid, 0, sd)
        empirical = np.searchsorted(np.sort(x), grid, side="right") / len(x)
        critical = KOLMOGOROV / np.sqrt(len(x))
        exact_distance = float(np.abs(cdf - normal_cdf).max())
        distance, normal_distance = (float(np.abs(empirical - other).max()) for other in (cdf, normal_cdf))
        rows = [
            Row("largest |F − F_n|", f"{len(x):,} draws", float(critical), distance, 0.0, relation="at most"),
            Row("largest |Φ − F_n|", "normal distribution", exact_distance, normal_distance, 0.0, float(critical)),
        ]
        log_densities = self.train_vaes(data, grid)
        divergence = [np.trapezoid(density * (np.log(density) - log_p), grid) for log_p in log_densities]
        rows.append(mean_row("KL(p ‖ p_θ), nats", "trained VAEs", 0.0, np.array(divergence), 0.02, "at most"))
        normal = float(np.trapezoid(density * (np.log(density) - norm.logpdf(grid, 0, sd)), grid))
        rows.append(Row("KL(p ‖ normal), nats", "normal distribution", None, normal, 0.0))
        counts, edges = np.histogram(x, np.linspace(-END, END, 77), density=True)
        centres = (edges[1:] + edges[:-1]) / 2
        densities = density_records("quadrature", grid, density)
        for seed, p in enumerate(np.exp(log_densities)):
            densities += density_records(f"VAE, seed {seed}", grid, p)
        histogram = [{"x": float(a), "p": float(p)} for a, p in zip(centres, counts, strict=True)]
        return Evidence(rows, {"densities": densities, "histogram": histogram})

    def train_vaes(self, data: SineMixture, grid: np.ndarray) -> np.ndarray:
        """Log densities of trained VAEs on the grid, (S, n)."""
        import torch

        from deepgen_bench.metrics.likelihood.decoder import Decoder
        from deepgen_bench.metrics.likelihood.grid import marginal_log_likelihood
        from deepgen_bench.studies.textbook.train import train_models

        settings = {"hidden": [64, 64], "latent_dim": 1, "batch_size": 32, "learning_rate": 0.001}
        replicates, budget = self.settings.replicates, self.settings.budget
        log_densities = []
        for model in train_models(self, "vae", "vae", settings, data.splits(0), replicates, budget):
            network, tau = model.observation()
            decoder = Decoder(network, 1, tau)
            with torch.inference_mode():
                points = torch.as_tensor(grid[:, None])
                log_densities.append(marginal_log_likelihood(decoder.pairwise_log_likelihood, points, 1)[0])
        return np.array(log_densities)


def density_records(name: str, x: np.ndarray, density: np.ndarray) -> list[dict[str, Any]]:
    return [{"distribution": name, "x": float(a), "p": float(p)} for a, p in zip(x, density, strict=True)]
