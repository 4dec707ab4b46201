"""Generative models by name. A new one is a file with its class and settings, and a line here (or an entry point)."""

from deepgen_bench.registry import Registry

MODELS = Registry(
    "model",
    {
        "oracle": "deepgen_bench.models.specs:ORACLE",
        "external": "deepgen_bench.models.specs:EXTERNAL",
        "gaussian": "deepgen_bench.models.specs:GAUSSIAN",
        "gmm": "deepgen_bench.models.specs:GMM",
        "kde": "deepgen_bench.models.specs:KDE",
        "vae": "deepgen_bench.models.specs:VAE",
        "gan": "deepgen_bench.models.specs:GAN",
        "gan_ns": "deepgen_bench.models.specs:GAN_NS",
        "wgan": "deepgen_bench.models.specs:WGAN",
        "wgan_gp": "deepgen_bench.models.specs:WGAN_GP",
        "flow": "deepgen_bench.models.specs:FLOW",
        "diffusion": "deepgen_bench.models.specs:DIFFUSION",
    },
)
