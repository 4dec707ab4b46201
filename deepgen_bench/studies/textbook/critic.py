"""The WGAN's critic as an estimator of W1."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Claim, Evidence, Row, mean_row

SHIFTS = (0.5, 1.0, 2.0, 4.0)
# narrow distributions, so that all interpolates lie between them
SD, PENALTY, CLIP = 0.05, 10.0, 0.1
# training steps after which the critics are evaluated
STEPS = (10, 30, 100, 300, 1000, 3000)


class CriticSettings(Settings):
    """`replicates` critics for each distance, evaluated on `n` draws of each distribution."""

    replicates: int = Field(5, ge=2, le=100)
    n: int = Field(20_000, ge=1000)


class Critic(Claim):
    Settings = CriticSettings
    settings: CriticSettings
    title = "The critic's estimate of W1"
    statement = (
        "A critic with a gradient penalty λ estimates W1 = m as m + m²/(2λ); a critic with clipped weights estimates "
        "W1 up to an unknown factor."
    )
    source = "Gulrajani et al. 2017, eq. 3; Arjovsky, Chintala & Bottou 2017, section 3"
    formula = (
        r"\max_s\; s\,m - \lambda (s - 1)^2 \;\Rightarrow\; s = 1 + \frac{m}{2\lambda}, "
        r"\quad s\,m = m + \frac{m^2}{2\lambda}"
    )
    text = (
        "The means of two narrow normal distributions in the plane are a distance m apart. The penalty allows a slope "
        "s above 1, because the estimate gains from it in first order and the penalty costs in second order: with λ = "
        "10 the estimate is 5 % too large at m = 1. Clipping bounds the slope by a number that depends on the widths "
        "and the depth of the network; if the estimate were proportional to W1 within this family, its ratio to m "
        "would be the same for every m.\n\n"
        "The figure shows the ratio of the estimate to W1, and the critic's slope between the distributions, during "
        "training."
    )

    def measure(self) -> Evidence:
        rows: list[Row] = []
        curves: list[dict[str, Any]] = []
        ratios: dict[float, np.ndarray] = {}
        for m in SHIFTS:
            estimate, slope = self.train(m, None, curves)
            rows.append(
                mean_row("estimate, penalty λ = 10", f"m = {m:g}", m + m**2 / (2 * PENALTY), estimate, 0.02 * m)
            )
            prediction = 1 + m / (2 * PENALTY)
            rows.append(mean_row("slope between the distributions", f"m = {m:g}", prediction, slope, 0.02))
            ratios[m] = self.train(m, CLIP, curves)[0] / m
        for m, ratio in ratios.items():
            rows.append(mean_row(f"estimate / W1, clipped at {CLIP:g}", f"m = {m:g}", None, ratio))
        for m in (2.0, 4.0):
            pair = ratios[m], ratios[1.0]
            quotient = float(pair[0].mean() / pair[1].mean())
            # the critics of the two distances are independent, so the relative variances add up
            error = quotient * float(np.sqrt(sum((r.std(ddof=1) / r.mean()) ** 2 / len(r) for r in pair)))
            setting = f"m = {m:g} and m = 1, clipped"
            rows.append(Row("quotient of estimate / W1", setting, 1.0, quotient, error, tolerance=0.1))
        return Evidence(rows, {"curves": curves})

    def train(self, m: float, clip: float | None, curves: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Estimates of W1 and mean slopes between the distributions, (S,) each, after training.

        Their values at `STEPS` are appended to `curves`.
        """
        import torch
        from torch import nn

        from deepgen_bench.studies.textbook.train import (
            critic_estimate,
            critic_loss,
            gradient_norms,
            penalised_critic_loss,
            train_discriminators,
        )
        from deepgen_bench.training.replicate_rng import ReplicateRNG

        count, n = self.settings.replicates, self.settings.n
        last: dict[str, np.ndarray] = {}

        # The distributions are equal in the second coordinate. On a line the penalty would be a barrier between slopes
        # of both signs.
        shift = torch.tensor([m, 0.0])

        def evaluate(step: int, network: nn.Module) -> None:
            rng = ReplicateRNG(self.seeds("held out", count), "cpu")
            real, fake = SD * rng.normal(n, 2), shift + SD * rng.normal(n, 2)
            line = torch.linspace(3 * SD / m, 1 - 3 * SD / m, 200)[:, None] * shift
            between = line.expand(count, -1, -1)
            last["estimate"] = critic_estimate(network, real, fake).astype(float)
            last["slope"] = gradient_norms(network, between).mean(1).astype(float)
            for seed in range(count):
                curves.append(
                    {"critic": "penalty" if clip is None else "clipping", "m": m, "step": step, "seed": seed}
                    | {"ratio": float(last["estimate"][seed] / m), "slope": float(last["slope"][seed])}
                )

        train_discriminators(
            self,
            lambda rng, size: SD * rng.normal(size, 2),
            lambda rng, size: shift + SD * rng.normal(size, 2),
            critic_loss if clip is not None else penalised_critic_loss(PENALTY),
            role=f"critic {m} {clip}",
            replicates=count,
            steps=STEPS[-1],
            clip=clip,
            callback=evaluate,
            callback_steps=STEPS,
        )
        return last["estimate"], last["slope"]
