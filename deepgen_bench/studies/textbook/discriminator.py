"""The optimal discriminator, and the value of the GAN's objective at it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.synthetic import mixture_log_prob
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Claim, Evidence, Row, mean_row

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deepgen_bench.training.replicate_rng import ReplicateRNG


# means and standard deviation of an equal mixture of normal distributions
Mixture = tuple[tuple[float, ...], float]
# number of quadrature nodes, and the end of the interval, beyond which the densities are negligible
NODES, END = 20_001, 12.0
# p* and p_g by name
PAIRS: dict[str, tuple[Mixture, Mixture]] = {
    "N(0, 1) and N(1, 1)": (((0.0,), 1.0), ((1.0,), 1.0)),
    "two modes and N(0, 4)": (((-2.0, 2.0), 0.5), ((0.0,), 2.0)),
}


class DiscriminatorSettings(Settings):
    """`replicates` discriminators, each trained for `steps` and evaluated on `n` draws of each distribution."""

    replicates: int = Field(5, ge=2, le=100)
    steps: int = Field(4000, ge=1)
    n: int = Field(100_000, ge=1000)


def density(x: np.ndarray, means: tuple[float, ...], sd: float) -> np.ndarray:
    """The density of a mixture, in the shape of x."""
    log_weights = np.full(len(means), -np.log(len(means)))
    return np.exp(mixture_log_prob(x.reshape(-1, 1), log_weights, np.array(means)[:, None], sd)).reshape(x.shape)


def density_ratio(x: np.ndarray, p: Mixture, q: Mixture) -> np.ndarray:
    """The optimal discriminator p/(p + q) at x."""
    a, b = density(x, *p), density(x, *q)
    return a / (a + b)


def optimal_value(p: Mixture, q: Mixture) -> float:
    """2·JSD - 2 log 2 by the trapezoidal rule."""
    x = np.linspace(-END, END, NODES)
    a, b = density(x, *p), density(x, *q)
    integrand = np.where(a > 0, a * np.log(a / (a + b)), 0) + np.where(b > 0, b * np.log(b / (a + b)), 0)
    return float(np.trapezoid(integrand, x))


def sample(rng: "ReplicateRNG", n: int, means: tuple[float, ...], sd: float) -> "Tensor":
    """Draws from a mixture, (S, n, 1)."""
    import torch

    component = rng.indices(len(means), n)
    return torch.tensor(means)[component][..., None] + sd * rng.normal(n, 1)


class DiscriminatorClaim(Claim):
    """A claim about discriminators that are trained between the two distributions of each pair."""

    Settings = DiscriminatorSettings
    settings: DiscriminatorSettings

    def train(self, name: str) -> "nn.Module":
        """Discriminators between the two distributions of a pair."""
        from deepgen_bench.studies.textbook.train import discriminator_loss, train_discriminators

        p, q = PAIRS[name]
        return train_discriminators(
            self,
            lambda rng, n: sample(rng, n, *p),
            lambda rng, n: sample(rng, n, *q),
            discriminator_loss,
            role=name,
            replicates=self.settings.replicates,
            steps=self.settings.steps,
        )

    def held_out_rng(self) -> "ReplicateRNG":
        """Generators of the draws on which discriminators are evaluated."""
        from deepgen_bench.training.replicate_rng import ReplicateRNG

        return ReplicateRNG(self.seeds("held out", self.settings.replicates), "cpu")


class OptimalDiscriminator(DiscriminatorClaim):
    title = "The optimal discriminator"
    statement = "For a fixed generator the optimal discriminator is the ratio p*/(p* + p_g)."
    source = "Goodfellow et al. 2014, proposition 1"
    formula = r"D^*(x) = \frac{p^*(x)}{p^*(x) + p_g(x)}"
    text = (
        "Discriminators are trained between two distributions whose densities are known, with new draws in every "
        "step. They are compared with the exact ratio by the mean absolute difference |D − D*| over draws from both "
        "distributions."
    )

    def measure(self) -> Evidence:
        import torch

        rows, curves = [], []
        for name, (p, q) in PAIRS.items():
            network = self.train(name)
            rng = self.held_out_rng()
            x = torch.cat([sample(rng, self.settings.n, *p), sample(rng, self.settings.n, *q)], 1)
            with torch.no_grad():
                outputs = network(x).sigmoid()[..., 0].double().numpy()
            exact = density_ratio(x[..., 0].double().numpy(), p, q)
            error = np.abs(outputs - exact).mean(1)
            rows.append(mean_row("mean |D − D*|", name, 0.0, error, 0.02, relation="at most"))
            rows.append(mean_row("mean of D", name, 0.5, outputs.mean(1), 0.01))
            # the error of a discriminator that has learned nothing
            rows.append(mean_row("mean |1/2 − D*|", name, None, np.abs(0.5 - exact).mean(1)))
            curves += list(self.curves(name, network, p, q))
        return Evidence(rows, {"curves": curves})

    def curves(self, name: str, network: "nn.Module", p: Mixture, q: Mixture) -> Iterator[dict[str, Any]]:
        """Records of the exact ratio and of the discriminators on a grid."""
        import torch

        x = np.linspace(-5, 6, 111)
        with torch.no_grad():
            grid = torch.as_tensor(x, dtype=torch.float32)[None, :, None].expand(self.settings.replicates, -1, -1)
            outputs = network(grid).sigmoid()[..., 0].numpy()
        exact = density_ratio(x, p, q)
        for i, value in enumerate(x):
            common = {"pair": name, "x": round(float(value), 3)}
            yield common | {"which": "p*/(p* + p_g)", "seed": -1, "D": round(float(exact[i]), 5)}
            for seed, values in enumerate(outputs):
                yield common | {"which": "trained", "seed": seed, "D": round(float(values[i]), 5)}


class Objective(DiscriminatorClaim):
    title = "The value of the GAN's objective"
    statement = "At the optimal discriminator the GAN's objective equals 2·JSD − 2 log 2."
    source = "Goodfellow et al. 2014, theorem 1"
    formula = (
        r"\max_D\; \mathbb{E}_{p^*} \log D(x) + \mathbb{E}_{p_g} \log (1 - D(x)) = "
        r"2\,\mathrm{JSD}(p^* \Vert p_g) - 2 \log 2"
    )
    text = (
        "The value is computed by quadrature (for N(0, 1) and N(1, 1) the Jensen–Shannon divergence is 0.111421482). "
        "The expected objective of a trained discriminator, estimated on draws that were not used for training, may "
        "approach this value but not exceed it."
    )

    def measure(self) -> Evidence:
        from torch.nn import functional as F

        first = next(iter(PAIRS))
        exact = {name: optimal_value(p, q) for name, (p, q) in PAIRS.items()}
        rows = [Row("2·JSD − 2 log 2", f"{first}, quadrature", -1.163451397, exact[first], 0.0, 1e-8)]
        values: list[dict[str, Any]] = []
        for name, (p, q) in PAIRS.items():
            network = self.train(name)
            rng = self.held_out_rng()
            # log D of draws from p*, log (1 - D) of draws from p_g
            real, fake = (
                F.logsigmoid(sign * network(sample(rng, self.settings.n, *mixture)).detach()).double().mean((1, 2))
                for sign, mixture in ((1, p), (-1, q))
            )
            objective = (real + fake).numpy()
            rows.append(mean_row("V(D) of trained discriminators", name, exact[name], objective, 0.01))
            values += [{"pair": name, "which": "trained, one per seed", "value": float(value)} for value in objective]
            values.append({"pair": name, "which": "2·JSD − 2 log 2", "value": exact[name]})
            values.append({"pair": name, "which": "D = 1/2", "value": -2 * float(np.log(2))})
        return Evidence(rows, {"values": values})
