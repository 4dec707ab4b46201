"""Two laws whose supports do not meet: what each distance, and each generator's gradient, still says."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.studies.textbook.claim import Claim, Evidence, Row, mean_row

SHIFTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
# of the generator z + θ at which gradients are looked at, and after how many steps of its judge
AT, STEPS = (0.5, 1.0, 2.0, 4.0), (10, 30, 100, 300, 1000, 3000)
PENALTY, SD = 10.0, 0.05


class SupportsSettings(Settings):
    """Empirical distances of `n` draws; gradients at `replicates` trained discriminators and critics."""

    replicates: int = Field(5, ge=2, le=100)
    n: int = Field(4000, ge=100)


class DisjointSupports(Claim):
    Settings = SupportsSettings
    settings: SupportsSettings
    title = "When supports do not meet"
    statement = (
        "Where the supports do not meet the Jensen–Shannon divergence is log 2 whatever their distance, and the "
        "minimax generator has no gradient; the Wasserstein distance and its gradient are still there."
    )
    source = "Arjovsky & Bottou 2017, theorem 2.4; Arjovsky, Chintala & Bottou 2017, example 1"
    formula = (
        r"p^* = U[0, 1],\; p_\theta = U[\theta, \theta + 1]: \quad "
        r"\mathrm{JSD} = \min(\theta, 1) \log 2, \quad W_1 = \theta"
    )
    text = (
        "The generator is z + θ. Its gradient is measured at discriminators and critics trained for ever more steps: "
        "the minimax loss E log(1 − D), the non-saturating −E log D, and the critic's reading with a gradient penalty "
        "λ = 10, whose optimum has the slope 1 + θ/(2λ). The better the discriminator, the less of the minimax "
        "gradient is left."
    )

    def evidence(self) -> Evidence:
        distances = list(self.distances())
        rows = []
        for record in distances:
            if record["theta"] in (0.5, 1.0, 2.0, 4.0):
                where = f"θ = {record['theta']:g}"
                error, truth = record["jsd_error"], min(record["theta"], 1.0) * np.log(2)
                rows.append(Row("JSD of samples, by histogram", where, truth, record["jsd"], error, 0.02))
                rows.append(Row("W1 of samples", where, record["theta"], record["w1"], record["w1_error"], 0.03))
        gradients = self.gradients()
        last = {(g["theta"], g["loss"]): np.array(g.pop("by_seed")) for g in gradients if g["step"] == STEPS[-1]}
        for record in gradients:
            record.pop("by_seed", None)
        for theta in (2.0, 4.0):
            where = f"θ = {theta:g}, after {STEPS[-1]:,} steps"
            wasserstein = 1 + theta / (2 * PENALTY)
            rows.append(mean_row("|gradient|, minimax", where, 0.0, last[theta, "minimax"], 0.02, relation="at most"))
            rows.append(mean_row("|gradient|, Wasserstein", where, wasserstein, last[theta, "Wasserstein"], 0.05))
            rows.append(
                mean_row(
                    "|gradient|, non-saturating", where, 0.5, last[theta, "non-saturating"], 0.0, relation="at least"
                )
            )
        return Evidence(rows, {"distances": distances, "gradients": gradients})

    def distances(self) -> Any:
        """JSD by a histogram of 20 cells a unit, W1 by sorting, means and errors over independent samples."""
        from deepgen_bench.metrics.samples.optimal_transport import wasserstein

        rng = self.rng("distances")
        for theta in SHIFTS:
            jsd, w1 = [], []
            for _ in range(self.settings.replicates):
                x, y = rng.uniform(size=self.settings.n), theta + rng.uniform(size=self.settings.n)
                edges = np.linspace(0, 1 + SHIFTS[-1], 20 * (1 + int(SHIFTS[-1])) + 1)
                jsd.append(histogram_jsd(np.histogram(x, edges)[0], np.histogram(y, edges)[0]))
                w1.append(wasserstein(x[:, None], y[:, None], 1).value)
            error = np.sqrt(self.settings.replicates)
            yield {
                **{"theta": theta, "jsd": float(np.mean(jsd)), "jsd_error": float(np.std(jsd, ddof=1) / error)},
                **{"w1": float(np.mean(w1)), "w1_error": float(np.std(w1, ddof=1) / error)},
            }

    def gradients(self) -> list[dict[str, Any]]:
        """|d loss/dθ| at judges after each number of steps, with that of every seed."""
        from deepgen_bench.studies.textbook.learning import discriminator_loss, penalised

        found: list[dict[str, Any]] = []
        for theta in AT:
            self.look_at(theta, discriminator_loss, ("minimax", "non-saturating"), found)
            self.look_at(theta, penalised(PENALTY), ("Wasserstein",), found)
        return found

    def look_at(self, theta: float, loss: Any, kinds: tuple[str, ...], found: list[dict[str, Any]]) -> None:
        """Train judges between the laws at θ; the generator's gradients by its losses go to `found`."""
        import torch
        from torch import nn
        from torch.nn import functional as F

        from deepgen_bench.studies.textbook.learning import judges
        from deepgen_bench.training.replicate_rng import ReplicateRNG

        count = self.settings.replicates
        losses: dict[str, Any] = {
            "minimax": lambda scores: F.logsigmoid(-scores),
            "non-saturating": lambda scores: -F.logsigmoid(scores),
            "Wasserstein": lambda scores: -scores,
        }

        def look(step: int, network: nn.Module) -> None:
            z = of_data(ReplicateRNG(self.seeds("gradients", count), "cpu"), 2000)
            for kind in kinds:
                shift = torch.full((count, 1, 1), theta, requires_grad=True)
                value = losses[kind](network(z + shift * torch.tensor([1.0, 0.0]))).mean((1, 2)).sum()
                (gradient,) = torch.autograd.grad(value, shift)
                sizes = gradient.abs().flatten().double().tolist()
                found.append(
                    {"theta": theta, "loss": kind, "step": step, "gradient": float(np.mean(sizes))}
                    | {"low": min(sizes), "high": max(sizes), "by_seed": sizes}
                )

        judges(
            self,
            of_data,
            lambda draws, n: of_data(draws, n) + torch.tensor([theta, 0.0]),
            loss,
            role=f"{kinds} {theta}",
            replicates=count,
            steps=STEPS[-1],
            hidden=(32, 32),
            look=look,
            at=STEPS,
        )


def of_data(draws: Any, n: int) -> Any:
    """(S, n, 2): uniform on [0, 1], and a narrow second coordinate, alike in both laws, which changes no distance. On a
    line the gradient penalty is a wall between a critic's slopes of both signs."""
    import torch

    return torch.cat([draws.uniform(n, 1), SD * draws.normal(n, 1)], -1)


def histogram_jsd(a: np.ndarray, b: np.ndarray) -> float:
    """Of two laws given as counts in the same cells, nats."""
    p, q = a / a.sum(), b / b.sum()
    middle = (p + q) / 2

    def kl(r: np.ndarray) -> float:
        some = r > 0
        return float((r[some] * np.log(r[some] / middle[some])).sum())

    return (kl(p) + kl(q)) / 2
