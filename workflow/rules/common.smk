"""Check the experiment before anything runs, and define what the rules share. Imports no torch."""

import atexit
import re
import signal
import sys
from pathlib import Path

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.config_file import read_config
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.experiment.plan import Plan, with_seals
from deepgen_bench.experiment.resources import Demand, wanted_gpus
from deepgen_bench.runtime.signals import handle_in_thread

# jobs of a scheduler run on other machines than this one; `--jobs` counts those, `--cores` local jobs
HERE = workflow.is_main_process and workflow.resource_settings.nodes is None

try:
    for path in workflow.configfiles:
        read_config(Path(path))  # without this, Snakemake would use the last of two equal keys
    PLAN = Plan(load_experiment(config))
    PLAN.store.check_format()
    PLAN.experiment.check_files()
    DATA = {dataset: PLAN.prepare(dataset) for dataset in PLAN.experiment.datasets}
    GPU = wanted_gpus(PLAN.experiment.device, HERE)
except UserError as error:
    sys.exit(f"error: {error}")

HOME, EXPERIMENT = PLAN.store.home, PLAN.experiment_file
DEMAND = Demand(PLAN.experiment, GPU)
# jobs use the environment that runs Snakemake, whether it is active or not
shell.prefix(f"export PATH={Path(sys.executable).parent}:$PATH; ")


onstart:
    try:
        PLAN.begin()
    except UserError as error:
        sys.exit(f"error: {error}")
    handle_in_thread(signal.SIGTERM)
    # printed after the output of Snakemake
    atexit.register(lambda: print(*PLAN.failures(), sep="", end="", file=sys.stderr))


onerror:
    shell("deepgen-bench aggregate {EXPERIMENT} --partial || true")


wildcard_constraints:
    dataset="|".join(PLAN.experiment.datasets),
    model="|".join(map(re.escape, PLAN.experiment.models)),
    block=r"\d+",
    kind="|".join(PLAN.experiment.studies),
    study="|".join(label for entries in PLAN.experiment.studies.values() for label in entries) or "none",


def prepare_identity(wildcards):
    return DATA[wildcards.dataset]


def train_identity(wildcards):
    return PLAN.train(wildcards.dataset, wildcards.model, int(wildcards.block))


def extractor_identity(wildcards):
    return PLAN.extractor(wildcards.dataset)


def extractor_files(wildcards):
    return PLAN.extractor_files(wildcards.dataset)


def study_identity(wildcards):
    return PLAN.study(wildcards.kind, wildcards.study)


def study_inputs(wildcards):
    return PLAN.study_inputs(wildcards.kind, wildcards.study)


def study_results(wildcards):
    return list(PLAN.store.studies(wildcards.kind).values())


def figures_identity(wildcards):
    return PLAN.figures(wildcards.dataset)


def figures_inputs(wildcards):
    return PLAN.manifests(wildcards.dataset)


def sample_identity(wildcards):
    return PLAN.sample_metrics(wildcards.dataset)


# resources, doubled with each attempt


def prepare_memory(wildcards, attempt):
    return DEMAND.prepare_mb(wildcards.dataset) << (attempt - 1)


def torch_memory(wildcards, attempt):
    return DEMAND.torch_mb(wildcards.dataset) << (attempt - 1)


def train_memory(wildcards, attempt):
    return DEMAND.train_mb(wildcards.dataset, wildcards.model) << (attempt - 1)


def train_minutes(wildcards, attempt):
    return DEMAND.train_minutes(wildcards.dataset, wildcards.model, int(wildcards.block)) << (attempt - 1)


def measure_minutes(wildcards, attempt):
    return DEMAND.measure_minutes(int(wildcards.block)) << (attempt - 1)


def likelihood_minutes(wildcards, attempt):
    return DEMAND.likelihood_minutes(wildcards.dataset, wildcards.model, int(wildcards.block)) << (attempt - 1)
