"""The tidy table of all measurements, and the comparison tables drawn from it alone."""


rule aggregate:
    input:
        PLAN.store.all_measurements(),
    output:
        f"{HOME}/metrics.csv",
        f"{HOME}/summary.csv",
        f"{HOME}/paired.csv",
        f"{HOME}/aggregated.json",
    log:
        f"{HOME}/logs/aggregate.log",
    benchmark:
        f"{HOME}/benchmarks/aggregate.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        experiment=EXPERIMENT,
        identity=PLAN.aggregate(),
    shell:
        "deepgen-bench aggregate {params.experiment} > {log} 2>&1"


rule tables:
    input:
        f"{HOME}/metrics.csv",
        f"{HOME}/paired.csv",
    output:
        expand(
            "{home}/tables/{dataset}.{suffix}",
            home=HOME,
            dataset=PLAN.experiment.datasets,
            suffix=["csv", "md", "tex"],
        ),
    log:
        f"{HOME}/logs/tables.log",
    benchmark:
        f"{HOME}/benchmarks/tables.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        home=HOME,
        identity=PLAN.tables(),
    shell:
        "deepgen-bench tables {params.home} > {log} 2>&1"
