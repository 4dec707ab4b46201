"""Train, measure and compare deep generative models: `snakemake --cores all`.

`--configfile configs/mnist.yaml` replaces the default experiment; see README.md.
"""

from snakemake.utils import min_version

min_version("9.19")

# An experiment is one file. Without this test, `--configfile` would be merged into the default experiment. `--config
# seeds=[7]` alone changes the default experiment.
if not {"name", "datasets", "models"} & set(config):

    configfile: "configs/default.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/studies.smk"


rule all:
    default_target: True
    input:
        rules.tables.output,
        rules.report.output,
        [f"{HOME}/tables/{kind}.md" for kind, studies in PLAN.experiment.studies.items() if studies],
