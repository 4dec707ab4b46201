"""log p(x) of a decoder, by a grid or by importance sampling and annealing without an encoder."""

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deepgen_bench.metrics.likelihood.annealing import Annealing, annealed_log_weights, bidirectional, temperatures
from deepgen_bench.metrics.likelihood.decoder import Decoder
from deepgen_bench.metrics.likelihood.grid import STEP, TOLERANCE, marginal_log_likelihood
from deepgen_bench.metrics.likelihood.held_out import Density, HeldOut
from deepgen_bench.metrics.likelihood.laplace import EXAMPLES, draw, propose
from deepgen_bench.metrics.likelihood.pareto import MAX_SHARE, THRESHOLD, pareto_k
from deepgen_bench.metrics.likelihood.plausibility import below_bound
from deepgen_bench.metrics.likelihood.rows import Evaluation, Likelihoods, log_likelihood_rows, not_applicable
from deepgen_bench.metrics.likelihood.settings import AnnealingSettings, LaplaceSettings, LikelihoodSettings
from deepgen_bench.metrics.likelihood.weights import effective_sample_size, iw_elbo_curve, log_mean_exp, median_error
from deepgen_bench.metrics.measurement import Measurement, Status
from deepgen_bench.storage.keys import Estimator, VectorName

if TYPE_CHECKING:
    from torch import Generator

SIMULATED = "simulated"
"""The `reference_split` of measurements on data drawn from the model itself."""

STEPS_RATIO = 8
"""Annealing from Laplace modes starts close to the posterior: it takes so many times fewer temperatures."""


def marginal(
    decoder: Decoder,
    representation: str,
    held_out: HeldOut,
    settings: LikelihoodSettings,
    truth: Density | None,
    bounds: dict[str, np.ndarray] | None = None,
    device: str = "cpu",
    audit: bool = True,
) -> Likelihoods:
    """The rows of log p(x); with `audit` also those of annealing from the prior.

    `bounds` are lower bounds by an encoder, by split, which an exact value must not be below.
    """
    if decoder.latent_dim in STEP:
        return by_grid(decoder, representation, held_out, truth, bounds or {}, device)
    if settings.laplace is None:
        reason = "intractable: see the bounds" if bounds else "likelihood.laplace is null"
        variant = {"representation": held_out.represent(representation)[0]}
        return Likelihoods([not_applicable("log_likelihood", reason, len(held_out.x), variant=variant)])
    rows = by_laplace(decoder, representation, held_out, settings.laplace, settings.ais, truth, device)
    if settings.ais is not None and audit:
        rows.extend(by_annealing(decoder, representation, held_out, settings.ais, device))
    return rows


def by_grid(
    decoder: Decoder,
    representation: str,
    held_out: HeldOut,
    truth: Density | None,
    bounds: dict[str, np.ndarray],
    device: str,
) -> Likelihoods:
    """log p(x) by a grid over one or two latent dimensions; `mc_error` is the mean error of the quadrature."""
    import torch

    def evaluate(x: np.ndarray, split: str) -> Evaluation:
        with torch.inference_mode():
            data = torch.as_tensor(x, dtype=torch.float64, device=device)
            values, errors = marginal_log_likelihood(decoder.pairwise_log_likelihood, data, decoder.latent_dim)
        error = float(errors.mean())
        status: Status = "ok"
        reason = ""
        if not error <= TOLERANCE:
            status = "not_converged"
            reason = f"the quadrature error is {error:.2g} nats in the mean on the largest lattice"
        if split in bounds and (contradiction := below_bound(values, errors, bounds[split])):
            status, reason = "suspect", contradiction
        return Evaluation(values, Estimator("grid", {}), mc_error=error, status=status, reason=reason)

    return log_likelihood_rows(evaluate, representation, held_out, truth)


def by_laplace(
    decoder: Decoder,
    representation: str,
    held_out: HeldOut,
    settings: LaplaceSettings,
    ais: AnnealingSettings | None,
    truth: Density | None,
    device: str,
) -> Likelihoods:
    """log p(x) of test data by importance sampling at Laplace modes, and annealing where weights are heavy-tailed.

    Beside it the rows `pareto_k` and `ess` of the weights and, with annealing, `bdmc_gap` on simulated data.
    """
    name, x = held_out.represent(representation)
    started = time.perf_counter()
    estimates = laplace_estimates(decoder, x, settings, ais, held_out.generator("laplace", device))
    gap = None if ais is None else simulated_gap(decoder, settings, ais, held_out, device)
    seconds = time.perf_counter() - started
    heavy = float((estimates.pareto_k > THRESHOLD).mean())
    reason = ""
    if heavy > MAX_SHARE and ais is None:
        reason = f"Pareto k > {THRESHOLD} on {heavy:.0%} of examples, and likelihood.ais is null"
    elif heavy > MAX_SHARE and ais is not None and gap is not None and gap.mean() > ais.limit:
        reason = f"{heavy:.0%} of examples are annealed, and bounds on simulated data are {gap.mean():.2g} nats apart"
    evaluation = Evaluation(
        estimates.values,
        laplace_estimator(settings, ais),
        bound="lower",
        mc_error=float(np.sqrt(np.square(estimates.errors).sum()) / len(x)),
        status="not_converged" if reason else "ok",
        reason=reason,
        seconds=seconds,
    )
    rows = log_likelihood_rows(lambda x, split: evaluation, representation, held_out.without_train(), truth)
    variant: dict[str, Any] = {"representation": name, "proposal": "laplace"}
    n = len(x)
    error = float(np.sqrt(heavy * (1 - heavy) / n))
    rows.measurements.append(Measurement("pareto_k", heavy, variant | {"threshold": THRESHOLD}, error, n_real=n))
    ess = estimates.ess
    rows.measurements.append(Measurement("ess", float(np.median(ess)), variant, median_error(ess), n_real=n))
    rows.vectors[str(VectorName("pareto_k_laplace"))] = estimates.pareto_k
    rows.vectors[str(VectorName("ess_laplace"))] = ess
    if gap is not None:
        rows.add("bdmc_gap", gap, variant=variant, reference_split=SIMULATED)
    return rows


def laplace_estimator(settings: LaplaceSettings, ais: AnnealingSettings | None) -> Estimator:
    """The code of `by_laplace`: `laplace`, or `laplace_ais` if heavy-tailed examples are annealed."""
    numbers = {"draws": str(settings.k), "starts": str(settings.starts)}
    if ais is None:
        return Estimator("laplace", numbers)
    annealing = annealing_of(ais, at_modes=True)
    steps = len(annealing.betas) - 1
    return Estimator("laplace_ais", numbers | {"steps": str(steps), "chains": str(annealing.chains)})


class LaplaceEstimates(NamedTuple):
    """`values` of log p(x) with Monte-Carlo `errors`, and `pareto_k` and `ess` of the importance weights: (n,) each."""

    values: np.ndarray
    errors: np.ndarray
    pareto_k: np.ndarray
    ess: np.ndarray


def laplace_estimates(
    decoder: Decoder, x: np.ndarray, settings: LaplaceSettings, ais: AnnealingSettings | None, generator: "Generator"
) -> LaplaceEstimates:
    """Estimates for x (n, D); with `ais` examples with heavy-tailed weights are annealed, too."""
    import torch

    parts: list[LaplaceEstimates] = []
    for start in range(0, len(x), EXAMPLES):
        block = torch.as_tensor(x[start : start + EXAMPLES], dtype=torch.float32, device=generator.device)
        proposal = propose(decoder, block, settings.starts, generator)
        weights = np.add(*draw(decoder, block, proposal, settings.k, generator))
        values, errors = iw_elbo_curve(weights, [settings.k])[settings.k]
        shape = pareto_k(weights)
        if ais is not None and (heavy := shape > THRESHOLD).any():
            index = torch.as_tensor(heavy, device=generator.device)
            annealing = annealing_of(ais, at_modes=True)
            chains = annealed_log_weights(decoder, block[index], proposal.subset(index), annealing, generator)
            annealed = iw_elbo_curve(chains, [ais.chains])[ais.chains]
            values[heavy], errors[heavy] = log_mean_of_two(values[heavy], errors[heavy], *annealed)
        parts.append(LaplaceEstimates(values, errors, shape, effective_sample_size(weights)))
    return LaplaceEstimates(*map(np.concatenate, zip(*parts, strict=True)))


def log_mean_of_two(
    a: np.ndarray, error_a: np.ndarray, b: np.ndarray, error_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log of the mean of two unbiased estimates exp(a) and exp(b) of p(x), which is unbiased too, and its error.

    It is at most log 2 below the larger one. The importance estimate is kept because few temperatures may be worse than
    a thousand draws, whose weights are heavy-tailed where the posterior is wider than the Laplace approximation.
    """
    total = np.logaddexp(a, b)
    return total - np.log(2), np.hypot(np.exp(a - total) * error_a, np.exp(b - total) * error_b)


def annealing_of(settings: AnnealingSettings, at_modes: bool) -> Annealing:
    """Annealing from Laplace modes, or from the prior."""
    steps = max(2, settings.steps // STEPS_RATIO) if at_modes else settings.steps
    return Annealing(temperatures(steps, settings.schedule), settings.chains, settings.leapfrog)


def simulated_gap(
    decoder: Decoder, laplace: LaplaceSettings | None, ais: AnnealingSettings, held_out: HeldOut, device: str
) -> np.ndarray:
    """The distances between the bounds of simulated examples, (n,), annealed from Laplace modes or from the prior."""
    generator = held_out.generator("simulated_laplace" if laplace else "simulated", device)
    annealing = annealing_of(ais, at_modes=laplace is not None)
    bounds = []
    for start in range(0, ais.simulated, EXAMPLES):
        n = min(EXAMPLES, ais.simulated - start)
        proposer = (lambda x: propose(decoder, x, laplace.starts, generator)) if laplace else None
        bounds.append(bidirectional(decoder, n, proposer, annealing, generator))
    return np.concatenate([upper - lower for lower, upper in bounds])


def by_annealing(
    decoder: Decoder, representation: str, held_out: HeldOut, settings: AnnealingSettings, device: str
) -> Likelihoods:
    """The rows `ais`, annealed from the prior and so independent of Laplace modes, and its `bdmc_gap`."""
    import torch

    rows, started = Likelihoods(), time.perf_counter()
    name, x = held_out.represent(representation)
    generator, values, errors = held_out.generator("annealing", device), [], []
    for block in torch.as_tensor(x[: settings.n], dtype=torch.float32, device=device).split(EXAMPLES):
        weights = annealed_log_weights(decoder, block, None, annealing_of(settings, at_modes=False), generator)
        values.append(log_mean_exp(weights))
        errors.append(iw_elbo_curve(weights, [settings.chains])[settings.chains][1])
    gap = simulated_gap(decoder, None, settings, held_out, device)
    seconds = time.perf_counter() - started
    reason = ""
    if gap.mean() > settings.limit:
        reason = f"on simulated data its bounds are {gap.mean():.2g} nats apart, above {settings.limit:g}"
    variant: dict[str, Any] = {"representation": name, "steps": settings.steps, "chains": settings.chains}
    rows.add(
        "ais",
        np.concatenate(values),
        np.concatenate(errors),
        keep=True,
        seconds=seconds,
        variant=variant,
        bound="lower",
        status="not_converged" if reason else "ok",
        reason=reason,
    )
    rows.add("bdmc_gap", gap, keep=True, variant=variant | {"proposal": "prior"}, reference_split=SIMULATED)
    return rows
