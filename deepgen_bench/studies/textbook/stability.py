"""How much the outcome of training depends on the seed."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.keys import Variant
from deepgen_bench.storage.results import read_rows
from deepgen_bench.studies.textbook.claim import Claim, Evidence, Row, mean_row


class StabilitySettings(Settings):
    """On `dataset` the `metric` (in the features of `extractor`, where it has any) of `steady` models is held against
    that of `unsteady` ones; `modes` is a dataset on which lost modes are counted."""

    dataset: str = "digits"
    metric: str = "frechet_distance"
    extractor: str | None = "classifier"
    steady: str = "vae"
    unsteady: tuple[str, ...] = Field(("gan", "gan_ns", "wgan", "wgan_gp"), min_length=1)
    modes: str | None = "gaussian_ring"


class Stability(Claim):
    Settings = StabilitySettings
    settings: StabilitySettings
    title = "The stability of training"
    statement = "Under the same budget the training of GANs is less stable than that of a VAE."
    source = "Goodfellow 2016, section 5.1; Arjovsky, Chintala & Bottou 2017, section 4; Lucic et al. 2018, figure 2"
    formula = r"\mathrm{sd}(\log \mathrm{FD}_{\mathrm{GAN}}) > \mathrm{sd}(\log \mathrm{FD}_{\mathrm{VAE}})"
    text = (
        "Replicates of the experiment differ in the seed alone. The spread of log FD over seeds is the mean distance "
        "from its median, as in Brown and Forsythe's test, whose p stands beside it; the prediction is that a GAN's is "
        "larger than the VAE's. Diverged replicates and lost modes follow."
    )

    @classmethod
    def needs(cls, settings: Any) -> list[tuple[str, str]]:
        datasets = [name for name in (settings.dataset, settings.modes) if name]
        return [(dataset, model) for dataset in datasets for model in (settings.steady, *settings.unsteady)]

    def evidence(self) -> Evidence:
        from scipy.stats import levene

        s = self.settings
        values = {model: self.values(s.dataset, model, s.metric, s.extractor) for model in (s.steady, *s.unsteady)}
        logs = {model: np.log(found[found > 0]) for model, found in values.items()}
        spread = {model: found for model, found in logs.items() if len(found) > 1}
        if s.steady not in spread:
            found = len(logs[s.steady])
            raise UserError(f"{s.metric} of {s.steady} on {s.dataset}: {found} seeds with a value; valid: at least 2")
        rows, replicates = [], len(self.store.experiment.seeds)
        for model in (name for name in s.unsteady if name in spread):
            where = f"{model} and {s.steady}, {len(logs[model])} seeds"
            theirs, its = (np.abs(logs[name] - np.median(logs[name])) for name in (model, s.steady))
            error = float(np.sqrt(theirs.var(ddof=1) / len(theirs) + its.var(ddof=1) / len(its)))
            more = float(theirs.mean() - its.mean())
            rows.append(Row("mean |log FD − median|, difference", where, 0.0, more, error, relation="at least"))
            # Levene's test about the median, which is Brown and Forsythe's
            p = float(levene(logs[model], logs[s.steady], center="median").pvalue)
            rows.append(Row("p that the spreads are equal", where, None, p, 0.0))
        for model, found in logs.items():
            if model in spread:
                sd = float(found.std(ddof=1))
                rows.append(Row("sd of log FD over seeds", model, None, sd, sd / float(np.sqrt(2 * (len(found) - 1)))))
            rows.append(Row("replicates without a value", model, None, float(replicates - len(found)), 0.0))
        records = [{"model": model, "FD": float(value)} for model, found in values.items() for value in found]
        lost = []
        for model in values if s.modes else ():
            covered = self.values(str(s.modes), model, "modes_covered", None)
            lost += [{"model": model, "modes": float(count)} for count in covered]
            if len(covered) > 1:
                rows.append(mean_row("modes covered", f"{model} on {s.modes}", None, covered))
        return Evidence(rows, {"distances": records, "modes": lost})

    def values(self, dataset: str, model: str, metric: str, extractor: str | None) -> np.ndarray:
        """The metric of every seed at the last checkpoint, by the last kind of sample and the largest n."""
        parts = [read_rows(self.store.measurements(dataset, model, block, "sample")) for block in self.store.blocks()]
        found: dict[int, tuple[tuple[int, int], float]] = {}
        experiment = self.store.experiment
        outputs = experiment.model_settings(model, dataset).outputs(experiment.dataset(dataset).support)
        for row in (row for part in parts for row in part.itertuples(index=False)):
            pairs = Variant.parse(row.variant).pairs
            held_out = row.reference_split in ("test", "density")
            fits = row.metric == metric and row.checkpoint == "final" and held_out
            if fits and np.isfinite(row.value) and pairs.get("extractor") == extractor:
                place = (outputs.index(pairs.get("output", outputs[-1])), int(row.n_generated or 0))
                found[row.seed] = max(found.get(row.seed, ((-1, -1), 0.0)), (place, float(row.value)))
        return np.array([value for _, value in found.values()])
