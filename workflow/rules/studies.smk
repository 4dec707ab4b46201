"""Studies, where the experiment asks for them: checks of estimators (calibration) and textbook claims (theory)."""


rule study:
    input:
        study_inputs,
    output:
        f"{HOME}/{{kind}}/{{study}}.json",
    log:
        f"{HOME}/logs/{{kind}}/{{study}}.log",
    benchmark:
        f"{HOME}/benchmarks/{{kind}}/{{study}}.tsv"
    conda:
        "../envs/bench.yaml"
    threads: 1
    params:
        experiment=EXPERIMENT,
        identity=study_identity,
    shell:
        "deepgen-bench study {params.experiment} --kind {wildcards.kind} --label {wildcards.study} > {log} 2>&1"


rule study_table:
    input:
        study_results,
    output:
        f"{HOME}/tables/{{kind}}.csv",
        f"{HOME}/tables/{{kind}}.md",
    log:
        f"{HOME}/logs/{{kind}}.log",
    benchmark:
        f"{HOME}/benchmarks/{{kind}}.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        experiment=EXPERIMENT,
        identity=PLAN.study_table(),
    shell:
        "deepgen-bench study {params.experiment} --kind {wildcards.kind} > {log} 2>&1"
