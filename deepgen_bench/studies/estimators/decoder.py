"""Likelihoods from a decoder alone, against closed forms and grids."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.settings import AnnealingSettings, LaplaceSettings
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.plugins import Settings
from deepgen_bench.storage.files import read_arrays
from deepgen_bench.studies.estimators.check import Check, Line
from deepgen_bench.studies.estimators.likelihood import log_prob
from deepgen_bench.studies.estimators.trained import TrainedCheck, TrainedSettings

Estimator = Literal["laplace", "ais", "bounds"]


def lines_of(
    estimator: Estimator, decoder: Any, held_out: HeldOut, exact: np.ndarray, steps: int, what: str
) -> list[Line]:
    """An estimate of log p(x) of held-out examples beside the `exact` values (n,).

    Annealing must be below them, and above them with the gap of its bounds on simulated data added.
    """
    from deepgen_bench.metrics.likelihood.marginal import by_annealing, by_laplace

    n = len(exact)
    if estimator == "laplace":
        settings = LaplaceSettings()
        found = by_laplace(decoder, "dequantised", held_out, settings, None, None, "cpu").vectors["log_likelihood"]
        setting = f"K={settings.k}, {settings.starts} starts, {what}, n={n}"
        return [difference_line("importance sampling at Laplace modes", setting, exact, found, "equal")]
    ais = AnnealingSettings(n=n, simulated=n, steps=steps)
    vectors = by_annealing(decoder, "dequantised", held_out, ais, "cpu").vectors
    found, gap = vectors["ais"], vectors["bdmc_gap_simulated"]
    setting = f"{ais.steps} steps, {ais.chains} chains, {what}, n={n}"
    error = float(np.hypot((found - exact).std(ddof=1), gap.std(ddof=1)) / np.sqrt(n))
    above = Line("exact value", f"AIS + gap, {setting}", found.mean() + gap.mean(), exact.mean(), error, "at most")
    return [difference_line("AIS", setting, exact, found, "at most"), above]


def bounds_lines(
    decoder: Any, exact: Callable[[np.ndarray], np.ndarray], n: int, steps: int, at_modes: bool, seed: int, what: str
) -> list[Line]:
    """Those of bidirectional Monte Carlo, of which one must be below the `exact` values (n,) of the data x (n, D) that
    the decoder has simulated, and the other above. Annealing begins at Laplace's modes, or at the prior."""
    import torch

    from deepgen_bench.metrics.likelihood.annealing import bidirectional
    from deepgen_bench.metrics.likelihood.laplace import EXAMPLES, propose
    from deepgen_bench.metrics.likelihood.marginal import annealing_of

    at = (lambda x: propose(decoder, x, 4, torch.Generator().manual_seed(seed))) if at_modes else None
    parts = []
    for start in range(0, n, EXAMPLES):
        count, of_block = min(EXAMPLES, n - start), seed + start
        with torch.no_grad():
            x = decoder.simulate(count, torch.Generator().manual_seed(of_block))[0].double().numpy()
        how = annealing_of(AnnealingSettings(steps=steps), at_modes)
        parts.append((exact(x), *bidirectional(decoder, count, at, how, torch.Generator().manual_seed(of_block))))
    truth, below, above = (np.concatenate(part) for part in zip(*parts, strict=True))
    setting = f"from {'Laplace modes' if at_modes else 'the prior'}, {what}, n={n}"
    return [
        difference_line("BDMC from below", setting, truth, below, "at most"),
        difference_line("exact value", f"BDMC from above, {setting}", above, truth, "at most"),
    ]


def difference_line(estimator: str, setting: str, truth: np.ndarray, estimate: np.ndarray, relation: Any) -> Line:
    """Means of per-example values, with the error of their difference."""
    error = float((estimate - truth).std(ddof=1) / np.sqrt(len(truth)))
    return Line(estimator, setting, float(truth.mean()), float(estimate.mean()), error, relation)


class LinearGaussianDecoderSettings(Settings):
    """`steps` are annealing's, and `at_modes` says where it begins: at Laplace's modes, or at the prior."""

    estimator: Estimator = "laplace"
    dim: PositiveInt = 16
    latent_dim: PositiveInt = 4
    tau: PositiveFloat = 0.3
    n: Annotated[int, Field(ge=2)] = 100
    steps: Annotated[int, Field(ge=8)] = 200
    at_modes: bool = False


class LinearGaussianDecoder(Check):
    """x = W z + b + τ ε, where p(x) is Gaussian."""

    Settings = LinearGaussianDecoderSettings
    settings: LinearGaussianDecoderSettings

    def lines(self) -> list[Line]:
        import torch

        from deepgen_bench.metrics.likelihood.decoder import Decoder

        s, rng = self.settings, self.rng("model")
        columns = np.linalg.qr(rng.standard_normal((s.dim, s.latent_dim)))[0]
        w, b = columns * np.linspace(1.5, 0.5, s.latent_dim), rng.standard_normal(s.dim)
        weight, bias = (torch.tensor(array, dtype=torch.float32) for array in (w.T, b))
        decoder = Decoder(lambda z: z @ weight + bias, s.latent_dim, s.tau)
        what = f"D={s.dim}, Z={s.latent_dim}"
        if s.estimator == "bounds":
            seed = int(rng.integers(2**31))
            return bounds_lines(decoder, lambda x: log_prob(x, w, b, s.tau), s.n, s.steps, s.at_modes, seed, what)
        x = rng.standard_normal((s.n, s.latent_dim)) @ w.T + b + s.tau * rng.standard_normal((s.n, s.dim))
        held_out = HeldOut(x, DataSpec((s.dim,), "continuous"), self.store.experiment.base_seed, self.name)
        return lines_of(s.estimator, decoder, held_out, log_prob(x, w, b, s.tau), s.steps, what)


class TrainedDecoderSettings(TrainedSettings):
    estimator: Estimator = "laplace"
    n: Annotated[int, Field(ge=2)] = 100
    steps: Annotated[int, Field(ge=8)] = 200


class TrainedDecoder(TrainedCheck):
    """A trained VAE with one or two latent dimensions: what its decoder alone gives, against log p(x) from a grid."""

    Settings = TrainedDecoderSettings
    settings: TrainedDecoderSettings

    def lines(self) -> list[Line]:
        import torch

        from deepgen_bench.metrics.likelihood.decoder import Decoder
        from deepgen_bench.metrics.likelihood.grid import marginal_log_likelihood

        s, vectors = self.settings, read_arrays(self.measurements.with_suffix(".npz"))
        name = f"{self.store.run_id(s.dataset, s.model, s.seed)}/log_likelihood_final"
        if name not in vectors:
            raise self.missing("no exact likelihood to be held against")
        exact = vectors[name][: s.n]
        prepared = Prepared(self.store.data_dir(s.dataset))
        test = prepared.split("test")[: len(vectors[name])]
        whole = HeldOut(test, prepared.spec, self.store.experiment.base_seed, s.dataset)
        model: Any = Replicate(self.store.run_dir(s.dataset, s.model, s.seed)).model("final", "cpu")
        network, tau = model.observation()
        decoder = Decoder(network, model.settings.latent_dim, tau)
        what = f"{s.dataset}/{s.model}"
        if s.estimator == "bounds":

            def by_grid(x: np.ndarray) -> np.ndarray:
                with torch.inference_mode():
                    return marginal_log_likelihood(
                        decoder.pairwise_log_likelihood, torch.as_tensor(x), decoder.latent_dim
                    )[0]

            return bounds_lines(decoder, by_grid, s.n, s.steps, False, int(self.rng("bounds").integers(2**31)), what)
        # the very examples that the grid was of, with their noise
        x = whole.represent(model.representation)[1][: len(exact)]
        held_out = HeldOut(x, DataSpec((prepared.spec.dim,), "continuous"), whole.base_seed, s.dataset)
        return lines_of(s.estimator, decoder, held_out, exact, s.steps, what)
