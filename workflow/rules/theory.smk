"""Textbook claims measured, where the experiment asks for it."""


rule claim:
    input:
        claim_inputs,
    output:
        f"{HOME}/theory/{{claim}}.json",
    log:
        f"{HOME}/logs/claim/{{claim}}.log",
    benchmark:
        f"{HOME}/benchmarks/claim/{{claim}}.tsv"
    conda:
        "../envs/bench.yaml"
    threads: 1
    params:
        experiment=EXPERIMENT,
        identity=claim_identity,
    shell:
        "deepgen-bench claim {params.experiment} --claim {wildcards.claim} > {log} 2>&1"


rule theory:
    input:
        [PLAN.store.theory(claim) for claim in PLAN.experiment.theory],
    output:
        f"{HOME}/tables/theory.csv",
        f"{HOME}/tables/theory.md",
    log:
        f"{HOME}/logs/theory.log",
    benchmark:
        f"{HOME}/benchmarks/theory.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        experiment=EXPERIMENT,
        identity=PLAN.theory_table(),
    shell:
        "deepgen-bench claim {params.experiment} > {log} 2>&1"
