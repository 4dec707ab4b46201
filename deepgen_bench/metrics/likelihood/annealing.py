"""Annealed importance sampling of log p(x) with Hamiltonian Monte Carlo, and bounds from both sides on simulated data.

Neal 2001 (arXiv physics/9803008); Wu, Burda, Salakhutdinov and Grosse 2017 (arXiv 1611.04273); bidirectional Monte
Carlo: Grosse, Ghahramani and Adams 2015 (arXiv 1511.02543).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from deepgen_bench.metrics.likelihood.decoder import Decoder, standard_normal_log_prob
from deepgen_bench.metrics.likelihood.laplace import Proposal
from deepgen_bench.metrics.likelihood.weights import log_mean_exp

if TYPE_CHECKING:
    from torch import Generator, Tensor

# the acceptance rate that step sizes are adapted to, the first step size, and how fast they follow
ACCEPTANCE, FIRST_STEP, ADAPTATION = 0.65, 0.5, 0.4
# steepness of the sigmoidal schedule (Wu et al. 2017, appendix)
STEEPNESS = 4.0


def temperatures(steps: int, schedule: Literal["sigmoidal", "linear"]) -> list[float]:
    """0 = β_0 < … < β_steps = 1; sigmoidal ones are dense at both ends."""
    line = np.linspace(-1, 1, steps + 1)
    if schedule == "linear":
        return ((line + 1) / 2).tolist()
    curve = 1 / (1 + np.exp(-STEEPNESS * line))
    return ((curve - curve[0]) / (curve[-1] - curve[0])).tolist()


@dataclass(frozen=True)
class Annealing:
    """How one anneals: temperatures `betas`, `chains` for each example, `leapfrog` steps in each transition."""

    betas: list[float]
    chains: int
    leapfrog: int


@dataclass(frozen=True)
class Positions:
    """z (m, Z) float32, with log q(z) and log p(x, z), (m,) float64, and the gradients (m, Z) of both by z.

    They are apart, so that what was found at one temperature does for the next.
    """

    z: "Tensor"
    log_start: "Tensor"
    log_joint: "Tensor"
    start_slope: "Tensor"
    joint_slope: "Tensor"

    @property
    def ratio(self) -> "Tensor":
        """log p(x, z) - log q(z), (m,)."""
        return self.log_joint - self.log_start

    def log_density(self, beta: float) -> "Tensor":
        """log q^(1-β) p^β, (m,)."""
        return self.log_start + beta * self.ratio

    def slope(self, beta: float) -> "Tensor":
        """Its gradient, (m, Z)."""
        return self.start_slope.lerp(self.joint_slope, beta)

    def where(self, mask: "Tensor", others: "Positions") -> "Positions":
        """These where `mask` (m,) holds, and the `others` elsewhere."""
        import torch

        def chosen(mine: "Tensor", other: "Tensor") -> "Tensor":
            return torch.where(mask if mine.ndim == 1 else mask[:, None], mine, other)

        return Positions(
            *(chosen(mine, other) for mine, other in zip(vars(self).values(), vars(others).values(), strict=True))
        )


class Path:
    """From q(z) to p(x, z) through q^(1-β) p^β, for n examples with C chains each: rows are (n · C, …).

    q is the `proposal`, or the prior without one.
    """

    def __init__(self, decoder: Decoder, x: "Tensor", proposal: Proposal | None, how: Annealing):
        self.decoder, self.proposal, self.how = decoder, proposal, how
        self.n, self.rows = len(x), x.repeat_interleave(how.chains, 0)

    def start(self, generator: "Generator") -> Positions:
        """Draws from q, n · C rows."""
        import torch

        if self.proposal is not None:
            return self.at(self.proposal.sample(self.how.chains, generator).flatten(0, 1))
        return self.at(
            torch.randn(len(self.rows), self.decoder.latent_dim, generator=generator, device=self.rows.device)
        )

    def at(self, z: "Tensor") -> Positions:
        """The positions z (n · C, Z), with densities and gradients."""
        import torch

        with torch.enable_grad():
            z = z.detach().requires_grad_()
            prior = start = standard_normal_log_prob(z)
            joint = prior + self.decoder.log_likelihood(self.rows, z)
            if self.proposal is not None:
                start = self.proposal.log_prob(z.unflatten(0, (self.n, -1))).flatten()
            (of_start,) = torch.autograd.grad(start.sum(), [z], retain_graph=True)
            (of_joint,) = torch.autograd.grad(joint.sum(), [z])
        return Positions(z.detach(), start.detach(), joint.detach(), of_start, of_joint)

    def transition(
        self, positions: Positions, beta: float, step: "Tensor", generator: "Generator"
    ) -> "tuple[Positions, Tensor]":
        """One of Hamiltonian Monte Carlo that leaves temperature `beta` invariant, and the probabilities of
        acceptance, (n · C,). `step` is the leapfrog's, (n · C, 1)."""
        import torch

        z = positions.z
        momentum = torch.randn(z.shape, generator=generator, device=z.device)
        uniform = torch.rand(len(z), generator=generator, device=z.device, dtype=torch.float64)
        energy, moved = 0.5 * momentum.double().square().sum(1), positions
        for _ in range(self.how.leapfrog):
            momentum = momentum + 0.5 * step * moved.slope(beta)
            moved = self.at(moved.z + step * momentum)
            momentum = momentum + 0.5 * step * moved.slope(beta)
        change = moved.log_density(beta) - positions.log_density(beta)
        change = change + energy - 0.5 * momentum.double().square().sum(1)
        # a trajectory that leaves all bounds is not finite, and not accepted
        probability = change.clamp(max=0).exp().nan_to_num(0.0)
        return moved.where(uniform < probability, positions), probability

    def adapt(self, generator: "Generator") -> "list[Tensor]":
        """Step sizes for every temperature but the last, (n · C, 1) each, from a run that counts for nothing else.

        An example's step grows while more than `ACCEPTANCE` of its chains' moves would be accepted, and shrinks else.
        """
        import torch

        step = torch.full((self.n, 1), FIRST_STEP, device=self.rows.device)
        steps, positions = [], self.start(generator)
        for beta in self.how.betas[1:-1]:
            steps.append(step.repeat_interleave(self.how.chains, 0))
            positions, probability = self.transition(positions, beta, steps[-1], generator)
            rate = probability.view(self.n, -1).mean(1, keepdim=True).float()
            step = step * (ADAPTATION * (rate - ACCEPTANCE)).exp()
        return steps

    def forward(self, steps: "list[Tensor]", generator: "Generator") -> np.ndarray:
        """log weights (n, C): the mean of the weights has the expectation p(x)."""
        positions, betas = self.start(generator), self.how.betas
        total = (betas[1] - betas[0]) * positions.ratio
        for i, step in enumerate(steps, 1):
            positions, _ = self.transition(positions, betas[i], step, generator)
            total = total + (betas[i + 1] - betas[i]) * positions.ratio
        return total.view(self.n, -1).cpu().numpy()

    def backward(self, z: "Tensor", steps: "list[Tensor]", generator: "Generator") -> np.ndarray:
        """log weights (n, C) of the same paths run from the other end, from posterior draws `z` (n, Z): the mean of
        their inverses has the expectation 1 / p(x)."""
        positions, betas = self.at(z.repeat_interleave(self.how.chains, 0)), self.how.betas
        total = (betas[-1] - betas[-2]) * positions.ratio
        for i in range(len(steps), 0, -1):
            positions, _ = self.transition(positions, betas[i], steps[i - 1], generator)
            total = total + (betas[i] - betas[i - 1]) * positions.ratio
        return total.view(self.n, -1).cpu().numpy()


def annealed(
    decoder: Decoder, x: "Tensor", proposal: Proposal | None, how: Annealing, generator: "Generator"
) -> np.ndarray:
    """log weights (n, C) for x (n, D), with step sizes adapted beforehand and frozen."""
    path = Path(decoder, x, proposal, how)
    return path.forward(path.adapt(generator), generator)


def bidirectional(
    decoder: Decoder,
    n: int,
    propose: "Callable[[Tensor], Proposal] | None",
    how: Annealing,
    generator: "Generator",
) -> tuple[np.ndarray, np.ndarray]:
    """Stochastic lower and upper bounds of log p(x), (n,) each, for x that the model itself has simulated.

    Below by annealing from the start, above from the very z that x was made from, an exact draw of the posterior. On
    the same temperatures and step sizes their distance says how far annealing is from the truth on such data.
    """
    import torch

    with torch.no_grad():
        x, z = decoder.simulate(n, generator)
    path = Path(decoder, x, propose(x) if propose else None, how)
    steps = path.adapt(generator)
    return log_mean_exp(path.forward(steps, generator)), -log_mean_exp(-path.backward(z, steps, generator))
