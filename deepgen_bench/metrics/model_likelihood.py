"""Log-likelihood of held-out data under a model, by what its family can compute: exact, a bound, or nothing.

The one place in `metrics` that takes a model: one with `log_prob` (tractable), or one with `encode`, `log_likelihood`
and `pairwise_log_likelihood` (latent-variable). Everything is in nats per example; `bits_per_dim` says so in its name.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepgen_bench.datasets.representation import binarise, dequantise
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.memory import within_memory
from deepgen_bench.metrics.arrays import as_points
from deepgen_bench.metrics.likelihood import (
    active_units,
    active_units_error,
    effective_sample_size,
    iw_elbo_curve,
    median_error,
)
from deepgen_bench.metrics.likelihood_rows import Likelihoods, below_bound
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.metrics.pareto import MIN_TAIL, THRESHOLD, pareto_k, tail_length
from deepgen_bench.seeds import derive_rng, derive_seed

# importance samples are drawn for so many examples at once: a constant of the method, since torch's draws depend on it
EXAMPLES = 8
# decoder rows at once, a matter of speed alone: more leave a processor's cache, fewer leave a GPU idle
ROWS = {"cpu": 1000, "cuda": 100_000}

LOOSE = 0.1
"""The share of examples with a Pareto k above the threshold beyond which a bound is not converged."""

TRAINING_K = 100
"""Importance samples for each training example, at most: a comparison with test data needs no tight bound."""

Density = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class HeldOut:
    """Test examples as stored, and their fixed representations: one draw of the noise for all models.

    `train` are as many training examples, to see what was memorised; without them nothing is said of that.
    """

    x: np.ndarray
    spec: DataSpec
    base_seed: int
    dataset: str
    train: np.ndarray | None = None

    def represent(self, representation: str, split: str = "test") -> tuple[str, np.ndarray]:
        """The name of the representation and the examples of a split in it, float64 (n, D)."""
        x = self.x if split == "test" else self.train
        assert x is not None
        if self.spec.levels is None:
            return self.spec.support, as_points(f"{split} examples", x.reshape(len(x), -1))
        rng = derive_rng(self.base_seed, "metric", self.dataset, *self.role(representation, split))
        draw = binarise if representation == "binarised" else dequantise
        return representation, draw(x, self.spec.levels, rng)

    def role(self, role: str, split: str) -> list[str]:
        """The axes of a random stream: each split has its own."""
        return [role] if split == "test" else [role, split]


def measure(model: Any, family: str, held_out: HeldOut, ks: Sequence[int], density: Density | None) -> Likelihoods:
    """What can be said of the log-likelihood of `held_out` under a loaded `model` of a `family`.

    `density` is the data's own log density where it is known: the oracle's, and what every model is held against.
    """
    if family == "tractable":
        return exact(model.log_prob, model.representation, held_out, density)
    if family == "oracle" and density is not None:
        return exact(density, "continuous", held_out)
    if family == "latent":
        return latent(model, held_out, ks, density)
    reason = "the density of real data is unknown" if family == "oracle" else "implicit model: it only samples"
    return Likelihoods([not_applicable("log_likelihood", reason, len(held_out.x))])


def not_applicable(metric: str, reason: str, n: int, **fields: Any) -> Measurement:
    """The row of a log-likelihood, or what is made of it, that a model cannot have."""
    fields = {"unit": "nats", "direction": "max", "bound": "exact"} | fields
    return Measurement(metric, None, n_real=n, status="not_applicable", reason=reason, **fields)


def exact(log_prob: Density, representation: str, held_out: HeldOut, truth: Density | None = None) -> Likelihoods:
    """Mean log p(x) from a tractable density, against the `truth` where known, and on training data."""
    return log_likelihoods(lambda x, split: (log_prob(x), {}), representation, held_out, truth)


def log_likelihoods(
    evaluate: Callable[[np.ndarray, str], tuple[np.ndarray, dict[str, Any]]],
    representation: str,
    held_out: HeldOut,
    truth: Density | None,
) -> Likelihoods:
    """The rows of log p(x), from a function of x (n, D) and its split: the values (n,) and fields of their row."""
    found = Likelihoods()

    def row(split: str) -> tuple[np.ndarray, Measurement]:
        started = time.perf_counter()
        name, x = held_out.represent(representation, split)
        values, fields = evaluate(x, split)
        fields = {"bound": "exact", "direction": "max", "reference_split": split} | fields
        fields |= {"variant": {"representation": name}, "seconds": time.perf_counter() - started}
        return x, found.add("log_likelihood", values, keep=True, **fields)

    x, test = row("test")
    found.add_bits(test, held_out.spec)
    if truth is not None:
        found.against_truth(test, truth(x))
    if held_out.train is not None:
        found.add_gap(found.row("log_likelihood", "test"), row("train")[1])
    return found


def latent(model: Any, held_out: HeldOut, ks: Sequence[int], truth: Density | None) -> Likelihoods:
    """The marginal by quadrature where the latent space is small, the bounds, and those on training data."""
    from deepgen_bench.metrics.grid import STEP

    dims = latent_dims(model, held_out)
    # where there are exact values, they alone are held against the truth
    found = bounds(model, held_out, ks, None if dims in STEP else truth)
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
    if dims in STEP:
        first = marginal(model, dims, held_out, truth, tightest)
    else:
        reason, variant = "intractable: see the bounds", {"representation": held_out.represent(model.representation)[0]}
        first = Likelihoods([not_applicable("log_likelihood", reason, len(held_out.x), variant=variant)])
    first.extend(found)
    return first


def latent_dims(model: Any, held_out: HeldOut) -> int:
    """How many latent dimensions the model has."""
    import torch

    _, x = held_out.represent(model.representation)
    with torch.inference_mode():
        one = torch.as_tensor(x[None, :1], dtype=torch.float32, device=model.device)
        return int(model.encode(one)[0].shape[-1])


def marginal(
    model: Any, dims: int, held_out: HeldOut, truth: Density | None, tightest: dict[str, np.ndarray]
) -> Likelihoods:
    """log p(x) by a grid over one or two latent dimensions; `mc_error` is the mean error of the quadrature.

    `tightest` are bounds from a single block of weights, by split, which it must not be below.
    """
    import torch

    from deepgen_bench.metrics.grid import TOLERANCE, marginal_log_likelihood

    def evaluate(x: np.ndarray, split: str) -> tuple[np.ndarray, dict[str, Any]]:
        with torch.inference_mode():
            data = torch.as_tensor(x, dtype=torch.float64, device=model.device)
            values, errors = marginal_log_likelihood(model.pairwise_log_likelihood, data, dims)
        error = float(errors.mean())
        fields: dict[str, Any] = {"mc_error": error}
        if not error <= TOLERANCE:
            reason = f"quadrature error {error:.2g} nats in the mean on the largest lattice"
            fields |= {"status": "not_converged", "reason": reason}
        if split in tightest and (reason := below_bound(values, errors, tightest[split])):
            fields |= {"status": "suspect", "reason": reason}
        return values, fields

    return log_likelihoods(evaluate, model.representation, held_out, truth)


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

    mean, log_variance = (t[0] for t in model.encode(x[None]))
    noise = torch.randn(EXAMPLES, k, mean.shape[1], generator=generator, device=x.device)[: len(x)]
    z = mean[:, None] + (0.5 * log_variance).exp()[:, None] * noise
    flat, rows = z.flatten(0, 1), ROWS[x.device.type]
    owner = torch.arange(len(x), device=x.device).repeat_interleave(k)
    parts = [
        part
        for start in range(0, len(flat), rows)
        for part in within_memory(
            lambda rows: model.log_likelihood(x[None, owner[rows]], flat[None, rows])[0],
            min(rows, len(flat) - start),
            start,
        )
    ]
    log_px = torch.cat(parts).double().view(-1, k)
    ratio = 0.5 * (noise.double() ** 2 - z.double() ** 2).sum(-1) + 0.5 * log_variance.double().sum(-1, keepdim=True)
    arrays = mean.double(), log_variance.double(), log_px + ratio, log_px
    mean_, log_variance_, weights, log_px_ = (array.cpu().numpy() for array in arrays)
    return mean_, log_variance_, weights, log_px_
