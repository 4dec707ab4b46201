"""Settings of GANs and Wasserstein GANs. Imports no torch."""

from dataclasses import replace
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from deepgen_bench.models.base import Implicit
from deepgen_bench.models.settings import Cost, DecoderSettings, ModelSpec, UnitInterval


class AdversarialSettings(DecoderSettings):
    """Settings of all models with a generator and a discriminator or critic.

    The latent variables are N(0, I). With `latent: uniform` the generator gets 2 Φ(z) - 1, uniform on [-1, 1]. The
    discriminator or critic is updated `critic_steps` times for each update of the generator.
    """

    latent: Literal["normal", "uniform"] = "normal"
    critic_steps: PositiveInt = 1

    def cost(self, dim: int, gpu: bool) -> Cost | None:
        cost = super().cost(dim, gpu)
        assert cost is not None
        return replace(cost, updates=1 + self.critic_steps)


class GANSettings(AdversarialSettings):
    """Adam for generator and discriminator."""

    discriminator_learning_rate: PositiveFloat = 1e-3
    beta1: UnitInterval = 0.5


class WGANSettings(AdversarialSettings):
    """RMSProp. After every update the critic's weights are clipped to [-clip, clip] (Arjovsky et al. 2017, algorithm
    1)."""

    learning_rate: PositiveFloat = 5e-5
    clip: PositiveFloat = 0.01
    critic_steps: PositiveInt = 5


class WGANGPSettings(AdversarialSettings):
    """Adam(0, 0.9) and a gradient penalty of weight `penalty` (Gulrajani et al. 2017, algorithm 1)."""

    learning_rate: PositiveFloat = 1e-4
    penalty: PositiveFloat = 10.0
    critic_steps: PositiveInt = 5


GAN = ModelSpec(GANSettings, Implicit, "deepgen_bench.models.adversarial.gan:MinimaxGAN")
GAN_NS = ModelSpec(GANSettings, Implicit, "deepgen_bench.models.adversarial.gan:NonSaturatingGAN")
WGAN = ModelSpec(WGANSettings, Implicit, "deepgen_bench.models.adversarial.wgan:ClippedWGAN")
WGAN_GP = ModelSpec(WGANGPSettings, Implicit, "deepgen_bench.models.adversarial.wgan:PenalisedWGAN")
