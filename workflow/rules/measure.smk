"""Measurements of trained replicates: the only rules that open test data."""


def extractor_identity(wildcards):
    return PLAN.extractor(wildcards.dataset)


def extractor_files(wildcards):
    return PLAN.extractor_files(wildcards.dataset)


def sample_identity(wildcards):
    return PLAN.sample_metrics(wildcards.dataset)


rule extractor:
    input:
        data_file,
    output:
        "results/extractors/{dataset}/{hash}/classifier.json",
    params:
        identity=extractor_identity,
    log:
        f"{HOME}/logs/extractor/{{dataset}}_{{hash}}.log",
    benchmark:
        f"{HOME}/benchmarks/extractor/{{dataset}}_{{hash}}.tsv"
    threads: 1
    resources:
        gpu=GPU,
    conda:
        "../envs/bench.yaml"
    shell:
        "{BENCH} extractor {EXPERIMENT} --dataset {wildcards.dataset} > {log} 2>&1"


rule measure:
    input:
        runs=rules.train.output,
        extractors=extractor_files,
    output:
        f"{HOME}/measurements/{{dataset}}/{{model}}/sample_{{block}}.csv",
    params:
        identity=sample_identity,
    log:
        f"{HOME}/logs/measure/{{dataset}}/{{model}}_{{block}}.log",
    benchmark:
        f"{HOME}/benchmarks/measure/{{dataset}}/{{model}}_{{block}}.tsv"
    threads: 1
    resources:
        gpu=GPU,
    conda:
        "../envs/bench.yaml"
    shell:
        "{BENCH} measure {EXPERIMENT} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --block {wildcards.block} > {log} 2>&1"


rule likelihood:
    input:
        rules.train.output,
    output:
        f"{HOME}/measurements/{{dataset}}/{{model}}/likelihood_{{block}}.csv",
    params:
        identity=PLAN.likelihood() if PLAN.experiment.likelihood else "",
    log:
        f"{HOME}/logs/likelihood/{{dataset}}/{{model}}_{{block}}.log",
    benchmark:
        f"{HOME}/benchmarks/likelihood/{{dataset}}/{{model}}_{{block}}.tsv"
    threads: 1
    resources:
        gpu=GPU,
    conda:
        "../envs/bench.yaml"
    shell:
        "{BENCH} likelihood {EXPERIMENT} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --block {wildcards.block} > {log} 2>&1"
