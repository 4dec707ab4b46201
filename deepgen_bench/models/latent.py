"""Base of models with a latent variable: networks between it and the data, and sampling through them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.models.deep import OnePassModel
from deepgen_bench.models.networks import MLP, ConvDown, ConvUp
from deepgen_bench.training.replicate_rng import ReplicateRNG


class DecoderModel(OnePassModel):
    """A model whose samples are made from latent variables z ~ N(0, I); settings are `DecoderSettings`."""

    def __init__(self, settings: Any, spec: DataSpec, device: str = "cpu"):
        super().__init__(settings, spec, device)
        self.looped = settings.network != "mlp"

    @property
    def latent_dim(self) -> int:
        return self.settings.latent_dim

    def down(self, outputs: int, generators: Sequence[torch.Generator]) -> nn.Module:
        """A network from data to `outputs` numbers (encoder, discriminator, critic)."""
        s = self.settings
        if s.network != "mlp":
            return ConvDown(self.spec.shape, s.channels, s.hidden[0], outputs, generators)
        return MLP(self.spec.dim, s.hidden, outputs, generators, s.activation)

    def up(self, generators: Sequence[torch.Generator], normalise: bool) -> nn.Module:
        """A network from latent variables to data (decoder, generator); `normalise` concerns convolutional ones."""
        s = self.settings
        if s.network == "conv":
            return ConvUp(s.latent_dim, s.channels, self.spec.shape, generators, normalise)
        if s.network == "infogan":
            # its discriminator begins with the channels that its generator ends with
            return ConvUp(s.latent_dim, s.channels // 2, self.spec.shape, generators, normalise, s.hidden[0])
        return MLP(s.latent_dim, s.hidden[::-1], self.spec.dim, generators, s.activation)

    def draw(self, draws: ReplicateRNG, rows: int) -> tuple[Tensor, ...]:
        return (draws.normal(rows, self.settings.latent_dim),)
