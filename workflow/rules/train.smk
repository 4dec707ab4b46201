"""Prepare data, and train blocks of replicates on them."""


rule prepare:
    output:
        f"{HOME}/data/{{dataset}}.json",
    log:
        f"{HOME}/logs/prepare/{{dataset}}.log",
    benchmark:
        f"{HOME}/benchmarks/prepare/{{dataset}}.tsv"
    conda:
        "../envs/bench.yaml"
    threads: 1
    resources:
        mem_mb=prepare_memory,
    params:
        experiment=EXPERIMENT,
        identity=prepare_identity,
    shell:
        "deepgen-bench prepare {params.experiment} --dataset {wildcards.dataset} > {log:q} 2>&1"


rule train:
    input:
        rules.prepare.output,
    output:
        f"{HOME}/train/{{dataset}}/{{model}}/block_{{block}}.json",
    log:
        f"{HOME}/logs/train/{{dataset}}/{{model}}_{{block}}.log",
    benchmark:
        f"{HOME}/benchmarks/train/{{dataset}}/{{model}}_{{block}}.tsv"
    conda:
        "../envs/bench.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=train_memory,
        runtime=train_minutes,
    params:
        experiment=EXPERIMENT,
        identity=train_identity,
    shell:
        "deepgen-bench train {params.experiment} --dataset {wildcards.dataset} --model {wildcards.model:q}"
        " --block {wildcards.block} > {log:q} 2>&1"
