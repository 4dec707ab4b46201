"""Log-likelihood of a diffusion model: the bound of its ancestral sampler, and in one or two dimensions the density of
its probability flow."""

import copy
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from deepgen_bench.metrics.likelihood.held_out import Density, HeldOut
from deepgen_bench.metrics.likelihood.rows import Evaluation, Likelihoods, log_likelihood_rows, not_applicable
from deepgen_bench.metrics.measurement import Status
from deepgen_bench.models.base import DiffusionProcess
from deepgen_bench.storage.keys import Estimator

if TYPE_CHECKING:
    from torch import Generator, Tensor

# draws of the noise for every example and step: two, so that their spread gives the error
DRAWS = 2
# examples per block of noise: a constant of the method, because torch's draws depend on it
EXAMPLES = 100

FLOW_DIMS = 2
"""Largest dimension in which the flow's density is computed, with the exact divergence."""

FLOW_STEPS = (25, 50, 100, 200, 400)
"""Numbers of integration steps of the flow, increased until the log-likelihood has converged."""

TOLERANCE = 0.01
"""Accepted mean change of the flow's log-likelihood when the steps are halved, in nats."""


def measure_diffusion(model: DiffusionProcess, held_out: HeldOut, truth: Density | None) -> Likelihoods:
    """Rows of the flow's log-likelihood, compared with the `truth` if it is known, and of the chain's bound."""
    if held_out.spec.levels is None and held_out.spec.dim <= FLOW_DIMS:
        rows = log_likelihood_rows(lambda x, split: flow(model, x), model.representation, held_out, truth)
    else:
        variant = {"representation": held_out.represent(model.representation)[0]}
        reason = "intractable: see the bound"
        rows = Likelihoods([not_applicable("log_likelihood", reason, len(held_out.x), variant=variant)])
    estimator = Estimator("denoising_bound", {"steps": str(model.steps)})
    for split in ("test",) if held_out.train is None else ("test", "train"):
        started = time.perf_counter()
        name, x = held_out.represent(model.representation, split)
        values, errors = bound(model, x, held_out.seed("diffusion", split))
        row = rows.add(
            "elbo",
            values,
            errors,
            keep=True,
            variant={"representation": name, **estimator.keys()},
            bound="lower",
            direction="max",
            reference_split=split,
            seconds=time.perf_counter() - started,
        )
        if split == "test":
            rows.add_bits_per_dim(row, held_out.spec)
        else:
            rows.add_train_test_gap(rows.row("elbo", "test"), row)
    return rows


def bound(model: DiffusionProcess, x: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A lower bound on log p(x) of the ancestral sampler (Ho et al. 2020, eq. 5) for x (n, D) in the model's
    representation, and its Monte-Carlo standard errors: (n,) each.

    log p(x) >= -KL(q(z_T|x) ‖ N(0, I)) - Σ KL(q(z_s|z_t, x) ‖ p(z_s|z_t)) + log p(x|z_1), over all steps, each at
    `DRAWS` independent draws of its z_t. The squared error of x̂ is proportional to that of ε̂. At low noise ε cannot be
    predicted, so that this error is nearly |ε|²: subtracting a multiple of |ε|², whose expectation is known, removes
    most of the variance (a control variate).
    """
    import torch

    generator = torch.Generator(model.device).manual_seed(seed)
    values, variances = [], []
    with torch.inference_mode():
        for start in range(0, len(x), EXAMPLES):
            data = torch.as_tensor(x[None, start : start + EXAMPLES], dtype=torch.float64, device=model.device)
            scaled_values, variance = bound_of_scaled(model, model.scaled(data), generator)
            jacobian = data.shape[-1] * model.module.scale.double().log().item()
            values.append((scaled_values - jacobian).cpu().numpy())
            variances.append(variance.cpu().numpy())
    return np.concatenate(values), np.sqrt(np.concatenate(variances))


def bound_of_scaled(model: DiffusionProcess, x: "Tensor", generator: "Generator") -> "tuple[Tensor, Tensor]":
    """The bound in the units of the network for x (1, n, D), and its Monte-Carlo variance: (n,) each."""
    import torch

    from deepgen_bench.models.diffusion.model import in_pieces

    n, dim = x.shape[1:]
    transitions = model.transitions(model.steps)
    first = torch.sigmoid(torch.tensor(transitions[0].now, dtype=torch.float64)).item()
    # -KL(N(α x, σ² I) ‖ N(0, I))
    total = -0.5 * (first * x.square().sum(-1)[0] - dim * (first + math.log1p(-first)))
    variance = torch.zeros_like(total)
    repeated = x.repeat(1, DRAWS, 1)
    for step in transitions:
        # drawn for a whole block, so that the draws of an example do not depend on how many examples follow it
        noise = torch.randn(DRAWS, EXAMPLES, dim, generator=generator, device=x.device)[:, :n]
        noise = noise.double().reshape(1, -1, dim)
        now = x.new_full((1, 1, 1), step.now)
        z = now.sigmoid().sqrt() * repeated + (-now).sigmoid().sqrt() * noise
        errors = (in_pieces(model.denoise, z, now.expand(1, z.shape[1], 1)) - repeated).square().sum(-1)
        errors = errors - step.error * math.exp(-step.now) * (noise.square().sum(-1) - dim)
        terms = -(step.pull**2) / (2 * step.variance) * errors.view(DRAWS, n)
        if step.least:
            ratio = step.least / step.variance
            terms = terms - 0.5 * dim * (ratio - 1 - math.log(ratio))
        else:  # the last step is log p(x|z_1) instead of a KL divergence
            terms = terms - 0.5 * dim * math.log(2 * math.pi * step.variance)
        total = total + terms.mean(0)
        variance = variance + terms.var(0) / DRAWS
    return total, variance


def flow(model: DiffusionProcess, x: np.ndarray) -> Evaluation:
    """log p(x) of the probability flow for x (n, D), D at most `FLOW_DIMS`.

    It is the density of DDIM in the limit of many steps, not that of the ancestral sampler. `mc_error` is the mean
    change when the steps are halved.
    """
    import torch

    exact = copy.copy(model)
    exact.module = copy.deepcopy(model.module).double()
    data = torch.as_tensor(x[None], dtype=torch.float64, device=model.device)
    previous = flow_log_likelihood(exact, data, FLOW_STEPS[0])
    for steps in FLOW_STEPS[1:]:
        values = flow_log_likelihood(exact, data, steps)
        change = float(np.abs(values - previous).mean())
        if change <= TOLERANCE:
            break
        previous = values
    status: Status = "ok"
    reason = ""
    if not change <= TOLERANCE:
        status = "not_converged"
        reason = f"half of {FLOW_STEPS[-1]} steps change the log-likelihood by {change:.2g} nats in the mean"
    return Evaluation(values, Estimator("flow_ode", {}), "estimate", change, status, reason)


def flow_log_likelihood(model: DiffusionProcess, x: "Tensor", steps: int) -> np.ndarray:
    """log p(x) of the probability flow (Song et al. 2021, arXiv 2011.13456, eq. 39) for x (1, n, D), (n,).

    Integrates dz/dλ = -½ α σ v̂ (their eq. 13 in the log signal-to-noise ratio λ) from the data to the prior by the
    classical Runge-Kutta method in equal steps. The divergence is exact, by differentiation along every coordinate.
    """
    import torch

    from deepgen_bench.models.diffusion.model import HIGH, LOW

    dim = x.shape[-1]

    def rate(z: "Tensor", log_snr: float) -> "tuple[Tensor, Tensor]":
        """dz/dλ (1, n, D) and its divergence (n,)."""
        now = z.new_full((1, 1, 1), log_snr)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            velocity = model.velocity(z, now)
            # examples do not influence each other, so the gradient of a sum over examples holds the gradient of each
            gradients = [torch.autograd.grad(velocity[..., i].sum(), z, retain_graph=True)[0] for i in range(dim)]
        divergence = sum((gradient[0, :, i] for i, gradient in enumerate(gradients)), torch.zeros_like(z[0, :, 0]))
        factor = -0.5 * (now.sigmoid() * (-now).sigmoid()).sqrt().item()
        return factor * velocity.detach(), factor * divergence

    h = (LOW - HIGH) / steps
    # at the data side the flow starts at α x
    alpha = 1 / math.sqrt(1 + math.exp(-HIGH))
    z, log_volume = alpha * model.scaled(x), torch.zeros_like(x[0, :, 0])
    for i in range(steps):
        now = HIGH + i * h
        a, da = rate(z, now)
        b, db = rate(z + h / 2 * a, now + h / 2)
        c, dc = rate(z + h / 2 * b, now + h / 2)
        d, dd = rate(z + h * c, now + h)
        z = z + h / 6 * (a + 2 * b + 2 * c + d)
        log_volume = log_volume + h / 6 * (da + 2 * db + 2 * dc + dd)
    prior = -0.5 * (z[0].square().sum(-1) + dim * math.log(2 * math.pi))
    jacobian = dim * (math.log(alpha) - math.log(model.module.scale.item()))
    return np.asarray((prior + log_volume + jacobian).cpu().numpy())
