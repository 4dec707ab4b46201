"""What the registry must know of the model in held_vae.py, without importing torch."""

from deepgen_bench.models.specs import ModelSpec, VAESettings

SPEC = ModelSpec(VAESettings, "latent", "held_vae:Held")
