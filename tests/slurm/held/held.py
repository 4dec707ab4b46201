"""What the registry must know of the model in held_vae.py, without importing torch."""

from deepgen_bench.models.base import LatentVariable
from deepgen_bench.models.settings import ModelSpec
from deepgen_bench.models.vae.settings import VAESettings

SPEC = ModelSpec(VAESettings, LatentVariable, "held_vae:Held")
