"""Log-likelihood of held-out data under a model, by what its family can compute: exact, a bound, or nothing.

The one place in `metrics` that takes a model: one with `log_prob` (tractable), with `encode`, `log_likelihood` and
`observation` (latent-variable), or `noiseless` (a generator). Everything is in nats per example; `bits_per_dim` says so
in its name.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from deepgen_bench.metrics.likelihood.decoder import Decoder
from deepgen_bench.metrics.likelihood.decoder_likelihood import LOOSE, TAU_EXAMPLES, choose_tau, marginal
from deepgen_bench.metrics.likelihood.diffusion_likelihood import diffusion
from deepgen_bench.metrics.likelihood.grid import STEP
from deepgen_bench.metrics.likelihood.held_out import Density, HeldOut, log_likelihoods, not_applicable
from deepgen_bench.metrics.likelihood.likelihood_rows import Likelihoods
from deepgen_bench.metrics.likelihood.pareto import MIN_TAIL, THRESHOLD, pareto_k, tail_length
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.metrics.likelihood.weights import (
    active_units,
    active_units_error,
    effective_sample_size,
    iw_elbo_curve,
    median_error,
)
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.memory import evaluate_in_blocks
from deepgen_bench.runtime.seeds import derive_seed

# importance samples are drawn for so many examples at once: a constant of the method, since torch's draws depend on it
EXAMPLES = 8
# decoder rows at once, a matter of speed alone: more leave a processor's cache, fewer leave a GPU idle
ROWS = {"cpu": 1000, "cuda": 100_000}

TRAINING_K = 100
"""Importance samples for each training example, at most: a comparison with test data needs no tight bound."""


def measure(
    model: Any,
    family: str,
    held_out: HeldOut,
    settings: LikelihoodSettings,
    density: Density | None,
    audit: bool = True,
) -> Likelihoods:
    """What can be said of the log-likelihood of `held_out` under a loaded `model` of a `family`.

    `density` is the data's own log density where it is known: the oracle's, and what every model is held against. An
    `audit` costs more: the same by annealed importance sampling.
    """
    if family == "tractable":
        return exact(model.log_prob, model.representation, held_out, density)
    if family == "oracle" and density is not None:
        return exact(density, "continuous", held_out)
    if family == "latent":
        return latent(model, held_out, settings, density, audit)
    if family == "implicit" and hasattr(model, "noiseless"):
        return with_noise(model, held_out, settings, density, audit)
    if family == "diffusion":
        return diffusion(model, held_out, density)
    if family == "external":
        return external(model, held_out, density)
    reason = "the density of real data is unknown" if family == "oracle" else "implicit model: it only samples"
    return Likelihoods([not_applicable("log_likelihood", reason, len(held_out.x))])


def exact(log_prob: Density, representation: str, held_out: HeldOut, truth: Density | None = None) -> Likelihoods:
    """Mean log p(x) from a tractable density, against the `truth` where known, and on training data."""
    return log_likelihoods(lambda x, split: (log_prob(x), {}), representation, held_out, truth)


def external(model: Any, held_out: HeldOut, truth: Density | None) -> Likelihoods:
    """What was said elsewhere of the test examples, if anything, as the bound that it is; of training data, nothing."""
    n = len(held_out.x)
    if model.log_likelihoods is None:
        return Likelihoods([not_applicable("log_likelihood", "samples made elsewhere, without log_likelihoods", n)])
    values = model.log_likelihoods[:n]
    if len(values) < n:
        raise UserError(f"log_likelihoods: {len(values)} values; valid: at least {n}, one for each test example")
    given = values, {"bound": model.settings.bound, "estimator": "what came with the samples"}
    return log_likelihoods(lambda x, split: given, model.representation, held_out.without_train(), truth)


def with_noise(
    model: Any, held_out: HeldOut, settings: LikelihoodSettings, truth: Density | None, audit: bool
) -> Likelihoods:
    """log p(x) of a generator's samples with Gaussian noise around them, whose standard deviation is the row `tau`."""
    representation = "dequantised"
    decoder = Decoder(model.noiseless, model.settings.latent_dim, None)
    tau = choose_tau(decoder, representation, held_out, model.device)
    # whether a generator knows its training data by heart is seen in its samples, and at less cost
    examples = held_out.without_train()
    found = marginal(replace(decoder, tau=tau), representation, examples, settings, truth, None, model.device, audit)
    variant: dict[str, Any] = {"representation": held_out.represent(representation)[0]}
    assert held_out.validation is not None
    n = min(len(held_out.validation), TAU_EXAMPLES)
    found.measurements.append(Measurement("tau", tau, variant, n_real=n, reference_split="validation"))
    return found


def latent(
    model: Any, held_out: HeldOut, settings: LikelihoodSettings, truth: Density | None, audit: bool
) -> Likelihoods:
    """The marginal from the decoder alone, the bounds from the encoder, and those on training data."""
    network, tau = model.observation()
    decoder, ks = Decoder(network, model.settings.latent_dim, tau), settings.k
    # where there is a better value, that alone is held against the truth
    found = bounds(model, held_out, ks, None if decoder.latent_dim in STEP or settings.laplace else truth)
    tightest = {"test": found.vectors[f"iw_elbo_k{ks[-1]}"]}
    few = [k for k in ks if k <= TRAINING_K]
    if held_out.train is not None and few:
        name, x = held_out.represent(model.representation, "train")
        found.extend(bound_rows(weigh_all(model, x, few, held_out, "train"), few, name, "train"))
        found.add_gap(*(found.row("iw_elbo", split, K=few[-1]) for split in ("test", "train")))
        tightest["train"] = found.vectors[f"iw_elbo_k{few[-1]}_train"]
    elif held_out.train is not None:
        reason = f"likelihood.k has no number up to {TRAINING_K}"
        gap = {"direction": "none", "bound": "estimate", "reference_split": "train"}
        found.measurements.append(not_applicable("train_test_gap", reason, len(held_out.train), **gap))
    first = marginal(decoder, model.representation, held_out, settings, truth, tightest, model.device, audit)
    first.extend(found)
    return first


def bounds(model: Any, held_out: HeldOut, ks: Sequence[int], truth: Density | None = None) -> Likelihoods:
    """ELBO with its parts, active units, the importance-weighted ELBO for nested K (Burda et al. 2016), and how far
    its weights can be trusted."""
    name, x = held_out.represent(model.representation)
    parts = weigh_all(model, x, ks, held_out, "test")
    k, n = ks[-1], len(x)
    variant: dict[str, Any] = {"representation": name}
    status: dict[str, Any] = {}
    diagnostics = []
    if "pareto_k" in parts:
        bad = float((parts["pareto_k"] > THRESHOLD).mean())
        if bad > LOOSE:
            reason = f"Pareto k > {THRESHOLD} on {bad:.0%} of examples: the bound may be loose"
            status = {"status": "not_converged", "reason": reason}
        error = float(np.sqrt(bad * (1 - bad) / n))
        diagnostics.append(Measurement("pareto_k", bad, variant | {"K": k, "threshold": THRESHOLD}, error, n_real=n))
    else:
        reason = f"K={k} leaves {tail_length(k)} weights in the tail; at least {MIN_TAIL} are needed, so K from 100"
        fields = {"variant": variant | {"K": k, "threshold": THRESHOLD}, "unit": "", "direction": "none"}
        diagnostics.append(not_applicable("pareto_k", reason, n, bound="estimate", **fields))
    ess = parts["ess"]
    diagnostics.append(Measurement("ess", float(np.median(ess)), variant | {"K": k}, median_error(ess), n_real=n))
    found = bound_rows(parts, ks, name, "test", status)
    found.add("reconstruction", parts["reconstruction"], parts["reconstruction_error"], variant=variant)
    found.add("kl", parts["kl"], variant=variant, bound="exact")
    units, units_error = active_units(parts["mean"]), active_units_error(parts["mean"])
    found.measurements.append(Measurement("active_units", units, variant, units_error, unit="units", n_real=n))
    found.measurements += diagnostics
    last = found.row("iw_elbo", "test", K=k)
    found.add_bits(last, held_out.spec)
    if truth is not None:
        found.against_truth(last, truth(x))
    return found


def bound_rows(
    parts: dict[str, np.ndarray], ks: Sequence[int], name: str, split: str, last: dict[str, Any] | None = None
) -> Likelihoods:
    """elbo, and iw_elbo for every K; `last` are fields of the one with the largest K."""
    found = Likelihoods()
    shared: dict[str, Any] = {"keep": True, "bound": "lower", "direction": "max", "reference_split": split}
    shared["seconds"] = float(parts["seconds"].sum())
    variant: dict[str, Any] = {"representation": name}
    elbo = parts["reconstruction"] - parts["kl"]
    found.add("elbo", elbo, parts["reconstruction_error"], variant=variant, **shared)
    for k in ks:
        values, errors = parts[f"iw_elbo_k{k}"], parts[f"iw_elbo_k{k}_error"]
        fields = shared | ((last or {}) if k == ks[-1] else {})
        found.add("iw_elbo", values, errors, variant=variant | {"K": k}, **fields)
    return found


def weigh_all(model: Any, x: np.ndarray, ks: Sequence[int], held_out: HeldOut, split: str) -> dict[str, np.ndarray]:
    """What is kept of the importance weights of the examples `x` (n, D) of a split, by name: (n,) each.

    reconstruction, kl, ess, iw_elbo_k… for every K of `ks`, Monte-Carlo errors as …_error, pareto_k from K = 100 on,
    `mean` (n, Z) of the posterior, and the seconds that it took.
    """
    import torch

    seed = derive_seed(held_out.base_seed, "metric", held_out.dataset, *held_out.role("importance", split))
    generator = torch.Generator(model.device).manual_seed(seed)
    found: list[dict[str, np.ndarray]] = []
    with torch.inference_mode():
        for start in range(0, len(x), EXAMPLES):
            started = time.perf_counter()
            batch = torch.as_tensor(x[start : start + EXAMPLES], dtype=torch.float32, device=model.device)
            part = summarise(*weigh(model, batch, ks[-1], generator), ks)
            found.append(part | {"seconds": np.array([time.perf_counter() - started])})
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def summarise(
    mean: np.ndarray, log_variance: np.ndarray, log_weights: np.ndarray, log_px: np.ndarray, ks: Sequence[int]
) -> dict[str, np.ndarray]:
    """`weigh_all`'s numbers, but for the seconds, from those of `weigh`."""
    k = ks[-1]
    found = {
        "mean": mean,
        "kl": 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1),
        "reconstruction": log_px.mean(1),
        "reconstruction_error": log_px.std(axis=1, ddof=1) / np.sqrt(k) if k > 1 else np.full(len(mean), np.nan),
        "ess": effective_sample_size(log_weights),
    }
    for each, (values, errors) in iw_elbo_curve(log_weights, ks).items():
        found |= {f"iw_elbo_k{each}": values, f"iw_elbo_k{each}_error": errors}
    return found | ({"pareto_k": pareto_k(log_weights)} if tail_length(k) >= MIN_TAIL else {})


def weigh(model: Any, x: Any, k: int, generator: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Posterior mean and log variance (n, Z), log weights and log p(x|z) (n, k), float64, for a batch x (n, D).

    log w = log p(x|z) + log p(z) - log q(z|x); the networks run in float32, the sums in float64.
    """
    import torch

    rows = ROWS[x.device.type]
    mean, log_variance = (t[0] for t in model.encode(x[None]))
    noise = torch.randn(EXAMPLES, k, mean.shape[1], generator=generator, device=x.device)[: len(x)]

    def logs(some: slice) -> list[Any]:
        """log p(x|z) and log p(z) - log q(z|x), (2, rows) each, of all draws of the examples in `some`; a single
        example is broadcast and not copied."""
        xs, drawn = x[some], noise[some].flatten(0, 1)
        z = (mean[some, None] + (0.5 * log_variance[some]).exp()[:, None] * noise[some]).flatten(0, 1)
        owner = torch.arange(len(xs), device=x.device).repeat_interleave(k)
        volumes = 0.5 * log_variance[some].double().sum(1)

        def block(part: slice) -> Any:
            log_px = model.log_likelihood((xs if len(xs) == 1 else xs[owner[part]])[None], z[None, part])[0]
            squares = (drawn[part].double().square() - z[part].double().square()).sum(1)
            return torch.stack([log_px.double(), 0.5 * squares + volumes[owner[part]]])

        return evaluate_in_blocks(block, len(z), rows)

    # as many examples at once as have not too many draws together
    count = max(1, rows // k)
    groups = [slice(start, min(start + count, len(x))) for start in range(0, len(x), count)]
    log_px, ratio = torch.cat([part for each in groups for part in logs(each)], 1).view(2, -1, k)
    arrays = mean.double(), log_variance.double(), log_px + ratio, log_px
    mean_, log_variance_, weights, log_px_ = (array.cpu().numpy() for array in arrays)
    return mean_, log_variance_, weights, log_px_
