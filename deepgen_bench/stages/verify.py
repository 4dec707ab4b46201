"""Compare a finished experiment with a reference of the same experiment, perhaps from another platform.

On the reference's platform everything must be equal to the bit. On another platform neither the trajectory of a GAN nor
the last bits of a sum are: there estimators are run on the reference's own samples, where it has them, and must
reproduce its numbers up to rounding, and trained models must agree in distribution over seeds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepgen_bench.experiment.store import Store, store_of
from deepgen_bench.metrics.context import Extractor
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.plugins import METRICS
from deepgen_bench.report.data.selection import has_value
from deepgen_bench.report.data.statistics import holm, t_test
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.measure import sample_context
from deepgen_bench.stages.prepare import open_data
from deepgen_bench.stages.reference import Reference, replicates_of
from deepgen_bench.storage.files import Damaged
from deepgen_bench.storage.keys import FINAL, OUTPUT, Variant
from deepgen_bench.storage.results import read_rows

LEVEL = 0.01
"""Probability of reporting any difference in distribution where there is none."""

ROUNDING, SHARE = 1e-6, 0.1
"""Largest deviation of an estimator on another platform: relative, and as a share of the measurement's error."""

LEARNED_SHARE = {"c2st": 1.0}
"""The same share for metrics that train a classifier: one standard error of its accuracy."""

# columns that identify a measurement of a replicate
SUBJECT = ["checkpoint", "metric", "variant", "n_real", "n_generated", "reference_split"]


def verify(home: Path, path: Path) -> tuple[list[str], list[str]]:
    """Compare the experiment in `home` with the reference at `path`. Returns lines that say what was compared, and one
    line for each difference. Errors: `UserError`."""
    store, reference = store_of(home), Reference(path)
    rows, mine = read_rows(home / "metrics.csv"), replicates_of(store)
    shared = [run_id for run_id in reference.runs if run_id in mine]
    if not shared:
        raise UserError(f"{home}: no run of {reference.path} is among its runs; settings, data or seeds differ")
    differences = [f"{run_id}: not in the reference" for run_id in mine if run_id not in reference.runs]
    differences += [f"{run_id}: in the reference only" for run_id in reference.runs if run_id not in mine]
    here: list[str] = []
    for run_id in shared:
        try:
            info = Replicate(store.run_dir(*mine[run_id])).info
        except Damaged as error:
            differences.append(f"{run_id}: {error}")
            continue
        same = info["platform"] == reference.platform
        here += [run_id] * same
        differences += run_differences(store, run_id, mine[run_id][0], info, reference.runs[run_id], same)
    elsewhere = [run_id for run_id in shared if run_id not in here]
    compared = [f"{len(here)} runs on the reference's platform: digests and measurements, to the bit"]
    differences += measurement_differences(select(rows, here), select(reference.rows, here))
    if elsewhere:
        count, other = estimator_differences(store, reference, elsewhere)
        compared.append(
            f"{len(elsewhere)} runs on another platform: {count} measurements of the reference's samples repeated"
        )
        differences += other
        count, other = distribution_differences(select(rows, elsewhere), select(reference.rows, elsewhere))
        compared.append(f"  and {count} distributions over seeds compared, at {LEVEL:.0%} over all")
        differences += other
    return compared, differences


def select(rows: pd.DataFrame, run_ids: list[str]) -> pd.DataFrame:
    return rows[rows["run_id"].isin(run_ids)]


# on the reference's platform


def run_differences(
    store: Store, run_id: str, dataset: str, info: dict[str, Any], theirs: dict[str, Any], same: bool
) -> Iterator[str]:
    """Differences in the data of a replicate and, on the `same` platform, in its parameters and status."""
    # data read from files are the same everywhere; computed data may differ in the last bits
    computed = store.experiment.dataset(dataset).exact_sampler is not None
    if info["data_digest"] != theirs["data_digest"] and (same or not computed):
        yield f"{run_id}: trained on other data (digest {info['data_digest'][:12]}, not {theirs['data_digest'][:12]})"
    # samples are not compared, because another experiment may have drawn more; measurements show their differences
    if same and (info["checkpoints"], info["status"]) != (theirs["checkpoints"], theirs["status"]):
        yield f"{run_id}: other parameters or status ({info['status']}, in the reference {theirs['status']})"


def measurement_differences(mine: pd.DataFrame, theirs: pd.DataFrame) -> Iterator[str]:
    """Measurements that are not equal to the bit: their number for each replicate, and the first."""
    pairs = pd.concat([statements(mine), statements(theirs)], axis=1, keys=["here", "there"]).fillna("absent")
    for run_id, different in pairs[pairs["here"] != pairs["there"]].groupby(level="run_id", sort=False):
        subject = " ".join(str(part) for part in different.index[0][1:4] if part)
        here, there = different.iloc[0]
        yield f"{run_id}: {len(different)} measurements differ, first {subject}: {here}, in the reference {there}"


def statements(rows: pd.DataFrame) -> pd.Series:
    """Values, errors and status as a text with every bit, by replicate and subject."""
    texts = [
        f"{row.value!r} (error {row.std_error!r}, {row.mc_error!r}), {row.status}"
        for row in rows.itertuples(index=False)
    ]
    # as text an empty number of examples is a key, and not a missing value
    return pd.Series(texts, pd.MultiIndex.from_frame(rows[["run_id", *SUBJECT]].map(str)), dtype=str)


# on another platform


def estimator_differences(store: Store, reference: Reference, run_ids: list[str]) -> tuple[int, list[str]]:
    """Number of measurements of the reference's samples that were repeated here, and the differences."""
    mine, count, differences = replicates_of(store), 0, []
    theirs = {key: row for row in reference.rows.itertuples(index=False) for key in [(row.run_id, *subject(row))]}
    for dataset in reference.experiment.datasets:
        sampled = [run_id for run_id in run_ids if mine[run_id][0] == dataset and reference.samples(run_id)]
        if not sampled:
            continue
        context = sample_context(store, dataset, extractors(reference, dataset))
        test = open_data(store, dataset).split("test")
        for name in reference.experiment.metrics:
            family = METRICS[name](reference.experiment.metric_settings(name, dataset))
            for run_id in sampled:
                for output, generated in reference.samples(run_id).items():
                    for measurement in family.measure(test, generated, context):
                        key = run_id, FINAL, *measured_subject(measurement, output)
                        count += 1
                        if difference := deviation(measurement, theirs.get(key)):
                            differences.append(f"{run_id}: {difference}")
    return count, differences


def extractors(reference: Reference, dataset: str) -> dict[str, Extractor]:
    """The reference's classifier, if it has one."""
    path = reference.extractor(dataset)
    if path is None:
        return {}
    from deepgen_bench.metrics.features.classifier import Classifier

    return {"classifier": Classifier.load(path)}


def subject(row: Any) -> tuple[str, ...]:
    return tuple(str(getattr(row, name)) for name in SUBJECT)


def measured_subject(measurement: Measurement, output: str) -> tuple[str, ...]:
    """Like `subject`, without the checkpoint."""
    variant = Variant.of(measurement.variant | ({OUTPUT: output} if output else {}))
    sizes = ["<NA>" if n is None else str(n) for n in (measurement.n_real, measurement.n_generated)]
    return measurement.metric, str(variant), *sizes, measurement.reference_split


def deviation(measurement: Measurement, row: Any) -> str:
    """How a repeated measurement differs from the reference's `row`; empty if it agrees."""
    label = f"{measurement.metric} {Variant.of(measurement.variant)} of the reference's samples"
    if row is None:
        return f"{label}: not in the reference"
    if measurement.status != row.status:
        return f"{label}: {measurement.status}, in the reference {row.status}"
    if measurement.value is None or measurement.value == row.value:
        return ""
    error = 0.0 if np.isnan(row.std_error) else row.std_error
    allowed = max(ROUNDING * abs(row.value), LEARNED_SHARE.get(measurement.metric, SHARE) * error)
    if abs(measurement.value - row.value) <= allowed:
        return ""
    return f"{label}: {measurement.value}, in the reference {row.value}, allowed ± {allowed:.2g}"


def distribution_differences(mine: pd.DataFrame, theirs: pd.DataFrame) -> tuple[int, list[str]]:
    """Number of groups of seeds compared, and the differences by Welch's test with Holm's correction.

    Values that do not vary over seeds, such as those of a maximum-likelihood fit, may differ by rounding only. A single
    seed is not compared.
    """
    groups, others = values_over_seeds(mine), values_over_seeds(theirs)
    tested, p = [], []
    differences = [f"{group_name(key)}: measured here only" for key in groups if key not in others]
    differences += [f"{group_name(key)}: measured in the reference only" for key in others if key not in groups]
    several = [key for key in groups if key in others and min(len(groups[key]), len(others[key])) > 1]
    for key in several:
        a, b = groups[key], others[key]
        difference, variances = a.mean() - b.mean(), [x.var(ddof=1) / len(x) for x in (a, b)]
        if np.ptp(a) <= ROUNDING * abs(a[0]) and np.ptp(b) <= ROUNDING * abs(b[0]):
            if abs(difference) > ROUNDING * max(abs(a[0]), abs(b[0])):
                differences.append(f"{group_name(key)}: {a[0]} for every seed, in the reference {b[0]}")
        elif np.isfinite(variances).all():
            means = f"{a.mean():.6g} in the mean of {len(a)} seeds, in the reference {b.mean():.6g}"
            tested.append(f"{group_name(key)}: {means}")
            p.append(t_test(difference, variances, [len(a) - 1, len(b) - 1]))
    differences += [f"{text} (p = {q:.2g})" for text, q in zip(tested, holm(p), strict=True) if q <= LEVEL]
    return len(several), differences


def values_over_seeds(rows: pd.DataFrame) -> dict[tuple[str, ...], np.ndarray]:
    """Values over seeds by dataset, model and subject, without the digests of what was trained on the platform."""
    rows = rows[has_value(rows)]
    keys = rows[["dataset", "model", *SUBJECT]].map(str)
    keys["variant"] = keys["variant"].map(lambda text: str(Variant.parse(text).without("digest")))
    return {key: values.to_numpy() for key, values in rows["value"].groupby([keys[name] for name in keys], sort=False)}


def group_name(key: tuple[str, ...]) -> str:
    return f"{key[0]}/{key[1]}: {' '.join(part for part in key[2:5] if part)}"
