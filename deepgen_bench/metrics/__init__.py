"""Metrics: pure functions of arrays, and the families that apply them to what a run has sampled."""

from deepgen_bench.registry import Registry

METRICS = Registry(
    "metric",
    {
        "fidelity": "deepgen_bench.metrics.fidelity:Fidelity",
        "transport": "deepgen_bench.metrics.transport:TransportDistances",
        "two_sample": "deepgen_bench.metrics.two_sample:TwoSample",
        "modes": "deepgen_bench.metrics.modes:ModeCoverage",
        "memorisation": "deepgen_bench.metrics.memorisation:Memorisation",
        "parzen": "deepgen_bench.metrics.parzen:Parzen",
    },
)
