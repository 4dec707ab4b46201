"""The WGAN's critic as an estimate of W1."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.studies.textbook.claim import Claim, Evidence, Row, mean_row

SHIFTS = (0.5, 1.0, 2.0, 4.0)
# narrow laws: all interpolates lie between them
SD, PENALTY, CLIP = 0.05, 10.0, 0.1
LOOKS = (10, 30, 100, 300, 1000, 3000)


class CriticSettings(Settings):
    """`replicates` critics for every shift, read on `n` draws of each law."""

    replicates: int = Field(5, ge=2, le=100)
    n: int = Field(20_000, ge=1000)


class Critic(Claim):
    Settings = CriticSettings
    settings: CriticSettings
    title = "The critic's reading"
    statement = (
        "A critic with a gradient penalty λ reads m + m²/(2λ) where W1 is m; one with clipped weights reads W1 times "
        "an unknown factor."
    )
    source = "Gulrajani et al. 2017, eq. 3; Arjovsky, Chintala & Bottou 2017, section 3"
    formula = (
        r"\max_s\; s\,m - \lambda (s - 1)^2 \;\Rightarrow\; s = 1 + \frac{m}{2\lambda}, "
        r"\quad s\,m = m + \frac{m^2}{2\lambda}"
    )
    text = (
        "Two narrow normal laws in the plane lie m apart. The penalty allows a slope above 1, as the reading gains "
        "from it in the first order and the penalty loses in the second: with λ = 10 the reading is 5 % too large at "
        "m = 1. Clipping bounds the slope by a number that depends on widths and depth; if the reading were "
        "proportional to W1 within this family, its ratio to m would be the same for every m.\n\n"
        "In the figure: the ratio of the reading to W1, and the critic's slope between the laws, while it is trained."
    )

    def evidence(self) -> Evidence:
        rows: list[Row] = []
        course: list[dict[str, Any]] = []
        ratios: dict[float, np.ndarray] = {}
        for m in SHIFTS:
            read, slope = self.read(m, None, course)
            rows.append(mean_row("reading, penalty λ = 10", f"m = {m:g}", m + m**2 / (2 * PENALTY), read, 0.02 * m))
            rows.append(mean_row("slope between the laws", f"m = {m:g}", 1 + m / (2 * PENALTY), slope, 0.02))
            ratios[m] = self.read(m, CLIP, course)[0] / m
        for m, ratio in ratios.items():
            rows.append(mean_row(f"reading / W1, clipped at {CLIP:g}", f"m = {m:g}", None, ratio))
        for m in (2.0, 4.0):
            both = ratios[m], ratios[1.0]
            quotient = float(both[0].mean() / both[1].mean())
            # both means have an error; the critics of one are independent of the other's
            error = quotient * float(np.sqrt(sum((r.std(ddof=1) / r.mean()) ** 2 / len(r) for r in both)))
            rows.append(
                Row("ratio of these ratios", f"m = {m:g} against m = 1, clipped", 1.0, quotient, error, tolerance=0.1)
            )
        return Evidence(rows, {"course": course})

    def read(self, m: float, clip: float | None, course: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Readings (S,) and mean slopes between the laws (S,) at the end; what was seen on the way goes to `course`."""
        import torch
        from torch import nn

        from deepgen_bench.studies.textbook.learning import critic_loss, judges, penalised, reading, slopes
        from deepgen_bench.training.replicate_rng import ReplicateRNG

        count, n = self.settings.replicates, self.settings.n
        last: dict[str, np.ndarray] = {}

        # a second coordinate, in which the laws are equal: on a line the penalty is a wall between slopes of both signs
        aside = torch.tensor([m, 0.0])

        def look(step: int, network: nn.Module) -> None:
            draws = ReplicateRNG(self.seeds("held out", count), "cpu")
            real, fake = SD * draws.normal(n, 2), aside + SD * draws.normal(n, 2)
            way = torch.linspace(3 * SD / m, 1 - 3 * SD / m, 200)[:, None] * aside
            between = way.expand(count, -1, -1)
            last["reading"] = reading(network, real, fake).astype(float)
            last["slope"] = slopes(network, between).mean(1).astype(float)
            for seed in range(count):
                course.append(
                    {"critic": "penalty" if clip is None else "clipping", "m": m, "step": step, "seed": seed}
                    | {"ratio": float(last["reading"][seed] / m), "slope": float(last["slope"][seed])}
                )

        judges(
            self,
            lambda draws, size: SD * draws.normal(size, 2),
            lambda draws, size: aside + SD * draws.normal(size, 2),
            critic_loss if clip is not None else penalised(PENALTY),
            role=f"critic {m} {clip}",
            replicates=count,
            steps=LOOKS[-1],
            clip=clip,
            look=look,
            at=LOOKS,
        )
        return last["reading"], last["slope"]
