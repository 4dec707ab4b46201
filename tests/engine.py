"""The engine of the workflow in this process: it runs the rules that Snakemake would run, in the same order.

A rule runs if one of its targets is missing, if its outputs are older than its inputs, if a rule that runs needs one of
its outputs that is missing, or if it depends on a rule that runs. As in Snakemake, a missing file that no rule needs is
not rebuilt, the outputs of a rule are deleted before it runs, and those of a job that fails are deleted too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepgen_bench.experiment.plan import Plan
from deepgen_bench.experiment.store import Store
from deepgen_bench.stages.aggregate import aggregate
from deepgen_bench.stages.extractor import train_extractor
from deepgen_bench.stages.figures import write_figures
from deepgen_bench.stages.jobs import job
from deepgen_bench.stages.likelihood import measure_likelihood
from deepgen_bench.stages.measure import measure_samples
from deepgen_bench.stages.prepare import prepare_dataset
from deepgen_bench.stages.train import train_block

STAGES = {"sample": ("measure", measure_samples), "likelihood": ("likelihood", measure_likelihood)}


@dataclass(frozen=True)
class Rule:
    name: str
    stage: Callable[..., None]
    # dataset, model and block, as far as the rule has them
    labels: tuple[Any, ...]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]

    def run(self, store: Store) -> None:
        self.delete_outputs()
        try:
            with job(store, self.name, *self.labels):
                self.stage(store, *self.labels)
        except BaseException:
            self.delete_outputs()
            raise
        assert all(path.is_file() for path in self.outputs), self

    def delete_outputs(self) -> None:
        for path in self.outputs:
            path.unlink(missing_ok=True)

    def is_stale(self) -> bool:
        outputs, inputs = ([path.stat().st_mtime for path in p if path.is_file()] for p in (self.outputs, self.inputs))
        return bool(inputs and outputs) and max(inputs) > min(outputs)


def rules(store: Store) -> list[Rule]:
    """All rules of an experiment but tables and the report, each after those that it depends on."""
    plan, found = Plan(store.experiment, store.root), []
    for dataset in store.experiment.datasets:
        data = store.data_manifest(dataset)
        found.append(Rule("prepare", prepare_dataset, (dataset,), (), (data,)))
        extractors = plan.extractor_files(dataset)
        if extractors:
            found.append(Rule("extractor", train_extractor, (dataset,), (data,), tuple(extractors)))
        for model in store.experiment.models:
            for block in store.blocks():
                outputs = (store.manifest(dataset, model, block),)
                found.append(Rule("train", train_block, (dataset, model, block), (data,), outputs))
    for dataset, model, block, kind in store.parts():
        inputs = (store.manifest(dataset, model, block), store.data_manifest(dataset))
        inputs += tuple(plan.extractor_files(dataset)) if kind == "sample" else ()
        path = store.measurements(dataset, model, block, kind)
        suffixes = (".csv", ".json") if kind == "sample" else (".csv", ".npz", ".json")
        name, stage = STAGES[kind]
        outputs = tuple(path.with_suffix(suffix) for suffix in suffixes)
        found.append(Rule(name, stage, (dataset, model, block), inputs, outputs))
    measurements = [path.with_suffix(suffix) for path in store.all_measurements() for suffix in (".csv", ".json")]
    names = ("metrics.csv", "summary.csv", "paired.csv", "aggregated.json")
    found.append(Rule("aggregate", aggregate, (), tuple(measurements), tuple(store.home / name for name in names)))
    for dataset in store.experiment.datasets:
        path = store.figure_data(dataset)
        inputs = (*plan.manifests(dataset), store.data_manifest(dataset))
        found.append(Rule("figures", write_figures, (dataset,), inputs, (path.with_suffix(".npz"), path)))
    return found


def outdated(store: Store, targets: tuple[Path, ...] = ()) -> list[Rule]:
    """The rules that must run for `targets`, by default all tables and figure data."""
    every = rules(store)
    wanted = set(targets) or {path for rule in every if rule.name in ("aggregate", "figures") for path in rule.outputs}
    rule_of = {path: rule for rule in every for path in rule.outputs}
    needed = ancestors(every, [rule_of[path] for path in wanted])
    queue = [rule for rule in needed if rule.is_stale()]
    queue += [rule_of[path] for path in wanted if not path.is_file()]
    chosen: set[Rule] = set()
    while queue:
        rule = queue.pop()
        if rule not in chosen:
            chosen.add(rule)
            queue += [rule_of[path] for path in rule.inputs if not path.is_file()]
            queue += [other for other in needed if set(rule.outputs) & set(other.inputs)]
    return [rule for rule in every if rule in chosen]


def ancestors(every: list[Rule], last: list[Rule]) -> set[Rule]:
    """The rules in `last`, and all that they depend on."""
    found = set(last)
    for rule in reversed(every):
        if any(set(rule.outputs) & set(other.inputs) for other in found):
            found.add(rule)
    return found


def run_rules(store: Store, *targets: Path) -> list[str]:
    """Run what is outdated, as one call of Snakemake does, and return the names of the rules that ran.

    Errors: those of the first job that fails; jobs after it do not run.
    """
    chosen = outdated(store, targets)
    for rule in chosen:
        rule.run(store)
    return [rule.name for rule in chosen]
