"""Likelihoods computed from a decoder alone, compared with closed forms and with quadrature on a grid."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood.decoder import Decoder
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.settings import AnnealingSettings, LaplaceSettings
from deepgen_bench.plugins import Settings
from deepgen_bench.storage.keys import VectorName
from deepgen_bench.studies.estimators.likelihood import linear_gaussian, log_prob
from deepgen_bench.studies.estimators.trained import ReplicateCheck, ReplicateSettings
from deepgen_bench.studies.study import Check, Evidence, Row, paired_row

Estimator = Literal["laplace", "ais", "bounds"]


def laplace_rows(decoder: Decoder, held_out: HeldOut, exact: np.ndarray, model: str) -> list[Row]:
    """Importance sampling at Laplace modes, compared with `exact` log p(x) of the held-out examples (n,)."""
    from deepgen_bench.metrics.likelihood.marginal import by_laplace

    settings = LaplaceSettings()
    vectors = by_laplace(decoder, "dequantised", held_out, settings, None, None, "cpu").vectors
    setting = f"K={settings.k}, {settings.starts} starts, {model}, n={len(exact)}"
    estimates = vectors[str(VectorName("log_likelihood"))]
    return [paired_row("importance sampling at Laplace modes", setting, exact, estimates)]


def annealing_rows(decoder: Decoder, held_out: HeldOut, exact: np.ndarray, steps: int, model: str) -> list[Row]:
    """Annealed importance sampling, compared with `exact` log p(x) of the held-out examples (n,).

    The estimate must be below the exact value. The exact value must be below the estimate plus the gap between the
    bounds of bidirectional Monte Carlo on simulated data.
    """
    from deepgen_bench.metrics.likelihood.marginal import by_annealing

    n = len(exact)
    ais = AnnealingSettings(n=n, simulated=n, steps=steps)
    vectors = by_annealing(decoder, "dequantised", held_out, ais, "cpu").vectors
    estimates, gap = vectors[str(VectorName("ais"))], vectors[str(VectorName("bdmc_gap", split="simulated"))]
    setting = f"{ais.steps} steps, {ais.chains} chains, {model}, n={n}"
    error = float(np.hypot((estimates - exact).std(ddof=1), gap.std(ddof=1)) / np.sqrt(n))
    upper, mean = float(estimates.mean() + gap.mean()), float(exact.mean())
    return [
        paired_row("AIS", setting, exact, estimates, "at most"),
        Row("exact value", f"AIS + gap, {setting}", upper, mean, error, relation="at most"),
    ]


def bidirectional_rows(
    decoder: Decoder,
    exact: Callable[[np.ndarray], np.ndarray],
    n: int,
    steps: int,
    at_modes: bool,
    seed: int,
    model: str,
) -> list[Row]:
    """The lower and upper bounds of bidirectional Monte Carlo on n examples that the decoder simulates.

    `exact` maps examples (n, D) to log p(x) (n,). Annealing starts at Laplace modes, or at the prior.
    """
    import torch

    from deepgen_bench.metrics.likelihood.annealing import bidirectional
    from deepgen_bench.metrics.likelihood.laplace import EXAMPLES, propose
    from deepgen_bench.metrics.likelihood.marginal import annealing_of

    proposal = (lambda x: propose(decoder, x, 4, torch.Generator().manual_seed(seed))) if at_modes else None
    blocks = []
    for start in range(0, n, EXAMPLES):
        count, block_seed = min(EXAMPLES, n - start), seed + start
        with torch.no_grad():
            x = decoder.simulate(count, torch.Generator().manual_seed(block_seed))[0].double().numpy()
        annealing = annealing_of(AnnealingSettings(steps=steps), at_modes)
        generator = torch.Generator().manual_seed(block_seed)
        blocks.append((exact(x), *bidirectional(decoder, count, proposal, annealing, generator)))
    values, lower, upper = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    setting = f"from {'Laplace modes' if at_modes else 'the prior'}, {model}, n={n}"
    return [
        paired_row("BDMC lower bound", setting, values, lower, "at most"),
        paired_row("exact value", f"BDMC upper bound, {setting}", upper, values, "at most"),
    ]


class LinearGaussianDecoderSettings(Settings):
    """`steps` are the annealing steps; `at_modes` starts annealing at Laplace modes instead of the prior."""

    estimator: Estimator = "laplace"
    dim: PositiveInt = 16
    latent_dim: PositiveInt = 4
    tau: PositiveFloat = 0.3
    n: Annotated[int, Field(ge=2)] = 100
    steps: Annotated[int, Field(ge=8)] = 200
    at_modes: bool = False


class LinearGaussianDecoder(Check):
    """A linear decoder x = W z + b + τ ε, for which p(x) is Gaussian."""

    Settings = LinearGaussianDecoderSettings
    settings: LinearGaussianDecoderSettings

    def measure(self) -> Evidence:
        import torch

        s, rng = self.settings, self.rng("model")
        w, b = linear_gaussian(s.dim, s.latent_dim, rng)
        weight, bias = (torch.tensor(array, dtype=torch.float32) for array in (w.T, b))
        decoder = Decoder(lambda z: z @ weight + bias, s.latent_dim, s.tau)
        model = f"D={s.dim}, Z={s.latent_dim}"
        if s.estimator == "bounds":
            seed = int(rng.integers(2**31))
            return Evidence(
                bidirectional_rows(decoder, lambda x: log_prob(x, w, b, s.tau), s.n, s.steps, s.at_modes, seed, model)
            )
        x = rng.standard_normal((s.n, s.latent_dim)) @ w.T + b + s.tau * rng.standard_normal((s.n, s.dim))
        held_out = HeldOut(x, DataSpec((s.dim,), "continuous"), self.context.base_seed, self.label)
        exact = log_prob(x, w, b, s.tau)
        if s.estimator == "laplace":
            return Evidence(laplace_rows(decoder, held_out, exact, model))
        return Evidence(annealing_rows(decoder, held_out, exact, s.steps, model))


class TrainedDecoderSettings(ReplicateSettings):
    """`steps` are the annealing steps."""

    estimator: Estimator = "laplace"
    n: Annotated[int, Field(ge=2)] = 100
    steps: Annotated[int, Field(ge=8)] = 200


class TrainedDecoder(ReplicateCheck):
    """Likelihoods from the decoder of a trained VAE with one or two latent dimensions, compared with a grid."""

    Settings = TrainedDecoderSettings
    settings: TrainedDecoderSettings

    def measure(self) -> Evidence:
        s, model = self.settings, self.model()
        all_exact = self.exact_log_likelihood()
        network, tau = model.observation()
        decoder = Decoder(network, model.settings.latent_dim, tau)
        name = f"{s.dataset}/{s.model}"
        if s.estimator == "bounds":
            seed = int(self.rng("bounds").integers(2**31))
            return Evidence(
                bidirectional_rows(decoder, lambda x: grid_log_prob(decoder, x), s.n, s.steps, False, seed, name)
            )
        exact = all_exact[: s.n]
        held_out = self.held_out(model, len(all_exact), len(exact))
        if s.estimator == "laplace":
            return Evidence(laplace_rows(decoder, held_out, exact, name))
        return Evidence(annealing_rows(decoder, held_out, exact, s.steps, name))

    def held_out(self, model: Any, evaluated: int, n: int) -> HeldOut:
        """The first n of the examples whose exact likelihoods were `evaluated`, with the same dequantisation noise."""
        prepared = Prepared(self.source.prepared)
        spec, dataset = prepared.spec, self.settings.dataset
        examples = HeldOut(prepared.split("test")[:evaluated], spec, self.context.base_seed, dataset)
        x = examples.represent(model.representation)[1][:n]
        return HeldOut(x, DataSpec((spec.dim,), "continuous"), self.context.base_seed, dataset)


def grid_log_prob(decoder: Decoder, x: np.ndarray) -> np.ndarray:
    """log p(x) (n,) of examples x (n, D) by quadrature over the latent space."""
    import torch

    from deepgen_bench.metrics.likelihood.grid import marginal_log_likelihood

    with torch.inference_mode():
        return marginal_log_likelihood(decoder.pairwise_log_likelihood, torch.as_tensor(x), decoder.latent_dim)[0]
