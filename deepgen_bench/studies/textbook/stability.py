"""The dependence of a training's outcome on the seed."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.keys import FINAL, Variant
from deepgen_bench.storage.results import read_rows
from deepgen_bench.studies.study import Claim, Evidence, Need, Row, mean_row


class StabilitySettings(Settings):
    """On `dataset`, the spread of `metric` (in the features of `extractor`, if the metric has any) over seeds is
    compared between the `steady` model and each of the `unsteady` ones; covered modes are counted on `modes`."""

    dataset: str = "digits"
    metric: str = "frechet_distance"
    extractor: str | None = "classifier"
    steady: str = "vae"
    unsteady: tuple[str, ...] = Field(("gan", "gan_ns", "wgan", "wgan_gp"), min_length=1)
    modes: str | None = "gaussian_ring"

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.steady, *self.unsteady)))


class Stability(Claim):
    Settings = StabilitySettings
    settings: StabilitySettings
    title = "The stability of training"
    statement = "With the same budget, the training of GANs is less stable than that of a VAE."
    source = "Goodfellow 2016, section 5.1; Arjovsky, Chintala & Bottou 2017, section 4; Lucic et al. 2018, figure 2"
    formula = r"\mathrm{sd}(\log \mathrm{FD}_{\mathrm{GAN}}) > \mathrm{sd}(\log \mathrm{FD}_{\mathrm{VAE}})"
    text = (
        "Replicates of the experiment differ only in the seed. The spread of log FD over seeds is the mean absolute "
        "deviation from the median, as in Brown and Forsythe's test, whose p-value is also shown; the prediction is "
        "that a GAN's spread is larger than the VAE's. Diverged replicates and covered modes are counted as well."
    )

    @classmethod
    def needs(cls, settings: StabilitySettings) -> list[Need]:
        datasets = [name for name in (settings.dataset, settings.modes) if name]
        return [Need(dataset, model, "sample") for dataset in datasets for model in settings.models]

    def measure(self) -> Evidence:
        s = self.settings
        values = {model: self.values(s.dataset, model, s.metric, s.extractor) for model in s.models}
        logs = {model: np.log(distances[distances > 0]) for model, distances in values.items()}
        if len(logs[s.steady]) < 2:
            n = len(logs[s.steady])
            raise UserError(f"{s.metric} of {s.steady} on {s.dataset}: {n} seeds with a value; valid: at least 2")
        rows = [row for model in s.unsteady if len(logs[model]) > 1 for row in self.compared(model, logs)]
        for model, log_distances in logs.items():
            n = len(log_distances)
            if n > 1:
                sd = float(log_distances.std(ddof=1))
                rows.append(Row("sd of log FD over seeds", model, None, sd, sd / float(np.sqrt(2 * (n - 1)))))
            replicates = len(self.context.sources[Need(s.dataset, model, "sample")].replicates)
            rows.append(Row("replicates without a value", model, None, float(replicates - n), 0.0))
        distances = [{"model": model, "FD": float(value)} for model in s.models for value in values[model]]
        modes = []
        for model in s.models if s.modes else ():
            covered = self.values(str(s.modes), model, "modes_covered", None)
            modes += [{"model": model, "modes": float(count)} for count in covered]
            if len(covered) > 1:
                rows.append(mean_row("modes covered", f"{model} on {s.modes}", None, covered))
        return Evidence(rows, {"distances": distances, "modes": modes})

    def compared(self, model: str, logs: dict[str, np.ndarray]) -> list[Row]:
        """The spread of an unsteady model minus that of the steady one, and the p-value of their equality."""
        from scipy.stats import levene

        steady = self.settings.steady
        setting = f"{model} and {steady}, {len(logs[model])} seeds"
        a, b = (np.abs(logs[name] - np.median(logs[name])) for name in (model, steady))
        error = float(np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)))
        difference = float(a.mean() - b.mean())
        # Levene's test about the median is Brown and Forsythe's test
        p = float(levene(logs[model], logs[steady], center="median").pvalue)
        return [
            Row("mean |log FD − median|, difference", setting, 0.0, difference, error, relation="at least"),
            Row("p-value of equal spreads", setting, None, p, 0.0),
        ]

    def values(self, dataset: str, model: str, metric: str, extractor: str | None) -> np.ndarray:
        """The metric of every seed at the last checkpoint, for the last kind of output and the largest n."""
        source = self.context.sources[Need(dataset, model, "sample")]
        outputs = source.settings.outputs(source.dataset.support)
        values: dict[int, tuple[tuple[int, int], float]] = {}
        for row in (row for table in source.measurements for row in read_rows(table).itertuples(index=False)):
            variant: dict[str, Any] = dict(Variant.parse(row.variant).pairs)
            held_out = row.reference_split in ("test", "density")
            selected = row.metric == metric and row.checkpoint == FINAL and held_out
            if selected and np.isfinite(row.value) and variant.get("extractor") == extractor:
                rank = (outputs.index(variant.get("output", outputs[-1])), int(row.n_generated or 0))
                values[row.seed] = max(values.get(row.seed, ((-1, -1), 0.0)), (rank, float(row.value)))
        return np.array([value for _, value in values.values()])
