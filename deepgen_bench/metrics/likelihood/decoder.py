"""The joint density p(x, z) = N(z; 0, I) p(x|z) of a decoder, for likelihood estimators without an encoder."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Decoder:
    """p(x|z): Gaussian around `network(z)` with standard deviation `tau`, or Bernoulli with these logits if `tau` is
    None.

    `network` maps float32 (m, latent_dim) to float32 (m, D) in data units, row by row. Log densities are in nats, in
    float64: the rounding errors of the network are small, but those of a float32 sum over many coordinates are not.
    """

    network: "Callable[[Tensor], Tensor]"
    latent_dim: int
    tau: float | None

    def log_likelihood(self, x: "Tensor", z: "Tensor") -> "Tensor":
        """log p(x_i|z_i), (m,), for x (m, D) and z (m, Z) in float32."""
        import torch
        from torch.nn import functional as F

        out = self.network(z)
        if self.tau is None:
            # log sigmoid(±logit) for x = 1 and 0
            return F.logsigmoid((2 * x - 1) * out).sum(1, dtype=torch.float64)
        squares = (x - out).square().sum(1, dtype=torch.float64)
        return -0.5 * (squares / self.tau**2 + self._normaliser(x.shape[1]))

    def pairwise_log_likelihood(self, x: "Tensor", z: "Tensor") -> "Tensor":
        """log p(x_i|z_j), (n, m), for x (n, D) and z (m, Z) in float32.

        The network runs once for each z. The sums are matrix products, in float64: in float32 the three terms of
        |x - g(z)|² would cancel for small τ.
        """
        import torch
        from torch.nn import functional as F

        out, x = self.network(z).double(), x.double()
        if self.tau is None:
            return torch.addmm(-F.softplus(out).sum(1), x, out.T)
        precision = self.tau**-2
        x_terms = -0.5 * (precision * x.square().sum(1) + self._normaliser(x.shape[1]))
        return torch.addmm(-0.5 * precision * out.square().sum(1), x, out.T, alpha=precision).add_(x_terms[:, None])

    def _normaliser(self, dim: int) -> float:
        assert self.tau is not None
        return gaussian_normaliser(self.tau, dim)

    def information(self, z: "Tensor") -> "Tensor":
        """The Fisher information of z, J(z)ᵀ W J(z), (m, Z, Z) float64, which is also the Gauss-Newton matrix of
        -log p(x|z). J is the Jacobian of the network, W the inverse variance of x given z."""
        import torch

        # J'u is linear in u, so its derivatives by u are the columns of J; forward-mode differentiation is far slower
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            out = self.network(z)
            u = torch.zeros_like(out, requires_grad=True)
            (product,) = torch.autograd.grad(out, z, u, create_graph=True)
            columns = [torch.autograd.grad(part.sum(), u, retain_graph=True)[0] for part in product.unbind(1)]
        out, jacobian = out.detach(), torch.stack(columns, 2).double()
        if self.tau is not None:
            return jacobian.mT @ jacobian / self.tau**2
        mean = out.double().sigmoid()
        return jacobian.mT @ (jacobian * (mean * (1 - mean))[:, :, None])

    def simulate(self, n: int, generator: "Generator") -> "tuple[Tensor, Tensor]":
        """Draws of x (n, D) and the z (n, Z) they were generated from, float32."""
        import torch

        device = generator.device
        z = torch.randn(n, self.latent_dim, generator=generator, device=device)
        out = self.network(z)
        if self.tau is None:
            return (torch.rand(out.shape, generator=generator, device=device) < out.sigmoid()).float(), z
        return out + self.tau * torch.randn(out.shape, generator=generator, device=device), z


def gaussian_normaliser(tau: float, dim: int) -> float:
    """-2 log of the maximum of the density of N(·, τ² I) in `dim` dimensions."""
    return dim * (2 * math.log(tau) + math.log(2 * math.pi))


def standard_normal_log_prob(z: "Tensor") -> "Tensor":
    """log N(z; 0, I) for z (…, Z), (…), float64."""
    return -0.5 * (z.double().square().sum(-1) + z.shape[-1] * math.log(2 * math.pi))
