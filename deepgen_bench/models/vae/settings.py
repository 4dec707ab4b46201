"""Settings of variational autoencoders. Imports no torch."""

from dataclasses import replace
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from deepgen_bench.datasets.spec import DataSpec, Support
from deepgen_bench.models.base import LatentVariable
from deepgen_bench.models.settings import Cost, DecoderSettings, ModelSpec
from deepgen_bench.runtime.errors import UserError


class VAESettings(DecoderSettings):
    """`tau` is the standard deviation of the Gaussian decoder in data units, `samples` is k of the ELBO or the IWAE
    bound, `epsilon` is Adam's.

    A learned tau starts at `initial_tau`, in units of the data's standard deviation (for images, of half their range).
    At 1 the decoder explains the data without z, and the posterior collapses (Lucas et al. 2019, arXiv 1911.02469).
    """

    decoder: Literal["gaussian", "bernoulli"] = "gaussian"
    tau: PositiveFloat | Literal["learned"] = "learned"
    initial_tau: PositiveFloat = 0.1
    objective: Literal["elbo", "iwae"] = "elbo"
    samples: PositiveInt = 1
    epsilon: PositiveFloat = 1e-8

    def outputs(self, support: Support) -> tuple[str, ...]:
        # papers show the mean of p(x|z) for images; for vectors it is not a sample of the model
        return ("draw",) if support == "continuous" else ("draw", "mean")

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        super().check(support, spec)
        if self.decoder == "bernoulli" and support == "continuous":
            raise UserError(
                "decoder: bernoulli needs image or binary data, the dataset is unbounded; valid here: gaussian"
            )
        if self.decoder == "gaussian" and support == "binary":
            raise UserError("decoder: gaussian has no density on binary data; valid here: bernoulli")

    def cost(self, dim: int, gpu: bool) -> Cost | None:
        cost = super().cost(dim, gpu)
        assert cost is not None
        # draws of z pass through the decoder, which is about half of the network
        return replace(cost, rows=self.batch_size * (1 + self.samples) / 2)


VAE = ModelSpec(VAESettings, LatentVariable, "deepgen_bench.models.vae.model:VAE")
