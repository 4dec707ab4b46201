"""Write the tidy table of all measurements, and from it the comparison tables, figures and the report."""


rule aggregate:
    input:
        with_seals(PLAN.store.all_measurements()),
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
        "deepgen-bench aggregate {params.experiment} > {log:q} 2>&1"


rule tables:
    input:
        f"{HOME}/metrics.csv",
        f"{HOME}/paired.csv",
        f"{HOME}/aggregated.json",
    output:
        report(
            expand("{home}/tables/{dataset}.csv", home=HOME, dataset=PLAN.experiment.datasets),
            category="Tables",
            caption="../captions/table.rst",
        ),
        expand("{home}/tables/{dataset}.{suffix}", home=HOME, dataset=PLAN.experiment.datasets, suffix=["md", "tex"]),
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
        "deepgen-bench tables {params.home} > {log:q} 2>&1"


rule figures:
    input:
        figures_inputs,
        rules.prepare.output,
    output:
        f"{HOME}/figure_data/{{dataset}}.npz",
        f"{HOME}/figure_data/{{dataset}}.json",
    log:
        f"{HOME}/logs/figures/{{dataset}}.log",
    benchmark:
        f"{HOME}/benchmarks/figures/{{dataset}}.tsv"
    conda:
        "../envs/bench.yaml"
    threads: 1
    resources:
        mem_mb=torch_memory,
    params:
        experiment=EXPERIMENT,
        identity=figures_identity,
    shell:
        "deepgen-bench figures {params.experiment} --dataset {wildcards.dataset} > {log:q} 2>&1"


rule report:
    input:
        rules.aggregate.output,
        expand("{home}/figure_data/{dataset}.json", home=HOME, dataset=PLAN.experiment.datasets),
        [path for kind in PLAN.experiment.studies for path in PLAN.store.studies(kind).values()],
    output:
        f"{HOME}/report.html",
        report(
            directory(f"{HOME}/figures"),
            patterns=["{figure}.svg"],
            category="Figures",
            caption="../captions/figure.rst",
        ),
    log:
        f"{HOME}/logs/report.log",
    benchmark:
        f"{HOME}/benchmarks/report.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        home=HOME,
        identity=PLAN.report(),
    shell:
        "deepgen-bench report {params.home} > {log:q} 2>&1"
