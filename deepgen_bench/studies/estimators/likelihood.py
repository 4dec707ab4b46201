"""Importance-weighted bounds compared with the closed form of a linear-Gaussian VAE (probabilistic PCA)."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.importance import encoder_bounds
from deepgen_bench.plugins import Settings
from deepgen_bench.storage.keys import VectorName
from deepgen_bench.studies.study import Check, Evidence, Relation, paired_row


class LinearGaussianVAESettings(Settings):
    """`encoder_sd` multiplies the standard deviations of the exact posterior; `mistake` is a negative control."""

    encoder_sd: PositiveFloat = 1.0
    k: tuple[PositiveInt, ...] = (1, 10, 100, 1000, 5000)
    dim: PositiveInt = 16
    latent_dim: PositiveInt = 4
    tau: PositiveFloat = 0.3
    n: Annotated[int, Field(ge=2)] = 200
    mistake: Literal["none", "constant", "k_off_by_one", "log_averaged"] = "none"


class LinearGaussianVAE(Check):
    """The benchmark's VAE with linear networks: x = W z + b + τ ε, with orthogonal columns of W.

    Then p(x) = N(b, W Wᵀ + τ² I), and the posterior is N(M⁻¹ Wᵀ (x - b), τ² M⁻¹) with the diagonal M = Wᵀ W + τ² I
    (Tipping and Bishop 1999, eq. 5-8). K = 1 is compared with the ELBO in closed form, log p(x) - KL(q ‖ posterior),
    and the largest K with log p(x). Values of K between them give a lower bound, unless the encoder is exact.
    """

    Settings = LinearGaussianVAESettings
    settings: LinearGaussianVAESettings

    def measure(self) -> Evidence:
        s = self.settings
        rng = self.rng("model")
        w, b = linear_gaussian(s.dim, s.latent_dim, rng)
        x = rng.standard_normal((s.n, s.latent_dim)) @ w.T + b + s.tau * rng.standard_normal((s.n, s.dim))
        exact = log_prob(x, w, b, s.tau)
        held_out = HeldOut(x, DataSpec((s.dim,), "continuous"), self.context.base_seed, self.label)
        vectors = encoder_bounds(linear_vae(w, b, s.tau, s.encoder_sd), held_out, s.k).vectors
        # KL between Gaussians with the same mean
        divergence = s.latent_dim * 0.5 * (s.encoder_sd**2 - 1 - 2 * np.log(s.encoder_sd))
        quantity = "IW-ELBO" if s.mistake == "none" else f"IW-ELBO, {s.mistake.replace('_', ' ')}"
        rows = []
        for k in [s.k[-1]] if s.mistake in ("constant", "log_averaged") else s.k:
            estimate, prediction = vectors[str(VectorName("iw_elbo", k))], exact
            relation: Relation = "equal" if s.encoder_sd == 1 or k in (1, s.k[-1]) else "at most"
            if s.mistake == "constant":
                estimate = estimate + 0.5 * s.dim * np.log(2 * np.pi)
            elif s.mistake == "log_averaged":
                estimate = vectors[str(VectorName("iw_elbo", s.k[0]))]
            elif s.mistake == "k_off_by_one":
                estimate = estimate + np.log(k / (k - 1))
            elif k == 1:
                prediction = exact - divergence
            setting = f"K={k}, encoder sd × {s.encoder_sd:g}, D={s.dim}, Z={s.latent_dim}, n={s.n}"
            rows.append(paired_row(quantity, setting, prediction, estimate, relation))
        return Evidence(rows)


def linear_gaussian(dim: int, latent_dim: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random W (dim, latent_dim), with orthogonal columns of lengths from 1.5 to 0.5, and b (dim,)."""
    columns = np.linalg.qr(rng.standard_normal((dim, latent_dim)))[0]
    return columns * np.linspace(1.5, 0.5, latent_dim), rng.standard_normal(dim)


def log_prob(x: np.ndarray, w: np.ndarray, b: np.ndarray, tau: float) -> np.ndarray:
    """log N(x; b, W Wᵀ + τ² I) for W with orthogonal columns."""
    squares = (w**2).sum(axis=0)
    inside = ((x - b) @ w) ** 2 / squares
    outside = ((x - b) ** 2).sum(axis=1) - inside.sum(axis=1)
    variances = squares + tau**2
    log_det = np.log(variances).sum() + (len(w) - len(squares)) * np.log(tau**2)
    return -0.5 * ((inside / variances).sum(axis=1) + outside / tau**2 + log_det + len(w) * np.log(2 * np.pi))


def linear_vae(w: np.ndarray, b: np.ndarray, tau: float, encoder_sd: float) -> Any:
    """The benchmark's VAE without hidden layers, with this decoder and the exact encoder, widened by `encoder_sd`."""
    import torch

    from deepgen_bench.models.vae.model import VAE
    from deepgen_bench.models.vae.settings import VAESettings

    dim, latent = w.shape
    settings = VAESettings(hidden=(), latent_dim=latent, tau=tau)
    model = VAE(settings, DataSpec((dim,), "continuous"), "cpu")
    model.module = model.build([torch.Generator()])
    m = (w**2).sum(axis=0) + tau**2
    mean = w / m
    log_variance = np.log(encoder_sd**2 * tau**2 / m)
    weights = {
        "encoder.0.weight": np.hstack([mean, np.zeros_like(mean)])[None],
        "encoder.0.bias": np.concatenate([-b @ mean, log_variance])[None, None],
        "decoder.0.weight": w.T[None],
        "decoder.0.bias": b[None, None],
        "shift": np.zeros((1, 1, dim)),
        "scale": np.ones((1, 1, 1)),
    }
    state = model.module.state_dict() | {
        name: torch.tensor(array, dtype=torch.float32) for name, array in weights.items()
    }
    model.module.load_state_dict(state)
    model.module.eval()
    return model
