"""A mixture of simple laws is a complex one."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.synthetic import SineMixture
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.textbook.claim import Claim, Evidence, Row, mean_row

# where the density is looked at, and of how many draws an empirical distribution function may be so far from the true
# one, times √n: Kolmogorov's 99.9 % quantile
END, POINTS, KOLMOGOROV = 1.9, 381, 1.95


class MixtureSettings(Settings):
    """`n` draws; `replicates` VAEs with a one-dimensional latent, each trained on `budget` examples."""

    n: int = Field(100_000, ge=1000)
    replicates: int = Field(5, ge=2, le=100)
    budget: int = Field(200_000, ge=1)


class Mixture(Claim):
    Settings = MixtureSettings
    settings: MixtureSettings
    trains = ("vae",)
    title = "Simple laws, mixed"
    statement = "A continuous mixture of simple laws is complex, and a latent-variable model can learn it."
    source = "Kingma & Welling 2014, section 2"
    formula = r"Z \sim N(0, 1), \quad X \mid Z \sim N(\sin Z, 0.01), \quad p(x) = \int \pi(z)\, p(x \mid z)\, dz"
    text = (
        "The density of X has no closed form, but is exact by quadrature. Draws are held against it by the largest "
        "distance of distribution functions; the same distance to the normal law of equal mean and variance says how "
        "far from simple it is. VAEs with one latent dimension are trained on draws alone; the Kullback–Leibler "
        "divergence of their law, exact by quadrature over z, says what they have learnt."
    )

    def evidence(self) -> Evidence:
        from scipy.stats import norm

        data = SineMixture(SineMixture.Settings.model_validate({}))
        x = data.sample(self.settings.n, self.rng("draws"))[:, 0]
        grid = np.linspace(-END, END, POINTS)
        density = np.exp(data.log_prob(grid[:, None]))
        distribution = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
        sd = float(np.sqrt(np.trapezoid(grid**2 * density, grid)))
        empirical = np.searchsorted(np.sort(x), grid, side="right") / len(x)
        critical = KOLMOGOROV / np.sqrt(len(x))
        far = float(np.abs(distribution - norm.cdf(grid, 0, sd)).max())
        own, other = (float(np.abs(empirical - law).max()) for law in (distribution, norm.cdf(grid, 0, sd)))
        rows = [
            Row("largest |F − F_n|", f"{len(x):,} draws", float(critical), own, 0.0, relation="at most"),
            Row("largest |Φ − F_n|", "the normal law", far, other, 0.0, float(critical)),
        ]
        learnt = self.learnt(data, grid)
        divergence = [np.trapezoid(density * (np.log(density) - own), grid) for own in learnt]
        rows.append(mean_row("KL(p ‖ p_θ), nats", "trained VAEs", 0.0, np.array(divergence), 0.02, "at most"))
        normal = float(np.trapezoid(density * (np.log(density) - norm.logpdf(grid, 0, sd)), grid))
        rows.append(Row("KL(p ‖ normal), nats", "the normal law", None, normal, 0.0))
        counts, edges = np.histogram(x, np.linspace(-END, END, 77), density=True)
        centres = (edges[1:] + edges[:-1]) / 2
        laws = [{"law": "quadrature", "x": float(a), "p": float(p)} for a, p in zip(grid, density, strict=True)]
        for seed, own in enumerate(np.exp(learnt)):
            laws += [{"law": f"VAE, seed {seed}", "x": float(a), "p": float(p)} for a, p in zip(grid, own, strict=True)]
        histogram = [{"x": float(a), "p": float(p)} for a, p in zip(centres, counts, strict=True)]
        return Evidence(rows, {"laws": laws, "histogram": histogram})

    def learnt(self, data: Any, grid: np.ndarray) -> np.ndarray:
        """log densities of trained VAEs on the grid, (S, n)."""
        import torch

        from deepgen_bench.metrics.likelihood.decoder import Decoder
        from deepgen_bench.metrics.likelihood.grid import marginal_log_likelihood
        from deepgen_bench.studies.textbook.learning import trained

        settings = {"hidden": [64, 64], "latent_dim": 1, "batch_size": 32, "learning_rate": 0.001}
        models = trained(self, "vae", "vae", settings, data.splits(0), self.settings.replicates, self.settings.budget)
        found = []
        for model in models:
            network, tau = model.observation()
            decoder = Decoder(network, 1, tau)
            with torch.inference_mode():
                points = torch.as_tensor(grid[:, None])
                found.append(marginal_log_likelihood(decoder.pairwise_log_likelihood, points, 1)[0])
        return np.array(found)
