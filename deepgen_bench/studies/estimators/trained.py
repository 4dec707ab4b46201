"""What the experiment's own runs say, against exact values of the same examples."""

from pathlib import Path
from typing import Literal

import numpy as np

from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.plugins import Settings
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import read_arrays
from deepgen_bench.storage.results import read_rows
from deepgen_bench.studies.estimators.check import Check, Line


class TrainedSettings(Settings):
    dataset: str
    model: str
    seed: int = 0


class TrainedCheck(Check):
    """A check of one replicate's measurements."""

    settings: TrainedSettings
    needs_runs = True

    @property
    def measurements(self) -> Path:
        """The likelihoods of the replicate's block."""
        s = self.settings
        return self.store.measurements(s.dataset, s.model, self.store.block_of(s.seed), "likelihood")

    def missing(self, what: str) -> UserError:
        return UserError(f"calibration.{self.name}: {self.settings.model} on {self.settings.dataset} has {what}")


class TrainedVAE(TrainedCheck):
    """A trained VAE with one or two latent dimensions: its importance-weighted bounds against log p(x) from a grid.

    The largest K is held to be equal, which it is not where the encoder is a bad proposal: an overfitted encoder shows
    here, as a failure, by how many nats its bound is low.
    """

    Settings = TrainedSettings

    def lines(self) -> list[Line]:
        s, vectors = self.settings, read_arrays(self.measurements.with_suffix(".npz"))
        run = self.store.run_id(s.dataset, s.model, s.seed)
        if f"{run}/log_likelihood_final" not in vectors:
            raise self.missing("no exact likelihood to be held against")
        exact = vectors[f"{run}/log_likelihood_final"]
        likelihood = self.store.experiment.likelihood
        assert likelihood is not None
        lines = []
        for k in likelihood.k:
            estimate = vectors[f"{run}/iw_elbo_k{k}_final"]
            difference = estimate - exact
            lines.append(
                Line(
                    "IW-ELBO of a trained VAE",
                    f"K={k}, {s.dataset}/{s.model}, n={len(exact)}",
                    float(exact.mean()),
                    float(estimate.mean()),
                    float(difference.std(ddof=1) / np.sqrt(len(difference))),
                    "equal" if k == likelihood.k[-1] else "at most",
                    companion=k != likelihood.k[-1],
                )
            )
        return lines


class TrueDensitySettings(TrainedSettings):
    """`mistake: constant` drops the density's normaliser, D/2 log 2π: a negative control."""

    mistake: Literal["none", "constant"] = "none"


class TrueDensity(TrainedCheck):
    """No model has a larger expected log-density than the truth: mean log p_model(x) - log p_true(x) <= 0."""

    Settings = TrueDensitySettings
    settings: TrueDensitySettings

    def lines(self) -> list[Line]:
        s, rows = self.settings, read_rows(self.measurements)
        chosen = rows[
            (rows["metric"] == "log_density_ratio") & (rows["seed"] == s.seed) & (rows["checkpoint"] == "final")
        ]
        if chosen.empty:
            raise self.missing("no density, or its truth is unknown")
        constant = 0.0
        if s.mistake == "constant":
            constant = 0.5 * Prepared(self.store.data_dir(s.dataset)).spec.dim * np.log(2 * np.pi)
        mistake = "" if s.mistake == "none" else f", {s.mistake}"
        return [
            Line(
                f"log p_model − log p_true{mistake}",
                f"{s.dataset}/{s.model}, {row.variant}, n={row.n_real}",
                0.0,
                row.value + constant,
                row.std_error,
                "at most",
            )
            for row in chosen.itertuples(index=False)
        ]
