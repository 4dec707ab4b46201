"""The optimal discriminator, and what the GAN's objective is at it."""

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.synthetic import mixture_log_prob
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.textbook.claim import Claim, Evidence, Row, mean_row

if TYPE_CHECKING:
    from torch import Tensor, nn

# nodes of the quadrature, and where the laws end for it
NODES, END = 20_001, 12.0


class DiscriminatorSettings(Settings):
    """`replicates` discriminators, each trained for `steps` and held against the truth on `n` draws of each law."""

    replicates: int = Field(5, ge=2, le=100)
    steps: int = Field(4000, ge=1)
    n: int = Field(100_000, ge=1000)


def density(x: np.ndarray, means: tuple[float, ...], sd: float) -> np.ndarray:
    """Of an equal mixture of normals, in the shape of x."""
    log_weights = np.full(len(means), -np.log(len(means)))
    return np.exp(mixture_log_prob(x.reshape(-1, 1), log_weights, np.array(means)[:, None], sd)).reshape(x.shape)


# by name: p* and p_g, each means and standard deviation of an equal mixture of normals
PAIRS = {
    "N(0, 1) and N(1, 1)": (((0.0,), 1.0), ((1.0,), 1.0)),
    "two modes and N(0, 4)": (((-2.0, 2.0), 0.5), ((0.0,), 2.0)),
}


def draw(draws: Any, n: int, means: tuple[float, ...], sd: float) -> "Tensor":
    """(S, n, 1) from an equal mixture of normals."""
    import torch

    which = draws.indices(len(means), n)
    return torch.tensor(means)[which][..., None] + sd * draws.normal(n, 1)


def optimal_value(p: tuple[tuple[float, ...], float], q: tuple[tuple[float, ...], float]) -> float:
    """2·JSD - 2 log 2 by the trapezoidal rule."""
    x = np.linspace(-END, END, NODES)
    a, b = density(x, *p), density(x, *q)
    integrand = np.where(a > 0, a * np.log(a / (a + b)), 0) + np.where(b > 0, b * np.log(b / (a + b)), 0)
    return float(np.trapezoid(integrand, x))


class OptimalDiscriminator(Claim):
    Settings = DiscriminatorSettings
    settings: DiscriminatorSettings
    title = "The optimal discriminator"
    statement = "Against a fixed generator the best discriminator is the ratio p*/(p* + p_g)."
    source = "Goodfellow et al. 2014, proposition 1"
    formula = r"D^*(x) = \frac{p^*(x)}{p^*(x) + p_g(x)}"
    text = (
        "Discriminators are trained between two laws whose densities are known, with fresh draws in every step, and "
        "held against the exact ratio: the mean distance |D − D*| over draws from both laws."
    )

    def evidence(self) -> Evidence:
        import torch

        from deepgen_bench.training.replicate_rng import ReplicateRNG

        rows, curves = [], []
        for name, (p, q) in PAIRS.items():
            network = train(self, name)
            draws = ReplicateRNG(self.seeds("held out", self.settings.replicates), "cpu")
            x = torch.cat([draw(draws, self.settings.n, *p), draw(draws, self.settings.n, *q)], 1)
            with torch.no_grad():
                found = network(x).sigmoid()[..., 0].double().numpy()
            exact = ratio(x[..., 0].double().numpy(), p, q)
            rows.append(mean_row("mean |D − D*|", name, 0.0, np.abs(found - exact).mean(1), 0.02, relation="at most"))
            rows.append(mean_row("mean of D", name, 0.5, found.mean(1), 0.01))
            # a discriminator that has learnt nothing
            blind = np.abs(0.5 - exact).mean(1)
            rows.append(mean_row("mean |1/2 − D*|", name, None, blind))
            curves += list(self.curves(name, network, p, q))
        return Evidence(rows, {"curves": curves})

    def curves(self, name: str, network: "nn.Module", p: Any, q: Any) -> Any:
        import torch

        x = np.linspace(-5, 6, 111)
        with torch.no_grad():
            grid = torch.as_tensor(x, dtype=torch.float32)[None, :, None].expand(self.settings.replicates, -1, -1)
            found = network(grid).sigmoid()[..., 0].numpy()
        exact = ratio(x, p, q)
        for i, place in enumerate(x):
            common = {"laws": name, "x": round(float(place), 3)}
            yield common | {"which": "p*/(p* + p_g)", "seed": -1, "D": round(float(exact[i]), 5)}
            for seed, values in enumerate(found):
                yield common | {"which": "trained", "seed": seed, "D": round(float(values[i]), 5)}


def ratio(x: np.ndarray, p: Any, q: Any) -> np.ndarray:
    a, b = density(x, *p), density(x, *q)
    return a / (a + b)


def train(claim: Any, name: str) -> "nn.Module":
    """Discriminators between the two laws of a pair."""
    from deepgen_bench.studies.textbook.learning import discriminator_loss, judges

    p, q = PAIRS[name]
    return judges(
        claim,
        lambda draws, n: draw(draws, n, *p),
        lambda draws, n: draw(draws, n, *q),
        discriminator_loss,
        role=name,
        replicates=claim.settings.replicates,
        steps=claim.settings.steps,
    )


class Objective(Claim):
    Settings = DiscriminatorSettings
    settings: DiscriminatorSettings
    title = "What the GAN's objective is"
    statement = "At the optimal discriminator the GAN's objective is 2·JSD − 2 log 2."
    source = "Goodfellow et al. 2014, theorem 1"
    formula = (
        r"\max_D\; \mathbb{E}_{p^*} \log D(x) + \mathbb{E}_{p_g} \log (1 - D(x)) = "
        r"2\,\mathrm{JSD}(p^* \Vert p_g) - 2 \log 2"
    )
    text = (
        "The value is exact by quadrature (for N(0, 1) and N(1, 1) the Jensen–Shannon divergence is 0.111421482). A "
        "trained discriminator's value on draws that it was not trained on may come near it, and not beyond."
    )

    def evidence(self) -> Evidence:
        from torch.nn import functional as F

        from deepgen_bench.training.replicate_rng import ReplicateRNG

        first = next(iter(PAIRS))
        exact = {name: optimal_value(p, q) for name, (p, q) in PAIRS.items()}
        rows = [Row("2·JSD − 2 log 2", f"{first}, quadrature", -1.163451397, exact[first], 0.0, 1e-8)]
        values = []
        for name, (p, q) in PAIRS.items():
            network = train(self, name)
            draws = ReplicateRNG(self.seeds("held out", self.settings.replicates), "cpu")
            # log D of draws from p*, log (1 - D) of draws from p_g
            real, fake = (
                F.logsigmoid(sign * network(draw(draws, self.settings.n, *law)).detach()).double().mean((1, 2))
                for sign, law in ((1, p), (-1, q))
            )
            found = (real + fake).numpy()
            rows.append(mean_row("V(D) of trained discriminators", name, exact[name], found, 0.01))
            values += [{"laws": name, "which": "trained, a seed each", "value": float(value)} for value in found]
            values.append({"laws": name, "which": "2·JSD − 2 log 2", "value": exact[name]})
            values.append({"laws": name, "which": "D = 1/2", "value": -2 * float(np.log(2))})
        return Evidence(rows, {"values": values})
