"""Textbook claims about generative models, measured: claims that an experiment file names."""

from deepgen_bench.registry import Registry

CLAIMS = Registry(
    "claim",
    {
        "mixture": "deepgen_bench.theory.mixture:Mixture",
        "transformation": "deepgen_bench.theory.transformation:Transformation",
        "bound": "deepgen_bench.theory.bound:Bound",
        "optimal_discriminator": "deepgen_bench.theory.discriminator:OptimalDiscriminator",
        "objective": "deepgen_bench.theory.discriminator:Objective",
        "disjoint_supports": "deepgen_bench.theory.supports:DisjointSupports",
        "stability": "deepgen_bench.theory.stability:Stability",
        "critic": "deepgen_bench.theory.critic:Critic",
        "observation_noise": "deepgen_bench.theory.observation_noise:ObservationNoise",
    },
)
