"""Bounds of a latent-variable model's log p(x) from importance weights with its encoder as proposal."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgen_bench.metrics.likelihood.decoder import Decoder
from deepgen_bench.metrics.likelihood.grid import STEP
from deepgen_bench.metrics.likelihood.held_out import Density, HeldOut
from deepgen_bench.metrics.likelihood.marginal import marginal
from deepgen_bench.metrics.likelihood.pareto import MAX_SHARE, MIN_TAIL, THRESHOLD, pareto_k, tail_length
from deepgen_bench.metrics.likelihood.rows import Likelihoods, not_applicable
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.metrics.likelihood.weights import (
    active_units,
    active_units_error,
    effective_sample_size,
    iw_elbo_curve,
    median_error,
)
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.models.base import LatentVariable
from deepgen_bench.runtime.memory import evaluate_in_blocks

if TYPE_CHECKING:
    from torch import Generator, Tensor

# examples per block of importance samples: a constant of the method, because torch's draws depend on it
EXAMPLES = 8
# Decoder rows per block; they affect speed only. Larger blocks exceed a processor's cache, smaller leave a GPU idle.
ROWS = {"cpu": 1000, "cuda": 100_000}

TRAINING_K = 100
"""Largest number of importance samples per training example: the comparison with test data needs no tight bound."""


def measure_latent(
    model: LatentVariable, held_out: HeldOut, settings: LikelihoodSettings, truth: Density | None, audit: bool
) -> Likelihoods:
    """log p(x) from the decoder alone, the bounds from the encoder, and those on training data."""
    network, tau = model.observation()
    decoder, ks = Decoder(network, model.latent_dim, tau), settings.k
    # only the best estimate is compared with the truth: that of the decoder alone if there is one
    rows = encoder_bounds(model, held_out, ks, None if decoder.latent_dim in STEP or settings.laplace else truth)
    bounds = {"test": rows.values(rows.row("iw_elbo", "test", K=ks[-1]))}
    training_ks = [k for k in ks if k <= TRAINING_K]
    if held_out.train is not None and training_ks:
        name, x = held_out.represent(model.representation, "train")
        statistics = weigh_all(model, x, training_ks, held_out, "train")
        rows.extend(bound_rows(statistics, name, "train"))
        test, train = (rows.row("iw_elbo", split, K=training_ks[-1]) for split in ("test", "train"))
        rows.add_train_test_gap(test, train)
        bounds["train"] = rows.values(train)
    elif held_out.train is not None:
        reason = f"likelihood.k has no number up to {TRAINING_K}"
        gap = {"direction": "none", "bound": "estimate", "reference_split": "train"}
        rows.measurements.append(not_applicable("train_test_gap", reason, len(held_out.train), **gap))
    marginal_rows = marginal(
        decoder, model.representation, held_out, settings, truth, bounds, model.device, audit=audit
    )
    marginal_rows.extend(rows)
    return marginal_rows


def encoder_bounds(
    model: LatentVariable, held_out: HeldOut, ks: Sequence[int], truth: Density | None = None
) -> Likelihoods:
    """Rows of the ELBO and its parts, active units, the importance-weighted ELBO for nested K (Burda et al. 2016), and
    diagnostics of the weights."""
    name, x = held_out.represent(model.representation)
    statistics = weigh_all(model, x, ks, held_out, "test")
    k = ks[-1]
    variant: dict[str, Any] = {"representation": name}
    diagnostics = weight_diagnostics(statistics, name)
    heavy = diagnostics[0].value
    reason = ""
    if heavy is not None and heavy > MAX_SHARE:
        reason = f"Pareto k > {THRESHOLD} on {heavy:.0%} of examples: the bound may be loose"
    rows = bound_rows(statistics, name, "test", reason)
    rows.add("reconstruction", statistics.reconstruction, statistics.reconstruction_error, variant=variant)
    rows.add("kl", statistics.kl, variant=variant, bound="exact")
    mean = statistics.posterior_mean
    units, units_error = active_units(mean), active_units_error(mean)
    rows.measurements.append(Measurement("active_units", units, variant, units_error, unit="units", n_real=len(x)))
    rows.measurements += diagnostics
    last = rows.row("iw_elbo", "test", K=k)
    rows.add_bits_per_dim(last, held_out.spec)
    if truth is not None:
        rows.compare_with_truth(last, truth(x))
    return rows


def weight_diagnostics(statistics: "WeightStatistics", representation: str) -> list[Measurement]:
    """`pareto_k`, the share of examples with heavy-tailed weights, and `ess`, the median effective sample size."""
    k, n = max(statistics.bounds), len(statistics.ess)
    variant: dict[str, Any] = {"representation": representation, "K": k}
    with_threshold = variant | {"threshold": THRESHOLD}
    if statistics.pareto_k is None:
        reason = f"K={k} leaves {tail_length(k)} weights in the tail; at least {MIN_TAIL} are needed, so K from 100"
        shape = not_applicable(
            "pareto_k", reason, n, bound="estimate", variant=with_threshold, unit="", direction="none"
        )
    else:
        heavy = float((statistics.pareto_k > THRESHOLD).mean())
        shape = Measurement("pareto_k", heavy, with_threshold, float(np.sqrt(heavy * (1 - heavy) / n)), n_real=n)
    ess = statistics.ess
    return [shape, Measurement("ess", float(np.median(ess)), variant, median_error(ess), n_real=n)]


def bound_rows(statistics: "WeightStatistics", representation: str, split: str, reason: str = "") -> Likelihoods:
    """Rows elbo, and iw_elbo for every K; with a `reason` the one with the largest K has not converged."""
    rows = Likelihoods()
    variant: dict[str, Any] = {"representation": representation}
    shared: dict[str, Any] = {"keep": True, "bound": "lower", "direction": "max", "reference_split": split}
    shared["seconds"] = statistics.seconds
    elbo = statistics.reconstruction - statistics.kl
    rows.add("elbo", elbo, statistics.reconstruction_error, variant=variant, **shared)
    last = max(statistics.bounds)
    for k, values in statistics.bounds.items():
        status: dict[str, Any] = {"status": "not_converged", "reason": reason} if reason and k == last else {}
        rows.add("iw_elbo", values, statistics.errors[k], variant=variant | {"K": k}, **shared, **status)
    return rows


@dataclass(frozen=True)
class WeightStatistics:
    """Statistics of the importance weights of n examples: (n,) each, but `posterior_mean` (n, Z).

    `bounds` are the importance-weighted ELBOs by K and `errors` their Monte-Carlo errors; `pareto_k` is None if K is
    too small for it; `seconds` is the time that all examples took.
    """

    posterior_mean: np.ndarray
    kl: np.ndarray
    reconstruction: np.ndarray
    reconstruction_error: np.ndarray
    ess: np.ndarray
    bounds: dict[int, np.ndarray]
    errors: dict[int, np.ndarray]
    pareto_k: np.ndarray | None
    seconds: float = 0.0

    @classmethod
    def concatenate(cls, parts: Sequence["WeightStatistics"], seconds: float) -> "WeightStatistics":
        """The statistics of the examples of all parts."""
        shapes = [part.pareto_k for part in parts if part.pareto_k is not None]
        ks = list(parts[0].bounds)
        return cls(
            np.concatenate([part.posterior_mean for part in parts]),
            np.concatenate([part.kl for part in parts]),
            np.concatenate([part.reconstruction for part in parts]),
            np.concatenate([part.reconstruction_error for part in parts]),
            np.concatenate([part.ess for part in parts]),
            {k: np.concatenate([part.bounds[k] for part in parts]) for k in ks},
            {k: np.concatenate([part.errors[k] for part in parts]) for k in ks},
            np.concatenate(shapes) if shapes else None,
            seconds,
        )


def weigh_all(
    model: LatentVariable, x: np.ndarray, ks: Sequence[int], held_out: HeldOut, split: str
) -> WeightStatistics:
    """The statistics of max(ks) importance weights of each of the examples x (n, D) of a split."""
    import torch

    generator = held_out.generator("importance", model.device, split)
    started = time.perf_counter()
    parts: list[WeightStatistics] = []
    with torch.inference_mode():
        for start in range(0, len(x), EXAMPLES):
            batch = torch.as_tensor(x[start : start + EXAMPLES], dtype=torch.float32, device=model.device)
            parts.append(statistics_of(*weigh(model, batch, ks[-1], generator), ks))
    return WeightStatistics.concatenate(parts, time.perf_counter() - started)


def statistics_of(
    mean: np.ndarray, log_variance: np.ndarray, log_weights: np.ndarray, log_px: np.ndarray, ks: Sequence[int]
) -> WeightStatistics:
    """The statistics of a batch, from the arrays that `weigh` returns."""
    k = ks[-1]
    curve = iw_elbo_curve(log_weights, ks)
    return WeightStatistics(
        posterior_mean=mean,
        kl=0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1),
        reconstruction=log_px.mean(1),
        reconstruction_error=log_px.std(axis=1, ddof=1) / np.sqrt(k) if k > 1 else np.full(len(mean), np.nan),
        ess=effective_sample_size(log_weights),
        bounds={each: values for each, (values, _) in curve.items()},
        errors={each: errors for each, (_, errors) in curve.items()},
        pareto_k=pareto_k(log_weights) if tail_length(k) >= MIN_TAIL else None,
    )


def weigh(
    model: LatentVariable, x: "Tensor", k: int, generator: "Generator"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Posterior mean and log variance (n, Z), log weights and log p(x|z) (n, k), float64, for a batch x (n, D).

    log w = log p(x|z) + log p(z) - log q(z|x). The networks run in float32, the sums in float64.
    """
    import torch

    rows = ROWS[x.device.type]
    mean, log_variance = (t[0] for t in model.encode(x[None]))
    # drawn for a whole block, so that the draws of an example do not depend on how many examples follow it
    noise = torch.randn(EXAMPLES, k, mean.shape[1], generator=generator, device=x.device)[: len(x)]

    def weigh_group(group: slice) -> "list[Tensor]":
        """log p(x|z) and log p(z) - log q(z|x), (2, rows) each, of all draws of the examples in `group`.

        A single example is broadcast and not copied.
        """
        examples, draws = x[group], noise[group].flatten(0, 1)
        z = (mean[group, None] + (0.5 * log_variance[group]).exp()[:, None] * noise[group]).flatten(0, 1)
        example = torch.arange(len(examples), device=x.device).repeat_interleave(k)
        log_volume = 0.5 * log_variance[group].double().sum(1)

        def weigh_block(block: slice) -> "Tensor":
            repeated = examples if len(examples) == 1 else examples[example[block]]
            log_px = model.log_likelihood(repeated[None], z[None, block])[0]
            squares = (draws[block].double().square() - z[block].double().square()).sum(1)
            return torch.stack([log_px.double(), 0.5 * squares + log_volume[example[block]]])

        return evaluate_in_blocks(weigh_block, len(z), rows)

    # as many examples per group as have at most `rows` draws together, and at least one
    count = max(1, rows // k)
    groups = [slice(start, min(start + count, len(x))) for start in range(0, len(x), count)]
    log_px, ratio = torch.cat([part for group in groups for part in weigh_group(group)], 1).view(2, -1, k)
    return (
        mean.double().cpu().numpy(),
        log_variance.double().cpu().numpy(),
        (log_px + ratio).cpu().numpy(),
        log_px.cpu().numpy(),
    )
