"""Settings of normalising flows. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from deepgen_bench.datasets.spec import DataSpec, Support
from deepgen_bench.models.base import Tractable
from deepgen_bench.models.settings import (
    COPIES_OF_PARAMETERS,
    Cost,
    ModelSpec,
    TrainedSettings,
    Width,
    connections,
)
from deepgen_bench.runtime.errors import UserError

# numbers kept for the gradient by each parameter of a layer's maps; 3 to 7 were measured
NUMBERS_PER_MAP_PARAMETER = 15


class FlowSettings(TrainedSettings):
    """A normalising flow of `transforms` layers. Each maps coordinates by parameters that an MLP computes from others.

    `structure: coupling` is RealNVP (Dinh et al. 2017, arXiv 1605.08803) with `transform: affine`, and NSF (C), a
    neural spline flow (Durkan et al. 2019, arXiv 1906.04032), with `spline`; `structure: autoregressive` is MAF
    (Papamakarios et al. 2017, arXiv 1705.07057) and NSF (AR), whose samples take as many passes as there are
    coordinates. All use MLPs with the widths `hidden`, and splines have `bins` pieces. Images are mapped to
    logit(alpha + (1 - 2 alpha) x); `weight_decay` is that of AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101).
    """

    transform: Literal["spline", "affine"] = "spline"
    structure: Literal["coupling", "autoregressive"] = "coupling"
    transforms: Annotated[int, Field(ge=1, le=100)] = 4
    hidden: Annotated[tuple[Width, ...], Field(max_length=8)] = (128,)
    bins: Annotated[int, Field(ge=2, le=256)] = 8
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        if self.precision == "bf16":
            raise UserError("precision: bf16 is too coarse for the maps of a flow; valid here: float32, tf32")

    def cost(self, dim: int, gpu: bool) -> Cost | None:
        # what a layer's network computes for one example
        map_parameters = dim * (3 * self.bins - 1 if self.transform == "spline" else 2)
        multiplications = self.transforms * connections([dim, *self.hidden, map_parameters])
        numbers: float = COPIES_OF_PARAMETERS * multiplications
        if not gpu:
            # a GPU keeps what the gradient needs in its own memory
            numbers += NUMBERS_PER_MAP_PARAMETER * self.batch_size * self.transforms * map_parameters
        return Cost(multiplications, self.batch_size, self.batch_size, depth=self.transforms, numbers=numbers)


FLOW = ModelSpec(FlowSettings, Tractable, "deepgen_bench.models.flow.model:Flow")
