"""Measure trained replicates. These are the only rules that open test data."""


rule extractor:
    input:
        rules.prepare.output,
    output:
        f"{HOME}/extractors/{{dataset}}.json",
    log:
        f"{HOME}/logs/extractor/{{dataset}}.log",
    benchmark:
        f"{HOME}/benchmarks/extractor/{{dataset}}.tsv"
    conda:
        "../envs/bench.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=torch_memory,
    params:
        experiment=EXPERIMENT,
        identity=extractor_identity,
    shell:
        "deepgen-bench extractor {params.experiment} --dataset {wildcards.dataset} > {log:q} 2>&1"


rule measure:
    input:
        runs=rules.train.output,
        data=rules.prepare.output,
        extractors=extractor_files,
    output:
        f"{HOME}/measurements/{{dataset}}/{{model}}/sample_{{block}}.csv",
        f"{HOME}/measurements/{{dataset}}/{{model}}/sample_{{block}}.json",
    log:
        f"{HOME}/logs/measure/{{dataset}}/{{model}}_{{block}}.log",
    benchmark:
        f"{HOME}/benchmarks/measure/{{dataset}}/{{model}}_{{block}}.tsv"
    conda:
        "../envs/bench.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=torch_memory,
        runtime=measure_minutes,
    params:
        experiment=EXPERIMENT,
        identity=sample_identity,
    shell:
        "deepgen-bench measure {params.experiment} --dataset {wildcards.dataset} --model {wildcards.model:q}"
        " --block {wildcards.block} > {log:q} 2>&1"


rule likelihood:
    input:
        rules.train.output,
        rules.prepare.output,
    output:
        f"{HOME}/measurements/{{dataset}}/{{model}}/likelihood_{{block}}.csv",
        f"{HOME}/measurements/{{dataset}}/{{model}}/likelihood_{{block}}.npz",
        f"{HOME}/measurements/{{dataset}}/{{model}}/likelihood_{{block}}.json",
    log:
        f"{HOME}/logs/likelihood/{{dataset}}/{{model}}_{{block}}.log",
    benchmark:
        f"{HOME}/benchmarks/likelihood/{{dataset}}/{{model}}_{{block}}.tsv"
    conda:
        "../envs/bench.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=torch_memory,
        runtime=likelihood_minutes,
    params:
        experiment=EXPERIMENT,
        identity=lambda wildcards: PLAN.likelihood(int(wildcards.block)),
    shell:
        "deepgen-bench likelihood {params.experiment} --dataset {wildcards.dataset} --model {wildcards.model:q}"
        " --block {wildcards.block} > {log:q} 2>&1"
