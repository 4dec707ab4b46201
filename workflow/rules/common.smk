"""The experiment, checked before anything runs, and what the rules share. Imports no torch."""

import sys

from snakemake.exceptions import WorkflowError

from deepgen_bench.config import load_experiment
from deepgen_bench.device import resolve
from deepgen_bench.errors import UserError
from deepgen_bench.files import canonical_json
from deepgen_bench.plan import Plan

try:
    PLAN = Plan(load_experiment(config))
    EXPERIMENT = PLAN.write_experiment()
    GPU = 1 if resolve(PLAN.experiment.device) == "cuda" else 0
except UserError as error:
    raise WorkflowError(f"error: {error}")

HOME = PLAN.store.home
# the interpreter that runs Snakemake, so that its environment need not be active
BENCH = f"{sys.executable} -m deepgen_bench"


wildcard_constraints:
    dataset="|".join(PLAN.experiment.datasets),
    model="|".join(PLAN.experiment.models),
    block=r"\d+",
