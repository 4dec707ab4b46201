"""Estimators held against known truths, where the experiment asks for it."""


rule calibrate:
    input:
        calibration_inputs,
    output:
        f"{HOME}/calibration/{{check}}.json",
    log:
        f"{HOME}/logs/calibrate/{{check}}.log",
    benchmark:
        f"{HOME}/benchmarks/calibrate/{{check}}.tsv"
    conda:
        "../envs/bench.yaml"
    threads: 1
    params:
        experiment=EXPERIMENT,
        identity=calibration_identity,
    shell:
        "deepgen-bench calibrate {params.experiment} --check {wildcards.check} > {log} 2>&1"


rule calibration:
    input:
        [PLAN.store.calibration(check) for check in PLAN.experiment.calibration],
    output:
        f"{HOME}/tables/calibration.csv",
        f"{HOME}/tables/calibration.md",
    log:
        f"{HOME}/logs/calibration.log",
    benchmark:
        f"{HOME}/benchmarks/calibration.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        experiment=EXPERIMENT,
        identity=PLAN.calibration_table(),
    shell:
        "deepgen-bench calibrate {params.experiment} > {log} 2>&1"
