"""Settings of diffusion models. Imports no torch."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from deepgen_bench.datasets.spec import DataSpec, Support
from deepgen_bench.models.base import DiffusionProcess
from deepgen_bench.models.settings import (
    COPIES_OF_PARAMETERS,
    Cost,
    ModelSpec,
    TrainedSettings,
    Width,
    check_sides,
    connections,
)
from deepgen_bench.runtime.errors import UserError

# numbers kept for the gradient by a U-Net for each pixel and channel of its widest layers; 64 were measured
ACTIVATIONS = 80


class DiffusionSettings(TrainedSettings):
    """`hidden` are the widths of an MLP, `channels` those of a U-Net at the full resolution.

    The network's inputs are extended by their sines and cosines at `fourier_features` frequencies. Each example of a
    batch is used at `noise_levels` times. Samples are drawn by the ancestral chain in `steps` steps and by DDIM in
    `ddim_steps`.
    """

    renamed: ClassVar[dict[str, str]] = {"octaves": "fourier_features"}

    network: Literal["mlp", "unet"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(max_length=8)] = (128, 128, 128)
    channels: Width = 32
    fourier_features: Annotated[int, Field(ge=0, le=10)] = 2
    noise_levels: Annotated[int, Field(ge=1, le=1000)] = 4
    steps: Annotated[int, Field(ge=2, le=10_000)] = 250
    ddim_steps: Annotated[int, Field(ge=2, le=10_000)] = 50

    def outputs(self, support: Support) -> tuple[str, ...]:
        # the last is the paper's sampler, whose bound is measured
        return f"ddim_{self.ddim_steps}", f"ancestral_{self.steps}"

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        if support == "binary":
            raise UserError("diffusion has no density on binary data; valid: vectors or images")
        if self.network == "unet" and support == "continuous":
            raise UserError("network: unet needs images, the dataset holds vectors; valid here: mlp")
        if self.network == "unet" and spec is not None:
            check_sides(self.network, spec)

    def cost(self, dim: int, gpu: bool) -> Cost | None:
        rows, passes = self.batch_size * self.noise_levels, self.steps + self.ddim_steps
        if self.network == "unet":
            # kernels of 3 × 3, half of the work at the full resolution; one replicate is trained at a time
            multiplications: float = 115 * dim * self.channels**2
            activations = ACTIVATIONS * rows * dim * self.channels
            return Cost(multiplications, rows, self.batch_size, passes=passes, shared_numbers=activations)
        multiplications = connections([dim * (1 + 2 * self.fourier_features), *self.hidden, dim])
        numbers = COPIES_OF_PARAMETERS * multiplications
        return Cost(multiplications, rows, self.batch_size, passes=passes, numbers=numbers)


DIFFUSION = ModelSpec(DiffusionSettings, DiffusionProcess, "deepgen_bench.models.diffusion.model:Diffusion")
