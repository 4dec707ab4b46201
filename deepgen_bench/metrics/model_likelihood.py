"""Log-likelihood of held-out data under a model, by what its family can compute: exact, a bound, or nothing.

The one place in `metrics` that takes a model: one with `log_prob` (tractable), or one with `encode` and
`log_likelihood` (latent-variable). Everything is in nats per example; `bits_per_dim` says so in its name.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deepgen_bench.datasets.representation import binarise, bits_per_dim, dequantise
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood import active_units, nested_iw_elbo
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.seeds import derive_rng, derive_seed

# importance samples are drawn for so many examples at once: a constant of the method, since torch's draws depend on it
EXAMPLES = 8
# decoder rows at once, a matter of speed alone: more leave a processor's cache, fewer leave a GPU idle
ROWS = {"cpu": 1000, "cuda": 100_000}


@dataclass(frozen=True)
class HeldOut:
    """Test examples as stored, and their fixed representations: one draw of the noise for all models."""

    x: np.ndarray
    spec: DataSpec
    base_seed: int
    dataset: str

    def represent(self, representation: str) -> tuple[str, np.ndarray]:
        """The name of the representation and the examples in it, float64 (n, D)."""
        if self.spec.levels is None:
            return self.spec.support, self.x.reshape(len(self.x), -1).astype(np.float64)
        rng = derive_rng(self.base_seed, "metric", self.dataset, representation)
        draw = binarise if representation == "binarised" else dequantise
        return representation, draw(self.x, self.spec.levels, rng)


@dataclass
class Likelihoods:
    """Measurements, and the per-example values behind them by name."""

    measurements: list[Measurement] = field(default_factory=list)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, metric: str, values: np.ndarray, **fields: Any) -> None:
        """The mean of per-example values and its standard error over examples."""
        error = float(values.std(ddof=1) / np.sqrt(len(values)))
        self.measurements.append(
            Measurement(metric, float(values.mean()), std_error=error, n_real=len(values), unit="nats", **fields)
        )


def measure(
    model: Any,
    family: str,
    held_out: HeldOut,
    ks: Sequence[int],
    density: Callable[[np.ndarray], np.ndarray] | None,
) -> Likelihoods:
    """What can be said of the log-likelihood of `held_out` under a loaded `model` of a `family`.

    `density` is the data's own log density where it is known: the oracle's.
    """
    if family == "tractable":
        return exact(model.log_prob, model.representation, held_out)
    if family == "oracle" and density is not None:
        return exact(density, "continuous", held_out)
    if family == "latent":
        return bounds(model, held_out, ks)
    reason = "the density of real data is unknown" if family == "oracle" else "implicit model: it only samples"
    return Likelihoods([not_applicable(reason, len(held_out.x))])


def not_applicable(reason: str, n: int, variant: dict[str, Any] | None = None) -> Measurement:
    return Measurement(
        "log_likelihood",
        None,
        variant or {},
        bound="exact",
        unit="nats",
        direction="max",
        n_real=n,
        status="not_applicable",
        reason=reason,
    )


def exact(log_prob: Callable[[np.ndarray], np.ndarray], representation: str, held_out: HeldOut) -> Likelihoods:
    """Mean log p(x) from a tractable density, and bits per dimension of dequantised images (Theis et al. 2016)."""
    started = time.perf_counter()
    name, x = held_out.represent(representation)
    values, variant = log_prob(x), {"representation": name}
    found = Likelihoods(vectors={"log_likelihood": values})
    seconds = time.perf_counter() - started
    found.add("log_likelihood", values, variant=variant, bound="exact", direction="max", seconds=seconds)
    return add_bits(found, held_out, name)


def add_bits(found: Likelihoods, held_out: HeldOut, representation: str) -> Likelihoods:
    """Bits per dimension beside the last measurement, where images are dequantised."""
    if representation == "dequantised":
        assert held_out.spec.levels is not None
        last = found.measurements[-1]
        dim, levels = held_out.spec.dim, held_out.spec.levels
        assert last.value is not None and last.std_error is not None
        found.measurements.append(
            Measurement(
                "bits_per_dim",
                float(bits_per_dim(last.value, dim, levels)),
                last.variant,
                last.std_error / dim / np.log(2),
                bound="exact" if last.bound == "exact" else "upper",
                unit="bits/dim",
                direction="min",
                n_real=last.n_real,
            )
        )
    return found


def bounds(model: Any, held_out: HeldOut, ks: Sequence[int]) -> Likelihoods:
    """ELBO with its parts, active units, and the importance-weighted ELBO for nested K (Burda et al. 2016)."""
    import torch

    started = time.perf_counter()
    name, x = held_out.represent(model.representation)
    variant: dict[str, Any] = {"representation": name}
    seed = derive_seed(held_out.base_seed, "metric", held_out.dataset, "importance")
    generator = torch.Generator(model.device).manual_seed(seed)
    log_weights, reconstruction, kl, means = [], [], [], []
    with torch.inference_mode():
        for start in range(0, len(x), EXAMPLES):
            batch = torch.as_tensor(x[start : start + EXAMPLES], dtype=torch.float32, device=model.device)
            mean, log_variance, weights, log_px = weigh(model, batch, ks[-1], generator)
            log_weights.append(nested_iw_elbo(weights, ks))
            reconstruction.append(log_px.mean(1))
            kl.append(0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1))
            means.append(mean)
    found = Likelihoods([not_applicable("intractable: see the bounds", len(x), variant)])
    rec, divergence = np.concatenate(reconstruction), np.concatenate(kl)
    seconds = time.perf_counter() - started
    found.add("elbo", rec - divergence, variant=variant, bound="lower", direction="max", seconds=seconds)
    found.add("reconstruction", rec, variant=variant, bound="estimate")
    found.add("kl", divergence, variant=variant, bound="exact")
    units = active_units(np.concatenate(means))
    found.measurements.append(Measurement("active_units", units, variant, unit="units", n_real=len(x)))
    for k in ks:
        values = np.concatenate([part[k] for part in log_weights])
        found.vectors[f"iw_elbo_k{k}"] = values
        found.add("iw_elbo", values, variant=variant | {"K": k}, bound="lower", direction="max", seconds=seconds)
    found.vectors["elbo"] = rec - divergence
    return add_bits(found, held_out, name)


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
    parts = zip(owner.split(rows), flat.split(rows), strict=True)
    log_px = torch.cat([model.log_likelihood(x[None, of], part[None])[0] for of, part in parts]).double().view(-1, k)
    ratio = 0.5 * (noise.double() ** 2 - z.double() ** 2).sum(-1) + 0.5 * log_variance.double().sum(-1, keepdim=True)
    arrays = mean.double(), log_variance.double(), log_px + ratio, log_px
    mean_, log_variance_, weights, log_px_ = (array.cpu().numpy() for array in arrays)
    return mean_, log_variance_, weights, log_px_
