"""Data, and the blocks of replicates trained on them."""


def prepare_identity(wildcards):
    return PLAN.prepare(wildcards.dataset)


def data_file(wildcards):
    return PLAN.data_file(wildcards.dataset)


def train_identity(wildcards):
    return PLAN.train(wildcards.dataset, wildcards.model, int(wildcards.block))


rule prepare:
    output:
        "results/data/{dataset}/{hash}/dataset.json",
    params:
        identity=prepare_identity,
    log:
        f"{HOME}/logs/prepare/{{dataset}}_{{hash}}.log",
    benchmark:
        f"{HOME}/benchmarks/prepare/{{dataset}}_{{hash}}.tsv"
    threads: 1
    conda:
        "../envs/bench.yaml"
    shell:
        "{BENCH} prepare {EXPERIMENT} --dataset {wildcards.dataset} > {log} 2>&1"


rule train:
    input:
        data_file,
    output:
        f"{HOME}/train/{{dataset}}/{{model}}/block_{{block}}.json",
    params:
        identity=train_identity,
    log:
        f"{HOME}/logs/train/{{dataset}}/{{model}}_{{block}}.log",
    benchmark:
        f"{HOME}/benchmarks/train/{{dataset}}/{{model}}_{{block}}.tsv"
    threads: 1
    resources:
        gpu=GPU,
    conda:
        "../envs/bench.yaml"
    shell:
        "{BENCH} train {EXPERIMENT} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --block {wildcards.block} > {log} 2>&1"
