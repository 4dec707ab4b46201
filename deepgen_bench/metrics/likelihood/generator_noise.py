"""log p(x) of a generator with Gaussian noise around its samples, whose standard deviation validation data choose."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from deepgen_bench.metrics.likelihood.decoder import Decoder, gaussian_normaliser
from deepgen_bench.metrics.likelihood.held_out import Density, HeldOut
from deepgen_bench.metrics.likelihood.laplace import CANDIDATES, draw, likeliest_draws, propose_from
from deepgen_bench.metrics.likelihood.marginal import marginal
from deepgen_bench.metrics.likelihood.rows import Likelihoods
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.metrics.likelihood.weights import log_mean_exp
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.models.base import Implicit

if TYPE_CHECKING:
    from torch import Tensor

# validation examples, starts, steps towards modes, and draws per round, that choose τ
EXAMPLES, STARTS, ASCENT, DRAWS = 32, 4, 60, 1000
# the range of τ, in standard deviations of the data
RANGE = (1e-3, 1.0)
# A round changes τ by at most `FACTOR`, because its draws fit the τ before. The search ends when a round changes τ by
# less than `TOLERANCE` (of its logarithm) or gains less than `GAIN` nats per example: a generator with a density of its
# own is as likely with any small τ.
FACTOR, TOLERANCE, GAIN, ROUNDS = 3.0, 0.02, 1e-3, 12


def measure_implicit(
    model: Implicit, held_out: HeldOut, settings: LikelihoodSettings, truth: Density | None, audit: bool
) -> Likelihoods:
    """The rows of log p(x) with noise around the samples, on test data only, and the row `tau` of its standard
    deviation."""
    representation = "dequantised"
    generator = Decoder(model.generate_mean, model.latent_dim, None)
    tau = choose_tau(generator, representation, held_out, model.device)
    decoder = replace(generator, tau=tau)
    # training data are left out: whether a generator memorises them shows in its samples, at less cost
    rows = marginal(
        decoder, representation, held_out.without_train(), settings, truth, device=model.device, audit=audit
    )
    assert held_out.validation is not None
    name, _ = held_out.represent(representation)
    n = min(len(held_out.validation), EXAMPLES)
    rows.measurements.append(Measurement("tau", tau, {"representation": name}, n_real=n, reference_split="validation"))
    return rows


def choose_tau(generator: Decoder, representation: str, held_out: HeldOut, device: str = "cpu") -> float:
    """The standard deviation of Gaussian noise around a `generator`'s samples with the largest validation likelihood.

    Without noise a GAN has no density (Wu et al. 2017, arXiv 1611.04273, section 3). Each round estimates log p(x) for
    all τ near the present one from the same importance draws, and the next round draws again at the best. The search
    ends when τ no longer changes, or when its likelihood from new draws gains almost nothing.
    """
    import torch
    from scipy.optimize import minimize_scalar

    _, points = held_out.represent(representation, "validation")
    lowest, highest = (factor * float(np.sqrt(points.var(0).mean())) for factor in RANGE)
    x = torch.as_tensor(points[:EXAMPLES], dtype=torch.float32, device=device)
    tau = first_tau(generator, x, lowest, highest, held_out)
    previous = tau, -np.inf
    for _ in range(ROUNDS):
        # every round has the same random numbers
        decoder, rng = replace(generator, tau=tau), held_out.generator("tau", device)
        proposal = propose_from(decoder, x, likeliest_draws(decoder, x, STARTS, rng), ASCENT)
        ratio, log_likelihood = draw(decoder, x, proposal, DRAWS, rng)
        squares = (-2 * log_likelihood - gaussian_normaliser(tau, x.shape[1])) * tau**2

        def loss(log_tau: float, ratio: np.ndarray = ratio, squares: np.ndarray = squares) -> float:
            other = float(np.exp(log_tau))
            normaliser = gaussian_normaliser(other, x.shape[1])
            return -float(log_mean_exp(ratio - 0.5 * (squares / other**2 + normaliser)).mean())

        likelihood = -loss(np.log(tau))
        if likelihood < previous[1] + GAIN:
            return tau if likelihood > previous[1] else previous[0]
        previous = tau, likelihood
        bounds = np.log([max(tau / FACTOR, lowest), min(tau * FACTOR, highest)])
        best = float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x))
        if abs(np.log(best / tau)) < TOLERANCE:
            return best
        tau = best
    return tau


def first_tau(generator: Decoder, x: "Tensor", lowest: float, highest: float, held_out: HeldOut) -> float:
    """The root mean square distance per coordinate within which one sample in a hundred lies of an example x (n, D)."""
    import torch

    rng = held_out.generator("tau_start", x.device.type)
    nearest = likeliest_draws(replace(generator, tau=lowest), x, CANDIDATES // 100, rng)
    with torch.no_grad():
        return (x - generator.network(nearest[:, -1])).square().mean().sqrt().clamp(lowest, highest).item()
