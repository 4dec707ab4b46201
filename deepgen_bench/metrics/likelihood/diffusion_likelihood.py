"""Log-likelihood of a diffusion model: the bound of its ancestral sampler, and in one or two dimensions the density of
its probability flow."""

import copy
import math
import time
from typing import Any

import numpy as np

from deepgen_bench.metrics.likelihood.held_out import Density, HeldOut, log_likelihoods, not_applicable
from deepgen_bench.metrics.likelihood.likelihood_rows import Likelihoods
from deepgen_bench.runtime.seeds import derive_seed

# draws of the noise for every example and step: two, so that their spread tells the error
DRAWS = 2
# noise is drawn for so many examples at once: a constant of the method, since torch's draws depend on it
EXAMPLES = 100

FLOW_DIMS = 2
"""Dimensions up to which the flow's divergence is computed exactly."""

FLOW_STEPS = (25, 50, 100, 200, 400)
"""Steps of the flow's integration, one number after the other until it no longer matters."""

TOLERANCE = 0.01
"""The change of the flow's log-likelihood by half the steps that is small enough, in nats and in the mean."""


def diffusion(model: Any, held_out: HeldOut, truth: Density | None) -> Likelihoods:
    """The flow's log-likelihood, against the `truth` where known, and the chain's bound, on test and training data."""
    if held_out.spec.levels is None and held_out.spec.dim <= FLOW_DIMS:
        found = log_likelihoods(lambda x, split: flow(model, x), model.representation, held_out, truth)
    else:
        variant = {"representation": held_out.represent(model.representation)[0]}
        reason = "intractable: see the bound"
        found = Likelihoods([not_applicable("log_likelihood", reason, len(held_out.x), variant=variant)])
    for split in ("test",) if held_out.train is None else ("test", "train"):
        started = time.perf_counter()
        name, x = held_out.represent(model.representation, split)
        seed = derive_seed(held_out.base_seed, "metric", held_out.dataset, *held_out.role("diffusion", split))
        values, errors = bound(model, x, seed)
        variant = {"representation": name, "estimator": f"the bound of {model.settings.steps} denoising steps"}
        fields: dict[str, Any] = {"bound": "lower", "direction": "max", "variant": variant, "reference_split": split}
        seconds = time.perf_counter() - started
        row = found.add("elbo", values, errors, keep=True, seconds=seconds, **fields)
        if split == "test":
            found.add_bits(row, held_out.spec)
        else:
            found.add_gap(found.row("elbo", "test"), row)
    return found


def bound(model: Any, x: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A lower bound on log p(x) of the ancestral sampler (Ho et al. 2020, eq. 5) for x (n, D) in the model's
    representation, and its Monte-Carlo standard errors: (n,) each.

    log p(x) >= -KL(q(z_T|x) ‖ N(0, I)) - Σ KL(q(z_s|z_t, x) ‖ p(z_s|z_t)) + log p(x|z_1), all steps, each at `DRAWS`
    independent draws of its z_t. The squared error of x̂ is that of the noise but for a factor, and where the noise is
    small nothing of it can be told: a multiple of |ε|², whose expectation is known, takes away most of the scatter.
    """
    import torch

    generator = torch.Generator(model.device).manual_seed(seed)
    values, variances = [], []
    with torch.inference_mode():
        for start in range(0, len(x), EXAMPLES):
            data = torch.as_tensor(x[None, start : start + EXAMPLES], dtype=torch.float64, device=model.device)
            total, variance = bound_of_scaled(model, model.scaled(data), generator)
            jacobian = data.shape[-1] * model.module.scale.double().log().item()
            values.append((total - jacobian).cpu().numpy())
            variances.append(variance.cpu().numpy())
    return np.concatenate(values), np.sqrt(np.concatenate(variances))


def bound_of_scaled(model: Any, x: Any, generator: Any) -> tuple[Any, Any]:
    """The bound in the units of the network for x (1, n, D), and its Monte-Carlo variance: (n,) each."""
    import torch

    from deepgen_bench.models.diffusion.model import in_pieces

    n, dim = x.shape[1:]
    transitions = model.transitions(model.settings.steps)
    first = torch.sigmoid(torch.tensor(transitions[0].now, dtype=torch.float64)).item()
    # KL(N(α x, σ² I) ‖ N(0, I))
    total = -0.5 * (first * x.square().sum(-1)[0] - dim * (first + math.log1p(-first)))
    spread = torch.zeros_like(total)
    repeated = x.repeat(1, DRAWS, 1)
    for step in transitions:
        drawn = torch.randn(DRAWS, EXAMPLES, dim, generator=generator, device=x.device)[:, :n]
        noise = drawn.double().reshape(1, -1, dim)
        now = x.new_full((1, 1, 1), step.now)
        z = now.sigmoid().sqrt() * repeated + (-now).sigmoid().sqrt() * noise
        misses = (in_pieces(model.denoise, z, now.expand(1, z.shape[1], 1)) - repeated).square().sum(-1)
        misses = misses - step.error * math.exp(-step.now) * (noise.square().sum(-1) - dim)
        terms = -(step.pull**2) / (2 * step.variance) * misses.view(DRAWS, n)
        if step.least:
            ratio = step.least / step.variance
            terms = terms - 0.5 * dim * (ratio - 1 - math.log(ratio))
        else:  # the last step, whose truth is a point
            terms = terms - 0.5 * dim * math.log(2 * math.pi * step.variance)
        total = total + terms.mean(0)
        spread = spread + terms.var(0) / DRAWS
    return total, spread


def flow(model: Any, x: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """log p(x) of the probability flow for x (n, D), D at most `FLOW_DIMS`, and fields of its row.

    It is the density of DDIM with ever more steps, not that of the ancestral sampler. `mc_error` is the mean change by
    half the steps.
    """
    import torch

    exact = copy.copy(model)
    exact.module = copy.deepcopy(model.module).double()
    data = torch.as_tensor(x[None], dtype=torch.float64, device=model.device)
    before = flow_log_likelihood(exact, data, FLOW_STEPS[0])
    for steps in FLOW_STEPS[1:]:
        values = flow_log_likelihood(exact, data, steps)
        change = float(np.abs(values - before).mean())
        if change <= TOLERANCE:
            break
        before = values
    fields: dict[str, Any] = {
        "bound": "estimate",
        "mc_error": change,
        "estimator": "the probability flow's ODE, the density of DDIM with ever more steps and not of the chain",
    }
    if not change <= TOLERANCE:
        reason = f"{change:.2g} nats of change in the mean by half of {FLOW_STEPS[-1]} steps"
        fields |= {"status": "not_converged", "reason": reason}
    return values, fields


def flow_log_likelihood(model: Any, x: Any, steps: int) -> np.ndarray:
    """log p(x) of the probability flow (Song et al. 2021, arXiv 2011.13456, eq. 39) for x (1, n, D), (n,).

    As dz/dλ = -½ α σ v̂ (their eq. 13 in the log signal-to-noise ratio), by the classical Runge-Kutta method from the
    data to the prior, in equal steps. The divergence is exact, by differentiation along every coordinate.
    """
    import torch

    from deepgen_bench.models.diffusion.model import HIGH, LOW

    dim = x.shape[-1]

    def rate(z: Any, log_snr: float) -> tuple[Any, Any]:
        now = z.new_full((1, 1, 1), log_snr)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            velocity = model.velocity(z, now)
            # examples do not meet, so that the sum's gradient is each one's own
            slopes = [torch.autograd.grad(velocity[..., i].sum(), z, retain_graph=True)[0] for i in range(dim)]
        divergence = sum(slope[0, :, i] for i, slope in enumerate(slopes))
        factor = -0.5 * (now.sigmoid() * (-now).sigmoid()).sqrt().item()
        return factor * velocity.detach(), factor * divergence

    h = (LOW - HIGH) / steps
    # the flow ends at α x
    shrink = 1 / math.sqrt(1 + math.exp(-HIGH))
    z, gained = shrink * model.scaled(x), torch.zeros_like(x[0, :, 0])
    for i in range(steps):
        now = HIGH + i * h
        a, da = rate(z, now)
        b, db = rate(z + h / 2 * a, now + h / 2)
        c, dc = rate(z + h / 2 * b, now + h / 2)
        d, dd = rate(z + h * c, now + h)
        z, gained = z + h / 6 * (a + 2 * b + 2 * c + d), gained + h / 6 * (da + 2 * db + 2 * dc + dd)
    prior = -0.5 * (z[0].square().sum(-1) + dim * math.log(2 * math.pi))
    jacobian = dim * (math.log(shrink) - math.log(model.module.scale.item()))
    return np.asarray((prior + gained + jacobian).cpu().numpy())
