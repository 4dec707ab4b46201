"""Importance sampling of log p(x) without an encoder, from Student's t at the Laplace approximations of several modes.

A search from draws of the prior finds modes of p(z|x) wherever they are; an encoder would share the flaws of its
training, and a GAN has none. A proposal that misses a mode is biased low and looks well by every diagnostic, hence
several starts, and a share of the prior.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepgen_bench.metrics.likelihood.decoder import Decoder, standard_normal_log_prob
from deepgen_bench.runtime.memory import evaluate_in_blocks, evaluate_in_halves

if TYPE_CHECKING:
    from torch import Generator, Tensor

# examples worked on at once, and draws of the prior to start from: constants of the method, as draws depend on them. Of
# an overfitted decoder's narrow modes a thousand draws miss one in some two hundred, by up to dozens of nats, and
# more starts among them do not always help
EXAMPLES = 32
CANDIDATES = 16_000
# Adam's steps from a draw to a mode, and its rate, a tenth of which the last 30 % of them take
ASCENT, RATE = 200, 0.05
# Student's degrees of freedom; shares of the prior among all draws and of equal weights among the modes
DEGREES, PRIOR, EQUAL = 5, 0.1, 0.1
# decoder rows, and draws of each example, at once: a matter of speed and memory alone
ROWS = {"cpu": 4000, "cuda": 200_000}
DRAWS = 1000


@dataclass(frozen=True)
class Proposal:
    """q(z|x) of n examples: Student's t around each of M modes, and the prior.

    `modes` (n, M, Z); `factors` (n, M, Z, Z), lower Cholesky factors of the inverse scale matrices; `log_shares`
    (n, M), summing to 1 - `PRIOR`. All float64.
    """

    modes: "Tensor"
    factors: "Tensor"
    log_shares: "Tensor"

    def sample(self, k: int, generator: "Generator") -> "Tensor":
        """z (n, k, Z) float32."""
        import torch

        n, m, dims = self.modes.shape
        device = self.modes.device
        # drawn for a whole block, so that an example's draws do not depend on how many follow it
        uniform = torch.rand(EXAMPLES, k, generator=generator, device=device, dtype=torch.float64)[:n]
        normal = torch.randn(EXAMPLES, k, dims, generator=generator, device=device, dtype=torch.float64)[:n]
        squares = torch.randn(EXAMPLES, k, DEGREES, generator=generator, device=device).double().square().sum(2)[:n]
        component = torch.searchsorted(self.log_shares.exp().cumsum(1), uniform)
        which = component.clamp(max=m - 1)
        example = torch.arange(n, device=device)[:, None]
        # L⁻ᵀ ε has the covariance (L Lᵀ)⁻¹
        factors = self.factors[example, which]
        steps = torch.linalg.solve_triangular(factors.mT, normal[..., None], upper=True)[..., 0]
        around = self.modes[example, which] + steps * (DEGREES / squares).sqrt()[..., None]
        return torch.where((component < m)[..., None], around, normal).float()

    def log_prob(self, z: "Tensor") -> "Tensor":
        """log q(z|x), (n, k), for z (n, k, Z)."""
        import torch

        dims = z.shape[-1]
        constant = math.lgamma((DEGREES + dims) / 2) - math.lgamma(DEGREES / 2) - dims / 2 * math.log(DEGREES * math.pi)
        squares = ((z.double()[:, None] - self.modes[:, :, None]) @ self.factors).square().sum(-1)
        log_det = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_t = constant + log_det[:, :, None] - (DEGREES + dims) / 2 * (squares / DEGREES).log1p()
        around = (self.log_shares[:, :, None] + log_t).logsumexp(1)
        return torch.logaddexp(around, standard_normal_log_prob(z) + math.log(PRIOR))

    def of(self, examples: "Tensor") -> "Proposal":
        """That of some of the examples, by index or mask."""
        return Proposal(self.modes[examples], self.factors[examples], self.log_shares[examples])


def propose(decoder: Decoder, x: "Tensor", starts: int, generator: "Generator") -> Proposal:
    """A proposal for x (n <= `EXAMPLES`, D) float32 from modes that so many of the likeliest draws lead to."""
    return propose_from(decoder, x, likeliest(decoder, x, starts, generator), ASCENT)


def likeliest(decoder: Decoder, x: "Tensor", n: int, generator: "Generator") -> "Tensor":
    """Those n of `CANDIDATES` draws of the prior that have the largest log p(x, z), (len(x), n, Z)."""
    import torch

    candidates = torch.randn(CANDIDATES, decoder.latent_dim, generator=generator, device=x.device)
    with torch.no_grad():
        parts = evaluate_in_blocks(
            lambda some: decoder.pairwise_log_likelihood(x, candidates[some]), len(candidates), ROWS[x.device.type]
        )
        joint = torch.cat(parts, 1) + standard_normal_log_prob(candidates)
    return candidates[joint.topk(n, dim=1).indices]


def propose_from(decoder: Decoder, x: "Tensor", z: "Tensor", steps: int) -> Proposal:
    """A proposal for x (n, D) at the modes to which Adam climbs from z (n, M, Z) float32 by so many `steps`.

    There the inverse scale matrix is I + Jᵀ W J. Modes share by Laplace's evidence, so that one found twice counts as
    often.
    """
    import torch

    n, starts, dims = z.shape
    rows = x.repeat_interleave(starts, 0)
    modes = torch.cat(
        evaluate_in_halves(lambda some: _climb(decoder, rows[some], z.flatten(0, 1)[some], steps), len(rows))
    )
    with torch.no_grad():
        information = torch.cat(evaluate_in_halves(lambda some: decoder.information(modes[some]), len(rows)))
        factors = torch.linalg.cholesky(information + torch.eye(dims, device=x.device).double())
        evidence = _log_joint(decoder, rows, modes) - factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        shares = (1 - EQUAL) * evidence.view(n, starts).softmax(1) + EQUAL / starts
    return Proposal(modes.double().view(z.shape), factors.view(*z.shape, dims), (shares * (1 - PRIOR)).log())


def _log_joint(decoder: Decoder, x: "Tensor", z: "Tensor") -> "Tensor":
    return decoder.log_likelihood(x, z) + standard_normal_log_prob(z)


def _climb(decoder: Decoder, x: "Tensor", start: "Tensor", steps: int) -> "Tensor":
    """z (m, Z) at modes of p(z|x), from `start`, for x (m, D)."""
    import torch

    from deepgen_bench.training.optimisers import Adam

    z = start.clone().requires_grad_()
    # rows do not meet: Adam scales every number by itself
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
    """log p(z) - log q(z|x) and log p(x|z), (n, k) each, of draws from the proposal of x (n, D): together they are log
    weights."""
    import torch

    with torch.no_grad():
        z = proposal.sample(k, generator)
        flat, rows = z.flatten(0, 1), ROWS[x.device.type]
        owner = torch.arange(len(x), device=x.device).repeat_interleave(k)
        parts = evaluate_in_blocks(lambda some: decoder.log_likelihood(x[owner[some]], flat[some]), len(flat), rows)
        log_q = torch.cat([proposal.log_prob(part) for part in z.split(DRAWS, 1)], 1)
        return (standard_normal_log_prob(z) - log_q).cpu().numpy(), torch.cat(parts).view(len(x), k).cpu().numpy()
