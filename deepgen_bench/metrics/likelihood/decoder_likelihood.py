"""log p(x) of a model with a decoder, be it a VAE's or a GAN's generator: a grid, or importance sampling without an
encoder, with annealing where that does not do and beside it."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgen_bench.metrics.likelihood.annealing import Annealing, annealed, bidirectional, temperatures
from deepgen_bench.metrics.likelihood.decoder import Decoder, gaussian_normaliser
from deepgen_bench.metrics.likelihood.grid import STEP, TOLERANCE, marginal_log_likelihood
from deepgen_bench.metrics.likelihood.held_out import Density, HeldOut, log_likelihoods, not_applicable
from deepgen_bench.metrics.likelihood.laplace import CANDIDATES, EXAMPLES, draw, likeliest, propose, propose_from
from deepgen_bench.metrics.likelihood.likelihood_rows import Likelihoods, below_bound
from deepgen_bench.metrics.likelihood.pareto import THRESHOLD, pareto_k
from deepgen_bench.metrics.likelihood.settings import AnnealingSettings, LaplaceSettings, LikelihoodSettings
from deepgen_bench.metrics.likelihood.weights import effective_sample_size, iw_elbo_curve, log_mean_exp, median_error
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.runtime.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Generator

LOOSE = 0.1
"""The share of examples with a Pareto k above the threshold beyond which a bound is not converged."""

SIMULATED = "simulated"
"""The `reference_split` of what is measured on data that the model itself has made."""

# from Laplace's modes the way is short: so many times fewer temperatures
AT_MODES = 8

# validation examples, starts, steps towards modes and draws, in a round, that choose a generator's τ; and what it may
# be, in standard deviations of data
TAU_EXAMPLES, TAU_STARTS, TAU_ASCENT, TAU_DRAWS, TAU_RANGE = 32, 4, 60, 1000, (1e-3, 1.0)
# a round may change τ by so much, as its draws fit the τ before; the last one changes it by less than TAU_TOLERANCE, or
# gains less than TAU_GAIN, nats per example: where a generator has a density of its own, any small τ does
TAU_FACTOR, TAU_TOLERANCE, TAU_GAIN, TAU_ROUNDS = 3.0, 0.02, 1e-3, 12


def marginal(
    decoder: Decoder,
    representation: str,
    held_out: HeldOut,
    settings: LikelihoodSettings,
    truth: Density | None,
    tightest: dict[str, np.ndarray] | None = None,
    device: str = "cpu",
    audit: bool = True,
) -> Likelihoods:
    """The rows of log p(x), and, as an `audit`, those of annealing from the prior.

    `tightest` are an encoder's bounds, by split, which no exact value may be below.
    """
    if decoder.latent_dim in STEP:
        return by_grid(decoder, representation, held_out, truth, tightest or {}, device)
    if settings.laplace is None:
        reason = "intractable: see the bounds" if tightest else "likelihood.laplace is null"
        variant = {"representation": held_out.represent(representation)[0]}
        return Likelihoods([not_applicable("log_likelihood", reason, len(held_out.x), variant=variant)])
    found = by_laplace(decoder, representation, held_out, settings.laplace, settings.ais, truth, device)
    if settings.ais is not None and audit:
        found.extend(by_annealing(decoder, representation, held_out, settings.ais, device))
    return found


def by_grid(
    decoder: Decoder,
    representation: str,
    held_out: HeldOut,
    truth: Density | None,
    tightest: dict[str, np.ndarray],
    device: str,
) -> Likelihoods:
    """By a grid over one or two latent dimensions; `mc_error` is the mean error of the quadrature."""
    import torch

    def evaluate(x: np.ndarray, split: str) -> tuple[np.ndarray, dict[str, Any]]:
        with torch.inference_mode():
            data = torch.as_tensor(x, dtype=torch.float64, device=device)
            values, errors = marginal_log_likelihood(decoder.pairwise_log_likelihood, data, decoder.latent_dim)
        error = float(errors.mean())
        fields: dict[str, Any] = {"mc_error": error, "estimator": "grid"}
        if not error <= TOLERANCE:
            reason = f"quadrature error {error:.2g} nats in the mean on the largest lattice"
            fields |= {"status": "not_converged", "reason": reason}
        if split in tightest and (reason := below_bound(values, errors, tightest[split])):
            fields |= {"status": "suspect", "reason": reason}
        return values, fields

    return log_likelihoods(evaluate, representation, held_out, truth)


def generator_of(role: str, held_out: HeldOut, device: str) -> "Generator":
    """The random stream of a role, the same for all models on a dataset."""
    import torch

    return torch.Generator(device).manual_seed(derive_seed(held_out.base_seed, "metric", held_out.dataset, role))


def by_laplace(
    decoder: Decoder,
    representation: str,
    held_out: HeldOut,
    settings: LaplaceSettings,
    ais: AnnealingSettings | None,
    truth: Density | None,
    device: str,
) -> Likelihoods:
    """By importance sampling at Laplace's modes, with annealing from there where the weights are too heavy-tailed."""
    found: dict[str, np.ndarray] = {}

    def evaluate(x: np.ndarray, split: str) -> tuple[np.ndarray, dict[str, Any]]:
        found.update(weigh_all(decoder, x, settings, ais, generator_of("laplace", held_out, device)))
        bad = float((found["pareto_k"] > THRESHOLD).mean())
        error = float(np.sqrt(np.square(found["errors"]).sum()) / len(x))
        fields: dict[str, Any] = {"bound": "lower", "mc_error": error}
        fields["estimator"] = f"importance sampling at {settings.starts} Laplace modes, {settings.k} draws"
        reason = ""
        if ais is None and bad > LOOSE:
            reason = f"Pareto k > {THRESHOLD} on {bad:.0%} of examples, and likelihood.ais is null"
        elif ais is not None:
            how = how_of(ais, True)
            fields["estimator"] += (
                f", where their weights are heavy-tailed with annealing from there in {len(how.betas) - 1} steps with "
                f"{how.chains} chains"
            )
            gap = found["gap"] = gap_of(decoder, settings, ais, held_out, device)
            if bad > LOOSE and gap.mean() > ais.limit:
                reason = f"{bad:.0%} of examples by annealing, whose bounds are {gap.mean():.2g} nats apart"
        if reason:
            fields |= {"status": "not_converged", "reason": reason}
        return found["values"], fields

    rows = log_likelihoods(evaluate, representation, held_out.without_train(), truth)
    variant: dict[str, Any] = {"representation": held_out.represent(representation)[0], "proposal": "laplace"}
    n, bad = len(found["values"]), float((found["pareto_k"] > THRESHOLD).mean())
    error = float(np.sqrt(bad * (1 - bad) / n))
    rows.measurements.append(Measurement("pareto_k", bad, variant | {"threshold": THRESHOLD}, error, n_real=n))
    ess = found["ess"]
    rows.measurements.append(Measurement("ess", float(np.median(ess)), variant, median_error(ess), n_real=n))
    rows.vectors |= {f"{name}_laplace": found[name] for name in ("pareto_k", "ess")}
    if "gap" in found:
        rows.add("bdmc_gap", found["gap"], variant=variant, reference_split=SIMULATED)
    return rows


def weigh_all(
    decoder: Decoder, x: np.ndarray, settings: LaplaceSettings, ais: AnnealingSettings | None, generator: "Generator"
) -> dict[str, np.ndarray]:
    """values of log p(x) with Monte-Carlo errors, and pareto_k and ess of the weights, (n,) each, for x (n, D)."""
    import torch

    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, len(x), EXAMPLES):
        block = torch.as_tensor(x[start : start + EXAMPLES], dtype=torch.float32, device=generator.device)
        proposal = propose(decoder, block, settings.starts, generator)
        weights = np.add(*draw(decoder, block, proposal, settings.k, generator))
        values, errors = iw_elbo_curve(weights, [settings.k])[settings.k]
        part = {"pareto_k": pareto_k(weights), "ess": effective_sample_size(weights)}
        if ais is not None and (bad := part["pareto_k"] > THRESHOLD).any():
            some = torch.as_tensor(bad, device=generator.device)
            chains = annealed(decoder, block[some], proposal.of(some), how_of(ais, True), generator)
            annealing = iw_elbo_curve(chains, [ais.chains])[ais.chains]
            values[bad], errors[bad] = mean_of_both(values[bad], errors[bad], *annealing)
        parts.append(part | {"values": values, "errors": errors})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def mean_of_both(
    a: np.ndarray, error_a: np.ndarray, b: np.ndarray, error_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log of the mean of two unbiased estimates exp(a) and exp(b) of p(x), unbiased too, and its error.

    It is at most log 2 below the larger one. Few temperatures may be worse than a thousand draws, whose weights are
    heavy-tailed where the posterior is wider than its modes tell.
    """
    total = np.logaddexp(a, b)
    return total - np.log(2), np.hypot(np.exp(a - total) * error_a, np.exp(b - total) * error_b)


def how_of(ais: AnnealingSettings, at_modes: bool) -> Annealing:
    steps = max(2, ais.steps // AT_MODES) if at_modes else ais.steps
    return Annealing(temperatures(steps, ais.schedule), ais.chains, ais.leapfrog)


def gap_of(
    decoder: Decoder, laplace: LaplaceSettings | None, ais: AnnealingSettings, held_out: HeldOut, device: str
) -> np.ndarray:
    """The distance of the bounds of simulated examples, (n,), annealed from Laplace's modes, or from the prior."""
    generator = generator_of("simulated_laplace" if laplace else "simulated", held_out, device)
    bounds = []
    for start in range(0, ais.simulated, EXAMPLES):
        n = min(EXAMPLES, ais.simulated - start)
        at = (lambda x: propose(decoder, x, laplace.starts, generator)) if laplace else None
        bounds.append(bidirectional(decoder, n, at, how_of(ais, laplace is not None), generator))
    return np.concatenate([upper - lower for lower, upper in bounds])


def by_annealing(
    decoder: Decoder, representation: str, held_out: HeldOut, settings: AnnealingSettings, device: str
) -> Likelihoods:
    """The row `ais`, from the prior, so that it shares no flaw with Laplace's modes, and `bdmc_gap` beside it."""
    import torch

    found, started = Likelihoods(), time.perf_counter()
    name, x = held_out.represent(representation)
    generator, values, errors = generator_of("annealing", held_out, device), [], []
    for block in torch.as_tensor(x[: settings.n], dtype=torch.float32, device=device).split(EXAMPLES):
        weights = annealed(decoder, block, None, how_of(settings, False), generator)
        values.append(log_mean_exp(weights))
        errors.append(iw_elbo_curve(weights, [settings.chains])[settings.chains][1])
    gap = gap_of(decoder, None, settings, held_out, device)
    variant: dict[str, Any] = {"representation": name, "steps": settings.steps, "chains": settings.chains}
    fields: dict[str, Any] = {"variant": variant, "bound": "lower", "direction": "none"}
    if gap.mean() > settings.limit:
        fields |= {"status": "not_converged"}
        fields["reason"] = f"on simulated data its bounds are {gap.mean():.2g} nats apart, above {settings.limit:g}"
    seconds = time.perf_counter() - started
    found.add("ais", np.concatenate(values), np.concatenate(errors), keep=True, seconds=seconds, **fields)
    found.add("bdmc_gap", gap, keep=True, variant=variant | {"proposal": "prior"}, reference_split=SIMULATED)
    return found


def choose_tau(generator: Decoder, representation: str, held_out: HeldOut, device: str = "cpu") -> float:
    """The standard deviation of Gaussian noise around a `generator`'s samples that makes validation data likeliest.

    A GAN has no density without it (Wu et al. 2017, arXiv 1611.04273, section 3). log p(x) is estimated for all τ near
    the present one from the same importance draws, which are made anew at the best until that stays or, by draws of
    its own, is hardly better than the one before.
    """
    import torch
    from scipy.optimize import minimize_scalar

    _, points = held_out.represent(representation, "validation")
    lowest, highest = (factor * float(np.sqrt(points.var(0).mean())) for factor in TAU_RANGE)
    x = torch.as_tensor(points[:TAU_EXAMPLES], dtype=torch.float32, device=device)
    # the first τ is the distance within which a hundredth of samples lie
    start = generator_of("tau_start", held_out, device)
    near = likeliest(replace(generator, tau=lowest), x, CANDIDATES // 100, start)
    with torch.no_grad():
        tau = (x - generator.network(near[:, -1])).square().mean().sqrt().clamp(lowest, highest).item()
    before = tau, -np.inf
    for _ in range(TAU_ROUNDS):
        decoder, draws = replace(generator, tau=tau), generator_of("tau", held_out, device)
        proposal = propose_from(decoder, x, likeliest(decoder, x, TAU_STARTS, draws), TAU_ASCENT)
        ratio, log_likelihood = draw(decoder, x, proposal, TAU_DRAWS, draws)
        squares = (-2 * log_likelihood - gaussian_normaliser(tau, x.shape[1])) * tau**2

        def loss(log_tau: float, ratio: np.ndarray = ratio, squares: np.ndarray = squares) -> float:
            other = float(np.exp(log_tau))
            normaliser = gaussian_normaliser(other, x.shape[1])
            return -float(log_mean_exp(ratio - 0.5 * (squares / other**2 + normaliser)).mean())

        likelihood = -loss(np.log(tau))
        if likelihood < before[1] + TAU_GAIN:
            return tau if likelihood > before[1] else before[0]
        before = tau, likelihood
        around = np.log([max(tau / TAU_FACTOR, lowest), min(tau * TAU_FACTOR, highest)])
        best = float(np.exp(minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-3}).x))
        if abs(np.log(best / tau)) < TAU_TOLERANCE:
            return best
        tau = best
    return tau
