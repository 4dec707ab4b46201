"""Annealed importance sampling of log p(x) with Hamiltonian Monte Carlo, and bidirectional bounds on simulated data.

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

# target acceptance rate of the step sizes, the first step size, and the speed of adaptation
ACCEPTANCE, FIRST_STEP, ADAPTATION = 0.65, 0.5, 0.4
# steepness of the sigmoidal schedule (Wu et al. 2017, appendix)
STEEPNESS = 4.0


def temperatures(steps: int, schedule: Literal["sigmoidal", "linear"]) -> list[float]:
    """Inverse temperatures 0 = β_0 < … < β_steps = 1; a sigmoidal schedule is dense at both ends."""
    line = np.linspace(-1, 1, steps + 1)
    if schedule == "linear":
        return ((line + 1) / 2).tolist()
    curve = 1 / (1 + np.exp(-STEEPNESS * line))
    return ((curve - curve[0]) / (curve[-1] - curve[0])).tolist()


@dataclass(frozen=True)
class Annealing:
    """Parameters of annealing: inverse temperatures `betas`, `chains` per example, `leapfrog` steps per transition."""

    betas: list[float]
    chains: int
    leapfrog: int


@dataclass(frozen=True)
class Positions:
    """z (m, Z) float32, with log q(z) and log p(x, z), (m,) float64, and their gradients (m, Z) by z.

    Both densities are stored separately, so that one evaluation serves every temperature.
    """

    z: "Tensor"
    log_start: "Tensor"
    log_joint: "Tensor"
    start_gradient: "Tensor"
    joint_gradient: "Tensor"

    @property
    def ratio(self) -> "Tensor":
        """log p(x, z) - log q(z), (m,)."""
        return self.log_joint - self.log_start

    def log_density(self, beta: float) -> "Tensor":
        """log q^(1-β) p^β, (m,)."""
        return self.log_start + beta * self.ratio

    def gradient(self, beta: float) -> "Tensor":
        """The gradient of `log_density`, (m, Z)."""
        return self.start_gradient.lerp(self.joint_gradient, beta)

    def where(self, mask: "Tensor", other: "Positions") -> "Positions":
        """These positions where `mask` (m,) holds, and `other` elsewhere."""
        import torch

        def choose(a: "Tensor", b: "Tensor") -> "Tensor":
            return torch.where(mask if a.ndim == 1 else mask[:, None], a, b)

        return Positions(*(choose(a, b) for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


class Path:
    """The annealing path q^(1-β) p^β from q(z) to p(x, z), for n examples with C chains each: rows are (n · C, …).

    q is the `proposal`, or the prior if there is none.
    """

    def __init__(self, decoder: Decoder, x: "Tensor", proposal: Proposal | None, annealing: Annealing):
        self.decoder, self.proposal, self.annealing = decoder, proposal, annealing
        self.n, self.rows = len(x), x.repeat_interleave(annealing.chains, 0)

    def start(self, generator: "Generator") -> Positions:
        """Draws from q, n · C rows."""
        import torch

        if self.proposal is not None:
            return self.at(self.proposal.sample(self.annealing.chains, generator).flatten(0, 1))
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
            (start_gradient,) = torch.autograd.grad(start.sum(), [z], retain_graph=True)
            (joint_gradient,) = torch.autograd.grad(joint.sum(), [z])
        return Positions(z.detach(), start.detach(), joint.detach(), start_gradient, joint_gradient)

    def transition(
        self, positions: Positions, beta: float, step: "Tensor", generator: "Generator"
    ) -> "tuple[Positions, Tensor]":
        """A step of Hamiltonian Monte Carlo that leaves the density at `beta` invariant.

        `step` (n · C, 1) is the leapfrog step size. Returns the new positions and their acceptance probabilities
        (n · C,).
        """
        import torch

        z = positions.z
        momentum = torch.randn(z.shape, generator=generator, device=z.device)
        uniform = torch.rand(len(z), generator=generator, device=z.device, dtype=torch.float64)
        energy, moved = 0.5 * momentum.double().square().sum(1), positions
        for _ in range(self.annealing.leapfrog):
            momentum = momentum + 0.5 * step * moved.gradient(beta)
            moved = self.at(moved.z + step * momentum)
            momentum = momentum + 0.5 * step * moved.gradient(beta)
        change = moved.log_density(beta) - positions.log_density(beta)
        change = change + energy - 0.5 * momentum.double().square().sum(1)
        # a trajectory that diverges is not finite, and is rejected
        probability = change.clamp(max=0).exp().nan_to_num(0.0)
        return moved.where(uniform < probability, positions), probability

    def adapt(self, generator: "Generator") -> "list[Tensor]":
        """Step sizes for every temperature between the first and the last, (n · C, 1) each, from a separate run.

        The step of an example grows while the mean acceptance probability of its chains is above `ACCEPTANCE`, and
        shrinks otherwise.
        """
        import torch

        step = torch.full((self.n, 1), FIRST_STEP, device=self.rows.device)
        steps, positions = [], self.start(generator)
        for beta in self.annealing.betas[1:-1]:
            steps.append(step.repeat_interleave(self.annealing.chains, 0))
            positions, probability = self.transition(positions, beta, steps[-1], generator)
            rate = probability.view(self.n, -1).mean(1, keepdim=True).float()
            step = step * (ADAPTATION * (rate - ACCEPTANCE)).exp()
        return steps

    def forward(self, steps: "list[Tensor]", generator: "Generator") -> np.ndarray:
        """log weights (n, C), whose mean weight has the expectation p(x)."""
        positions, betas = self.start(generator), self.annealing.betas
        total = (betas[1] - betas[0]) * positions.ratio
        for i, step in enumerate(steps, 1):
            positions, _ = self.transition(positions, betas[i], step, generator)
            total = total + (betas[i + 1] - betas[i]) * positions.ratio
        return total.view(self.n, -1).cpu().numpy()

    def backward(self, z: "Tensor", steps: "list[Tensor]", generator: "Generator") -> np.ndarray:
        """log weights (n, C) of the reversed path from posterior draws `z` (n, Z).

        The mean of the inverse weights has the expectation 1 / p(x).
        """
        positions = self.at(z.repeat_interleave(self.annealing.chains, 0))
        betas = self.annealing.betas
        total = (betas[-1] - betas[-2]) * positions.ratio
        for i in range(len(steps), 0, -1):
            positions, _ = self.transition(positions, betas[i], steps[i - 1], generator)
            total = total + (betas[i] - betas[i - 1]) * positions.ratio
        return total.view(self.n, -1).cpu().numpy()


def annealed_log_weights(
    decoder: Decoder, x: "Tensor", proposal: Proposal | None, annealing: Annealing, generator: "Generator"
) -> np.ndarray:
    """log weights (n, C) for x (n, D), with step sizes adapted beforehand and then fixed."""
    path = Path(decoder, x, proposal, annealing)
    return path.forward(path.adapt(generator), generator)


def bidirectional(
    decoder: Decoder,
    n: int,
    propose: "Callable[[Tensor], Proposal] | None",
    annealing: Annealing,
    generator: "Generator",
) -> tuple[np.ndarray, np.ndarray]:
    """Stochastic lower and upper bounds of log p(x), (n,) each, for x that are simulated from the model.

    The lower bound is that of forward annealing. The upper bound is that of annealing in reverse from the z that x was
    generated from, which is an exact draw of the posterior. With the same temperatures and step sizes, their distance
    measures the error of annealing on such data.
    """
    import torch

    with torch.no_grad():
        x, z = decoder.simulate(n, generator)
    path = Path(decoder, x, propose(x) if propose else None, annealing)
    steps = path.adapt(generator)
    return log_mean_exp(path.forward(steps, generator)), -log_mean_exp(-path.backward(z, steps, generator))
