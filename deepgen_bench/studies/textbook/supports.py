"""Two distributions with disjoint supports: the values of distances, and the gradients that a generator receives."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Claim, Evidence, Row, mean_row

if TYPE_CHECKING:
    from torch import Tensor

    from deepgen_bench.studies.textbook.train import Loss
    from deepgen_bench.training.replicate_rng import ReplicateRNG

SHIFTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
# θ of the generator z + θ at which gradients are measured, and after how many training steps of the discriminator
GRADIENT_SHIFTS, STEPS = (0.5, 1.0, 2.0, 4.0), (10, 30, 100, 300, 1000, 3000)
PENALTY, SD = 10.0, 0.05


class SupportsSettings(Settings):
    """Empirical distances of `n` draws; gradients at `replicates` trained discriminators and critics."""

    replicates: int = Field(5, ge=2, le=100)
    n: int = Field(4000, ge=100)


class DisjointSupports(Claim):
    Settings = SupportsSettings
    settings: SupportsSettings
    title = "Disjoint supports"
    statement = (
        "If the supports are disjoint, the Jensen–Shannon divergence is log 2 whatever their distance, and the "
        "minimax generator receives no gradient; the Wasserstein distance and its gradient do not vanish."
    )
    source = "Arjovsky & Bottou 2017, theorem 2.4; Arjovsky, Chintala & Bottou 2017, example 1"
    formula = (
        r"p^* = U[0, 1],\; p_\theta = U[\theta, \theta + 1]: \quad "
        r"\mathrm{JSD} = \min(\theta, 1) \log 2, \quad W_1 = \theta"
    )
    text = (
        "The generator is z + θ. Its gradient is measured at discriminators and critics after an increasing number of "
        "training steps, for three losses: the minimax loss E log(1 − D), the non-saturating loss −E log D, and the "
        "critic's estimate of W1 with a gradient penalty λ = 10, whose optimum has the slope 1 + θ/(2λ). The better "
        "the discriminator, the smaller the minimax gradient."
    )

    def measure(self) -> Evidence:
        distances = list(self.distances())
        rows = []
        for record in distances:
            if record["theta"] in GRADIENT_SHIFTS:
                setting = f"θ = {record['theta']:g}"
                error, jsd = record["jsd_error"], min(record["theta"], 1.0) * np.log(2)
                rows.append(Row("JSD of samples, by histogram", setting, jsd, record["jsd"], error, 0.02))
                rows.append(Row("W1 of samples", setting, record["theta"], record["w1"], record["w1_error"], 0.03))
        gradients = self.gradients()
        last = {(g["theta"], g["loss"]): np.array(g.pop("by_seed")) for g in gradients if g["step"] == STEPS[-1]}
        for record in gradients:
            record.pop("by_seed", None)
        for theta in (2.0, 4.0):
            setting = f"θ = {theta:g}, after {STEPS[-1]:,} steps"
            slope = 1 + theta / (2 * PENALTY)
            minimax, critic, non_saturating = (
                last[theta, loss] for loss in ("minimax", "Wasserstein", "non-saturating")
            )
            rows.append(mean_row("|gradient|, minimax", setting, 0.0, minimax, 0.02, "at most"))
            rows.append(mean_row("|gradient|, Wasserstein", setting, slope, critic, 0.05))
            rows.append(mean_row("|gradient|, non-saturating", setting, 0.5, non_saturating, 0.0, "at least"))
        return Evidence(rows, {"distances": distances, "gradients": gradients})

    def distances(self) -> Iterator[dict[str, float]]:
        """JSD by a histogram with 20 cells per unit, and W1 by sorting: means and errors over independent samples."""
        from deepgen_bench.metrics.samples.optimal_transport import wasserstein

        rng = self.rng("distances")
        edges = np.linspace(0, 1 + SHIFTS[-1], 20 * (1 + int(SHIFTS[-1])) + 1)
        for theta in SHIFTS:
            jsd, w1 = [], []
            for _ in range(self.settings.replicates):
                x, y = rng.uniform(size=self.settings.n), theta + rng.uniform(size=self.settings.n)
                jsd.append(histogram_jsd(np.histogram(x, edges)[0], np.histogram(y, edges)[0]))
                w1.append(wasserstein(x[:, None], y[:, None], 1).value)
            root = np.sqrt(self.settings.replicates)
            yield {
                **{"theta": theta, "jsd": float(np.mean(jsd)), "jsd_error": float(np.std(jsd, ddof=1) / root)},
                **{"w1": float(np.mean(w1)), "w1_error": float(np.std(w1, ddof=1) / root)},
            }

    def gradients(self) -> list[dict[str, Any]]:
        """|d loss/dθ| at discriminators and critics after each of `STEPS`; `by_seed` has the value of every seed."""
        from deepgen_bench.studies.textbook.train import discriminator_loss, penalised_critic_loss

        records: list[dict[str, Any]] = []
        for theta in GRADIENT_SHIFTS:
            records += self.gradients_at(theta, discriminator_loss, ("minimax", "non-saturating"))
            records += self.gradients_at(theta, penalised_critic_loss(PENALTY), ("Wasserstein",))
        return records

    def gradients_at(self, theta: float, loss: "Loss", generator_losses: tuple[str, ...]) -> list[dict[str, Any]]:
        """Train networks between the distributions at θ with `loss`, and measure the gradients of the generator."""
        import torch
        from torch import nn
        from torch.nn import functional as F

        from deepgen_bench.studies.textbook.train import train_discriminators
        from deepgen_bench.training.replicate_rng import ReplicateRNG

        count = self.settings.replicates
        records: list[dict[str, Any]] = []
        functions: dict[str, Any] = {
            "minimax": lambda scores: F.logsigmoid(-scores),
            "non-saturating": lambda scores: -F.logsigmoid(scores),
            "Wasserstein": lambda scores: -scores,
        }

        def evaluate(step: int, network: nn.Module) -> None:
            z = sample(ReplicateRNG(self.seeds("gradients", count), "cpu"), 2000)
            for name in generator_losses:
                shift = torch.full((count, 1, 1), theta, requires_grad=True)
                value = functions[name](network(z + shift * torch.tensor([1.0, 0.0]))).mean((1, 2)).sum()
                (gradient,) = torch.autograd.grad(value, shift)
                sizes = gradient.abs().flatten().double().tolist()
                records.append(
                    {"theta": theta, "loss": name, "step": step, "gradient": float(np.mean(sizes))}
                    | {"low": min(sizes), "high": max(sizes), "by_seed": sizes}
                )

        train_discriminators(
            self,
            sample,
            lambda rng, n: sample(rng, n) + torch.tensor([theta, 0.0]),
            loss,
            role=f"{generator_losses} {theta}",
            replicates=count,
            steps=STEPS[-1],
            hidden=(32, 32),
            callback=evaluate,
            callback_steps=STEPS,
        )
        return records


def sample(rng: "ReplicateRNG", n: int) -> "Tensor":
    """Draws (S, n, 2): uniform on [0, 1], with a second coordinate of standard deviation `SD`.

    The second coordinate has the same distribution for data and generator, so it changes no distance. It is there
    because on a line the gradient penalty is a barrier between slopes of both signs.
    """
    import torch

    return torch.cat([rng.uniform(n, 1), SD * rng.normal(n, 1)], -1)


def histogram_jsd(a: np.ndarray, b: np.ndarray) -> float:
    """The Jensen–Shannon divergence in nats of two distributions, given as counts in the same cells."""
    p, q = a / a.sum(), b / b.sum()
    mixture = (p + q) / 2

    def kl(r: np.ndarray) -> float:
        occupied = r > 0
        return float((r[occupied] * np.log(r[occupied] / mixture[occupied])).sum())

    return (kl(p) + kl(q)) / 2
