"""Measure one study of the experiment: a check of an estimator, or a textbook claim."""

from dataclasses import replace
from typing import Literal

from deepgen_bench.experiment.schema import CalibrationEntry
from deepgen_bench.experiment.store import Store
from deepgen_bench.plugins import StudyKind
from deepgen_bench.runtime.device import open_device
from deepgen_bench.studies.result import Result, Words, write_result
from deepgen_bench.studies.study import Claim, Context, Need, Row, Source, Verdict

# the verdict for each value of `expect` in the experiment file
EXPECTED: dict[Literal["pass", "fail"], Verdict] = {"pass": "holds", "fail": "fails"}


def measure_study(store: Store, kind: StudyKind, label: str) -> None:
    """Measure a study, write its results, and print a line for each row."""
    if kind == "theory":
        # claims train networks; checks only read trained ones
        open_device("cpu")
    resolved = store.experiment.studies[kind][label]
    context = context_of(store, resolved.study.needs(resolved.settings))
    study = resolved.study(label, resolved.settings, context)
    evidence, entry = study.measure(), resolved.entry
    rows = [with_entry(row, entry) for row in evidence.rows] if isinstance(entry, CalibrationEntry) else evidence.rows
    words = Words.of(study) if isinstance(study, Claim) else None
    write_result(store.study(kind, label), Result(resolved.name, rows, evidence.tables, words))
    for row in rows:
        predicted = "" if row.prediction is None else f", predicted {row.prediction:.6g}"
        print(f"{row.quantity}, {row.setting}: {row.measurement:.6g}{predicted}, {row.verdict}")


def with_entry(row: Row, entry: CalibrationEntry) -> Row:
    """The row of a check with the tolerance and the expected verdict of its entry in the experiment file."""
    return replace(row, tolerance=entry.tolerance, expected=row.expected or EXPECTED[entry.expect])


def context_of(store: Store, needs: list[Need]) -> Context:
    """What a study with these needs may know of the experiment."""
    sources = {need: source_of(store, need) for need in needs}
    return Context(store.experiment.base_seed, store.experiment.likelihood, sources)


def source_of(store: Store, need: Need) -> Source:
    experiment, dataset, model = store.experiment, need.dataset, need.model
    seeds = experiment.seeds if need.seed is None else (need.seed,)
    return Source(
        dataset=experiment.dataset(dataset),
        spec=experiment.model_spec(model),
        settings=experiment.model_settings(model, dataset),
        prepared=store.data_dir(dataset),
        measurements=store.measurements_of(need),
        replicates={seed: store.run_dir(dataset, model, seed) for seed in seeds},
        run_ids={seed: store.run_id(dataset, model, seed) for seed in seeds},
    )
