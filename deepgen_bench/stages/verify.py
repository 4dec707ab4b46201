"""Check a finished experiment against a reference of the same one, perhaps made on another platform.

On the reference's platform everything must be equal to the bit. Elsewhere neither a GAN's trajectory nor the last bits
of a sum are: estimators are run on the reference's own samples, where it has them, and must give its numbers but for
rounding; trained models must agree in distribution over seeds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepgen_bench.datasets.base import SyntheticDataset
from deepgen_bench.experiment.store import Store, store_of
from deepgen_bench.metrics.context import Extractor
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.models.replicate import Run
from deepgen_bench.plugins import METRICS
from deepgen_bench.report.data.selection import has_value
from deepgen_bench.report.data.statistics import holm, t_test
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.measure import sample_context
from deepgen_bench.stages.prepare import open_data
from deepgen_bench.stages.reference import Reference, runs_of
from deepgen_bench.storage.files import Damaged
from deepgen_bench.storage.keys import Variant
from deepgen_bench.storage.results import read_rows

LEVEL = 0.01
"""The probability of naming any difference in distribution where there is none."""

ROUNDING, SHARE = 1e-6, 0.1
"""How far an estimator may be off on another platform: relative, or as a share of the measurement's standard error."""

LEARNED_SHARE = {"c2st": 1.0}
"""The same of what is learned anew: one standard error of a classifier's accuracy."""

# what a measurement is of, within a run
SUBJECT = ["checkpoint", "metric", "variant", "n_real", "n_generated", "reference_split"]


def verify(home: Path, path: Path) -> tuple[list[str], list[str]]:
    """What was compared, and the differences found, one line each, of the experiment in `home` and a reference."""
    store, reference = store_of(home), Reference(path)
    rows, mine = read_rows(home / "metrics.csv"), runs_of(store)
    common = [run_id for run_id in reference.runs if run_id in mine]
    if not common:
        raise UserError(f"{home}: no run of {reference.path} is among its runs; settings, data or seeds differ")
    differences = [f"{run_id}: not in the reference" for run_id in mine if run_id not in reference.runs]
    differences += [f"{run_id}: in the reference only" for run_id in reference.runs if run_id not in mine]
    here: list[str] = []
    for run_id in common:
        try:
            info = Run(store.run_dir(*mine[run_id])).info
        except Damaged as error:
            differences.append(f"{run_id}: {error}")
            continue
        same = info["platform"] == reference.platform
        here += [run_id] * same
        differences += run_differences(store, run_id, mine[run_id][0], info, reference.runs[run_id], same)
    elsewhere = [run_id for run_id in common if run_id not in here]
    said = [f"{len(here)} runs on the reference's platform: digests and measurements, to the bit"]
    differences += measurement_differences(select(rows, here), select(reference.rows, here))
    if elsewhere:
        count, found = estimator_differences(store, reference, elsewhere)
        said.append(
            f"{len(elsewhere)} runs on another platform: {count} measurements of the reference's samples repeated"
        )
        differences += found
        count, found = distribution_differences(select(rows, elsewhere), select(reference.rows, elsewhere))
        said.append(f"  and {count} distributions over seeds compared, at {LEVEL:.0%} over all")
        differences += found
    return said, differences


def select(rows: pd.DataFrame, run_ids: list[str]) -> pd.DataFrame:
    return rows[rows["run_id"].isin(run_ids)]


# on the reference's platform


def run_differences(
    store: Store, run_id: str, dataset: str, info: dict[str, Any], theirs: dict[str, Any], same: bool
) -> Iterator[str]:
    """Whether a run was trained on the same data and, on the `same` platform, ended in the same bits."""
    # what is read from files is the same everywhere; what is computed may differ in the last bits
    computed = isinstance(store.experiment.dataset(dataset), SyntheticDataset)
    if info["data_digest"] != theirs["data_digest"] and (same or not computed):
        yield f"{run_id}: trained on other data (digest {info['data_digest'][:12]}, not {theirs['data_digest'][:12]})"
    # samples, of which another experiment may have had more, show in what was measured on them
    if same and (info["checkpoints"], info["status"]) != (theirs["checkpoints"], theirs["status"]):
        yield f"{run_id}: other parameters or status ({info['status']}, in the reference {theirs['status']})"


def measurement_differences(mine: pd.DataFrame, theirs: pd.DataFrame) -> Iterator[str]:
    """Measurements that are not the same to the bit: their number in each run, and the first."""
    pairs = pd.concat([statements(mine), statements(theirs)], axis=1, keys=["here", "there"]).fillna("absent")
    for run_id, found in pairs[pairs["here"] != pairs["there"]].groupby(level="run_id", sort=False):
        subject = " ".join(str(part) for part in found.index[0][1:4] if part)
        here, there = found.iloc[0]
        yield f"{run_id}: {len(found)} measurements differ, first {subject}: {here}, in the reference {there}"


def statements(rows: pd.DataFrame) -> pd.Series:
    """What each measurement says, as a text with every bit, by run and subject."""
    texts = [
        f"{row.value!r} (error {row.std_error!r}, {row.mc_error!r}), {row.status}"
        for row in rows.itertuples(index=False)
    ]
    # an empty number of examples is a text like any other, and not a missing key
    return pd.Series(texts, pd.MultiIndex.from_frame(rows[["run_id", *SUBJECT]].map(str)), dtype=str)


# on another platform


def estimator_differences(store: Store, reference: Reference, run_ids: list[str]) -> tuple[int, list[str]]:
    """Number of measurements of the reference's samples that were repeated here, and those that came out otherwise."""
    mine, count, differences = runs_of(store), 0, []
    theirs = {key: row for row in reference.rows.itertuples(index=False) for key in [(row.run_id, *subject(row))]}
    for dataset in reference.experiment.datasets:
        sampled = [run_id for run_id in run_ids if mine[run_id][0] == dataset and reference.samples(run_id)]
        if not sampled:
            continue
        context, test = (
            sample_context(store, dataset, extractors(reference, dataset)),
            open_data(store, dataset).split("test"),
        )
        for name in reference.experiment.metrics:
            family = METRICS[name](reference.experiment.metric_settings(name, dataset))
            for run_id in sampled:
                for output, generated in reference.samples(run_id).items():
                    for found in family.measure(test, generated, context):
                        key = run_id, "final", *measured_subject(found, output)
                        count += 1
                        differences += [f"{run_id}: {why}" for why in [deviation(found, theirs.get(key))] if why]
    return count, differences


def extractors(reference: Reference, dataset: str) -> dict[str, Extractor]:
    """The reference's own classifier, where it has one."""
    path = reference.extractor(dataset)
    if path is None:
        return {}
    from deepgen_bench.metrics.features.classifier import Classifier

    return {"classifier": Classifier.load(path)}


def subject(row: Any) -> tuple[str, ...]:
    return tuple(str(getattr(row, name)) for name in SUBJECT)


def measured_subject(found: Measurement, output: str) -> tuple[str, ...]:
    """As `subject`, but for the checkpoint."""
    variant = str(Variant.of(found.variant | ({"output": output} if output else {})))
    sizes = ["<NA>" if n is None else str(n) for n in (found.n_real, found.n_generated)]
    return found.metric, variant, *sizes, found.reference_split


def deviation(found: Measurement, row: Any) -> str:
    """What is wrong with a repeated measurement; empty if nothing is."""
    label = f"{found.metric} {Variant.of(found.variant)} of the reference's samples"
    if row is None:
        return f"{label}: not in the reference"
    if found.status != row.status:
        return f"{label}: {found.status}, in the reference {row.status}"
    if found.value is None or found.value == row.value:
        return ""
    error = 0.0 if np.isnan(row.std_error) else row.std_error
    allowed = max(ROUNDING * abs(row.value), LEARNED_SHARE.get(found.metric, SHARE) * error)
    if abs(found.value - row.value) <= allowed:
        return ""
    return f"{label}: {found.value}, in the reference {row.value}, allowed ± {allowed:.2g}"


def distribution_differences(mine: pd.DataFrame, theirs: pd.DataFrame) -> tuple[int, list[str]]:
    """Number of groups of seeds compared, and those whose values differ by Welch's test with Holm's correction.

    What does not vary over seeds (a maximum-likelihood fit) may differ by rounding only; a single seed tells nothing.
    """
    groups, others = seeds(mine), seeds(theirs)
    tested, p = [], []
    differences = [f"{named(key)}: measured here only" for key in groups if key not in others]
    differences += [f"{named(key)}: measured in the reference only" for key in others if key not in groups]
    several = [key for key in groups if key in others and min(len(groups[key]), len(others[key])) > 1]
    for key in several:
        a, b = groups[key], others[key]
        difference, variances = a.mean() - b.mean(), [x.var(ddof=1) / len(x) for x in (a, b)]
        if np.ptp(a) <= ROUNDING * abs(a[0]) and np.ptp(b) <= ROUNDING * abs(b[0]):
            if abs(difference) > ROUNDING * max(abs(a[0]), abs(b[0])):
                differences.append(f"{named(key)}: {a[0]} for every seed, in the reference {b[0]}")
        elif np.isfinite(variances).all():
            tested.append(
                f"{named(key)}: {a.mean():.6g} in the mean of {len(a)} seeds, in the reference {b.mean():.6g}"
            )
            p.append(t_test(difference, variances, [len(a) - 1, len(b) - 1]))
    differences += [f"{text} (p = {q:.2g})" for text, q in zip(tested, holm(p), strict=True) if q <= LEVEL]
    return len(several), differences


def seeds(rows: pd.DataFrame) -> dict[tuple[str, ...], np.ndarray]:
    """Values over seeds by dataset, model and subject, without the digests of what was trained on the platform."""
    rows = rows[has_value(rows)]
    keys = rows[["dataset", "model", *SUBJECT]].map(str)
    keys["variant"] = keys["variant"].map(lambda text: str(Variant.parse(text).without("digest")))
    return {key: values.to_numpy() for key, values in rows["value"].groupby([keys[name] for name in keys], sort=False)}


def named(key: tuple[str, ...]) -> str:
    return f"{key[0]}/{key[1]}: {' '.join(part for part in key[2:5] if part)}"
