"""The experiment, checked before anything runs, and what the rules share. Imports no torch."""

import atexit
import sys
from pathlib import Path

from deepgen_bench.config import load_experiment
from deepgen_bench.config_file import read_config
from deepgen_bench.device import resolve
from deepgen_bench.errors import UserError
from deepgen_bench.plan import Plan

try:
    for path in workflow.configfiles:
        read_config(Path(path))  # Snakemake would take the last of two equal keys
    PLAN = Plan(load_experiment(config))
    PLAN.store.check_format()
    PLAN.experiment.check_weights()
    DATA = {dataset: PLAN.prepare(dataset) for dataset in PLAN.experiment.datasets}
    GPU = 1 if resolve(PLAN.experiment.device) == "cuda" else 0
except UserError as error:
    sys.exit(f"error: {error}")

HOME, EXPERIMENT = PLAN.store.home, PLAN.experiment_file
# jobs use the environment that runs Snakemake, whether it is active or not
shell.prefix(f"export PATH={Path(sys.executable).parent}:$PATH; ")


onstart:
    try:
        PLAN.begin()
    except UserError as error:
        sys.exit(f"error: {error}")
    # below all that Snakemake says
    atexit.register(lambda: print(*PLAN.failures(), sep="", end="", file=sys.stderr))


onerror:
    shell("deepgen-bench aggregate {EXPERIMENT} --partial || true")


wildcard_constraints:
    dataset="|".join(PLAN.experiment.datasets),
    model="|".join(PLAN.experiment.models),
    block=r"\d+",
    check="|".join(PLAN.experiment.calibration) or "none",


def prepare_identity(wildcards):
    return DATA[wildcards.dataset]


def train_identity(wildcards):
    return PLAN.train(wildcards.dataset, wildcards.model, int(wildcards.block))


def extractor_identity(wildcards):
    return PLAN.extractor(wildcards.dataset)


def extractor_files(wildcards):
    return PLAN.extractor_files(wildcards.dataset)


def calibration_identity(wildcards):
    return PLAN.calibration(wildcards.check)


def calibration_inputs(wildcards):
    return PLAN.calibration_inputs(wildcards.check)


def sample_identity(wildcards):
    return PLAN.sample_metrics(wildcards.dataset)
