"""Importance sampling of log p(x) without an encoder, from Student's t at the Laplace approximations of several modes.

Modes of p(z|x) are searched from draws of the prior, because an encoder would bring the errors of its training, and a
GAN has none. A proposal that misses a mode is biased low, and no diagnostic shows it; therefore the proposal has
several modes and a share of the prior.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepgen_bench.metrics.likelihood.decoder import Decoder, standard_normal_log_prob
from deepgen_bench.runtime.memory import evaluate_in_blocks, evaluate_in_halves

if TYPE_CHECKING:
    from torch import Generator, Tensor

# Examples per block, and draws of the prior that searches start from. Both are constants of the method, because random
# draws depend on them. With only a thousand draws, about one in two hundred of the narrow modes of an overfitted
# decoder is missed, by up to dozens of nats, and more starts among these draws do not always help.
EXAMPLES = 32
CANDIDATES = 16_000
# Adam steps from a draw to a mode, and the learning rate, of which the last 30 % of the steps take a tenth
ASCENT, RATE = 200, 0.05
# Student's degrees of freedom; share of the prior among all draws; share of equal weights among the modes
DEGREES, PRIOR, EQUAL = 5, 0.1, 0.1
# Decoder rows, and draws of each example, per block: they affect speed and memory only.
ROWS = {"cpu": 4000, "cuda": 200_000}
DRAWS = 1000


@dataclass(frozen=True)
class Proposal:
    """Proposal q(z|x) for n examples: a mixture of Student's t around each of M modes, and the prior.

    `modes` (n, M, Z); `factors` (n, M, Z, Z), lower Cholesky factors of the inverse scale matrices; `log_shares`
    (n, M), summing to 1 - `PRIOR`. All float64.
    """

    modes: "Tensor"
    factors: "Tensor"
    log_shares: "Tensor"

    def sample(self, k: int, generator: "Generator") -> "Tensor":
        """Draws z (n, k, Z) float32."""
        import torch

        n, m, dims = self.modes.shape
        device = self.modes.device
        # drawn for a whole block, so that the draws of an example do not depend on how many examples follow it
        uniform = torch.rand(EXAMPLES, k, generator=generator, device=device, dtype=torch.float64)[:n]
        normal = torch.randn(EXAMPLES, k, dims, generator=generator, device=device, dtype=torch.float64)[:n]
        squares = torch.randn(EXAMPLES, k, DEGREES, generator=generator, device=device).double().square().sum(2)[:n]
        component = torch.searchsorted(self.log_shares.exp().cumsum(1), uniform)
        mode = component.clamp(max=m - 1)
        example = torch.arange(n, device=device)[:, None]
        # L⁻ᵀ ε has the covariance (L Lᵀ)⁻¹
        factors = self.factors[example, mode]
        offsets = torch.linalg.solve_triangular(factors.mT, normal[..., None], upper=True)[..., 0]
        student = self.modes[example, mode] + offsets * (DEGREES / squares).sqrt()[..., None]
        return torch.where((component < m)[..., None], student, normal).float()

    def log_prob(self, z: "Tensor") -> "Tensor":
        """log q(z|x), (n, k), for z (n, k, Z)."""
        import torch

        dims = z.shape[-1]
        constant = math.lgamma((DEGREES + dims) / 2) - math.lgamma(DEGREES / 2) - dims / 2 * math.log(DEGREES * math.pi)
        squares = ((z.double()[:, None] - self.modes[:, :, None]) @ self.factors).square().sum(-1)
        log_det = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_t = constant + log_det[:, :, None] - (DEGREES + dims) / 2 * (squares / DEGREES).log1p()
        log_student = (self.log_shares[:, :, None] + log_t).logsumexp(1)
        return torch.logaddexp(log_student, standard_normal_log_prob(z) + math.log(PRIOR))

    def subset(self, examples: "Tensor") -> "Proposal":
        """The proposal for some of the examples, given by index or mask."""
        return Proposal(self.modes[examples], self.factors[examples], self.log_shares[examples])


def propose(decoder: Decoder, x: "Tensor", starts: int, generator: "Generator") -> Proposal:
    """A proposal for x (n <= `EXAMPLES`, D) float32 at the modes reached from the `starts` likeliest draws."""
    return propose_from(decoder, x, likeliest_draws(decoder, x, starts, generator), ASCENT)


def likeliest_draws(decoder: Decoder, x: "Tensor", n: int, generator: "Generator") -> "Tensor":
    """The n of `CANDIDATES` draws of the prior with the largest log p(x, z), (len(x), n, Z)."""
    import torch

    candidates = torch.randn(CANDIDATES, decoder.latent_dim, generator=generator, device=x.device)
    with torch.no_grad():
        parts = evaluate_in_blocks(
            lambda block: decoder.pairwise_log_likelihood(x, candidates[block]), len(candidates), ROWS[x.device.type]
        )
        joint = torch.cat(parts, 1) + standard_normal_log_prob(candidates)
    return candidates[joint.topk(n, dim=1).indices]


def propose_from(decoder: Decoder, x: "Tensor", z: "Tensor", steps: int) -> Proposal:
    """A proposal for x (n, D) at the modes that Adam reaches from z (n, M, Z) float32 in `steps` steps.

    The inverse scale matrix at a mode is I + Jᵀ W J. The shares of the modes are proportional to their Laplace
    evidence, so a mode that several starts reach counts as often.
    """
    import torch

    n, starts, dims = z.shape
    rows = x.repeat_interleave(starts, 0)
    starting = z.flatten(0, 1)
    modes = torch.cat(
        evaluate_in_halves(lambda block: _ascend(decoder, rows[block], starting[block], steps), len(rows))
    )
    with torch.no_grad():
        information = torch.cat(evaluate_in_halves(lambda block: decoder.information(modes[block]), len(rows)))
        factors = torch.linalg.cholesky(information + torch.eye(dims, device=x.device).double())
        evidence = _log_joint(decoder, rows, modes) - factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        shares = (1 - EQUAL) * evidence.view(n, starts).softmax(1) + EQUAL / starts
    return Proposal(modes.double().view(z.shape), factors.view(*z.shape, dims), (shares * (1 - PRIOR)).log())


def _log_joint(decoder: Decoder, x: "Tensor", z: "Tensor") -> "Tensor":
    return decoder.log_likelihood(x, z) + standard_normal_log_prob(z)


def _ascend(decoder: Decoder, x: "Tensor", start: "Tensor", steps: int) -> "Tensor":
    """z (m, Z) at modes of p(z|x), by gradient ascent from `start` (m, Z), for x (m, D)."""
    import torch

    from deepgen_bench.training.optimisers import Adam

    z = start.clone().requires_grad_()
    # rows do not influence each other, because Adam scales every number by itself
    optimiser = Adam([z], RATE)
    for step in range(steps):
        if step == round(0.7 * steps):
            optimiser.set_rate(0.1)
        (z.grad,) = torch.autograd.grad(-_log_joint(decoder, x, z).sum(), [z])
        optimiser.step()
    return z.detach()


def draw(
    decoder: Decoder, x: "Tensor", proposal: Proposal, k: int, generator: "Generator"
) -> "tuple[np.ndarray, np.ndarray]":
    """log p(z) - log q(z|x) and log p(x|z), (n, k) each, of draws from the proposal for x (n, D).

    Their sums are log weights.
    """
    import torch

    with torch.no_grad():
        z = proposal.sample(k, generator)
        flat, rows = z.flatten(0, 1), ROWS[x.device.type]
        example = torch.arange(len(x), device=x.device).repeat_interleave(k)
        parts = evaluate_in_blocks(
            lambda block: decoder.log_likelihood(x[example[block]], flat[block]), len(flat), rows
        )
        log_q = torch.cat([proposal.log_prob(part) for part in z.split(DRAWS, 1)], 1)
        return (standard_normal_log_prob(z) - log_q).cpu().numpy(), torch.cat(parts).view(len(x), k).cpu().numpy()
