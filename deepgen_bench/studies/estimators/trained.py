"""Measurements of the experiment's own replicates, compared with exact values of the same examples."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.plugins import Settings
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import read_arrays
from deepgen_bench.storage.keys import FINAL, VectorName
from deepgen_bench.storage.results import read_rows
from deepgen_bench.studies.study import Check, Evidence, Need, Row, Source, paired_row


class ReplicateSettings(Settings):
    """The replicate that a check reads, by its labels in the experiment file."""

    dataset: str
    model: str
    seed: int = 0


class ReplicateCheck(Check):
    """A check of one replicate, whose likelihoods the experiment has measured."""

    settings: ReplicateSettings

    @classmethod
    def needs(cls, settings: ReplicateSettings) -> list[Need]:
        return [Need(settings.dataset, settings.model, "likelihood", settings.seed)]

    @property
    def source(self) -> Source:
        (need,) = self.needs(self.settings)
        return self.context.sources[need]

    def model(self) -> Any:
        """The trained model at its last checkpoint."""
        return Replicate(self.source.replicates[self.settings.seed]).model(FINAL, "cpu")

    def vectors(self, *names: VectorName) -> list[np.ndarray]:
        """Per-example values of the replicate at its last checkpoint, (n,) each.

        Errors: `UserError` if one was not measured.
        """
        (table,) = self.source.measurements
        archive = read_arrays(table.with_suffix(".npz"))
        keys = [name.at(FINAL, self.source.run_ids[self.settings.seed]) for name in names]
        for key, name in zip(keys, names, strict=True):
            if key not in archive:
                raise self.missing(f"no {name}")
        return [archive[key] for key in keys]

    def exact_log_likelihood(self) -> np.ndarray:
        """Exact log p(x) of the test examples, (n,)."""
        return self.vectors(VectorName("log_likelihood"))[0]

    def missing(self, what: str) -> UserError:
        s = self.settings
        return UserError(f"calibration.{self.label}: {s.model} on {s.dataset} has {what} to compare with")


class TrainedVAE(ReplicateCheck):
    """Importance-weighted bounds of a trained VAE with one or two latent dimensions, compared with log p(x) by a grid.

    The bound with the largest K should equal log p(x). It does not if the encoder is a bad proposal: the row of an
    overfitted encoder fails, and its deviation is the number of nats by which the bound is too low.
    """

    Settings = ReplicateSettings

    def measure(self) -> Evidence:
        s, exact = self.settings, self.exact_log_likelihood()
        assert self.context.likelihood is not None
        ks = self.context.likelihood.k
        estimates = self.vectors(*(VectorName("iw_elbo", k) for k in ks))
        rows = []
        for k, estimate in zip(ks, estimates, strict=True):
            setting = f"K={k}, {s.dataset}/{s.model}, n={len(exact)}"
            row = paired_row("IW-ELBO of a trained VAE", setting, exact, estimate)
            # with a smaller K it is a lower bound for every encoder, also where the largest K is expected to fail
            rows.append(row if k == ks[-1] else replace(row, relation="at most", expected="holds"))
        return Evidence(rows)


class TrueDensitySettings(ReplicateSettings):
    """`mistake: constant` omits the normalising constant of the density, D/2 log 2π: a negative control."""

    mistake: Literal["none", "constant"] = "none"


class TrueDensity(ReplicateCheck):
    """No model has a larger expected log-density than the true one: mean log p_model(x) - log p_true(x) <= 0."""

    Settings = TrueDensitySettings
    settings: TrueDensitySettings

    def measure(self) -> Evidence:
        s = self.settings
        (table,) = self.source.measurements
        rows = read_rows(table)
        ratios = rows[
            (rows["metric"] == "log_density_ratio") & (rows["seed"] == s.seed) & (rows["checkpoint"] == FINAL)
        ]
        if ratios.empty:
            raise self.missing("no density, or no true density")
        constant = 0.0
        if s.mistake == "constant":
            constant = 0.5 * Prepared(self.source.prepared).spec.dim * np.log(2 * np.pi)
        quantity = "log p_model − log p_true" + ("" if s.mistake == "none" else f", {s.mistake}")
        return Evidence(
            [
                Row(
                    quantity,
                    f"{s.dataset}/{s.model}, {row.variant}, n={row.n_real}",
                    0.0,
                    row.value + constant,
                    row.std_error,
                    relation="at most",
                )
                for row in ratios.itertuples(index=False)
            ]
        )
