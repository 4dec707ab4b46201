"""What the workflow knows of a model without importing it: settings, family, role and cost. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from deepgen_bench.datasets.spec import DataSpec, Support
from deepgen_bench.models.base import FAMILY_NAMES, Implicit, LatentVariable
from deepgen_bench.plugins import Settings
from deepgen_bench.runtime.errors import UserError

Width = Annotated[int, Field(ge=1, le=8192)]
UnitInterval = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class ModelSpec:
    """What is registered of a model.

    `family` is the protocol in `models.base` that says what can be computed (Goodfellow 2016, arXiv 1701.00160, figure
    9): `Tractable`, `LatentVariable`, `DiffusionProcess`, `Implicit` or `Recorded`; None for real data.
    `implementation` is the `module:Class` of a `GenerativeModel`. `role` is "oracle" for real data in the place of a
    model, which tables never rank. With `samples_from_files` nothing is trained, and what it cost is unknown.
    """

    settings: type["ModelSettings"]
    family: type | None
    implementation: str
    role: Literal["model", "oracle"] = "model"
    samples_from_files: bool = False

    @property
    def family_name(self) -> str:
        return FAMILY_NAMES[self.family] if self.family else self.role

    @property
    def trained(self) -> bool:
        """Whether the model is trained here, so that its cost is known."""
        return self.role == "model" and not self.samples_from_files

    @property
    def uses_device(self) -> bool:
        """Whether it runs on a GPU if there is one: networks do, classical densities do not."""
        return self.family in (LatentVariable, Implicit) or issubclass(self.settings, TrainedSettings)


@dataclass(frozen=True)
class Cost:
    """Operations and memory of a model's jobs on data of some dimension, for the resources that they ask for.

    `multiplications` are those of one example's pass through all networks. In an update `rows` examples or draws of
    each replicate pass through them, `updates` times for each batch, in `depth` steps that wait for each other.
    `passes` through the networks give all kinds of a sample. `numbers` in float32 are kept for each replicate trained
    at once, `shared_numbers` for one replicate at a time.
    """

    multiplications: float
    rows: float
    batch_size: int
    updates: int = 1
    depth: int = 1
    passes: int = 1
    numbers: float = 0
    shared_numbers: float = 0


# parameters, gradients, two moments, and the states of the best and the last checkpoint
COPIES_OF_PARAMETERS = 6


class ModelSettings(Settings):
    """Settings of a model. Subclasses override what differs from a model that fits in constant time and memory."""

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        """Raise `UserError` if the model cannot be trained on data with this support. `spec` is given once the data
        have been read."""

    def outputs(self, support: Support) -> tuple[str, ...]:
        """Kinds of a sample: ("",) unless it can be a draw from p(x|z) or the decoder's mean, or a model has several
        samplers. The model is ranked by the last."""
        return ("",)

    def cost(self, dim: int, gpu: bool) -> Cost | None:
        """Cost of the jobs on data with `dim` numbers per example; None if it is negligible."""
        return None

    def memory_settings(self) -> list[str]:
        """Names of the settings that decide how much memory a training needs."""
        return []

    def sources(self, seed: int) -> list[Path] | None:
        """The user's own files and folders that a replicate consists of, whose content is part of its identity; None
        for models that are trained."""
        return None

    def check_files(self, seeds: Sequence[int], support: Support) -> None:
        """Raise `UserError` for `sources` that are missing or, by their headers, unusable; called before data are
        read."""

    def check_contents(self, seeds: Sequence[int], spec: DataSpec, n: int) -> None:
        """Raise `UserError` for `sources` that do not fit the data, of which `n` test examples have likelihoods."""


class TrainedSettings(ModelSettings):
    """Settings of all models trained by gradients.

    With `schedule: linear` learning rates fall to zero over the budget; with `staged` they are 10^(-i/7) times their
    first value in the i-th of eight stages, each three times as long as the one before (Burda et al. 2016, section 5).
    `precision` is that of the products in training steps; validation, sampling and measuring always use float32. On a
    CPU `tf32` is float32.
    """

    batch_size: Annotated[int, Field(ge=2, le=65536)] = 128
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "linear", "staged"] = "linear"
    precision: Literal["float32", "tf32", "bf16"] = "float32"

    def memory_settings(self) -> list[str]:
        width = "channels" if getattr(self, "network", "mlp") != "mlp" else "hidden"
        return [name for name in ("batch_size", width) if name in type(self).model_fields]


class DecoderSettings(TrainedSettings):
    """Settings of all models with networks from and to a latent variable.

    `hidden` are the widths of an MLP, data side first, each layer followed by `activation`. A convolutional network
    takes the first as the width of its linear layer, and `channels` as its narrowest width. InfoGAN's networks (Chen et
    al. 2016, arXiv 1606.03657, table 1) are `infogan` with 64 channels and a width of 1024.
    """

    network: Literal["mlp", "conv", "infogan"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(max_length=8)] = (128, 128)
    activation: Literal["leaky_relu", "tanh"] = "leaky_relu"
    channels: Width = 32
    latent_dim: Width = 2

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        if self.network != "mlp" and support == "continuous":
            raise UserError(f"network: {self.network} needs images, the dataset holds vectors; valid here: mlp")
        if self.network != "mlp" and not self.hidden:
            raise UserError(f"hidden: empty, and {self.network} has a linear layer; valid: its width")
        if self.network != "mlp" and spec is not None:
            check_sides(self.network, spec)

    def cost(self, dim: int, gpu: bool) -> Cost | None:
        multiplications = self.multiplications(dim)
        return Cost(multiplications, self.batch_size, self.batch_size, numbers=COPIES_OF_PARAMETERS * multiplications)

    def multiplications(self, dim: int) -> float:
        """Multiplications of one example's pass to the latent variable and back, about the number of weights."""
        widths = [dim, *self.hidden, self.latent_dim]
        if self.network == "mlp":
            return 2 * connections(widths)
        # two layers of 4 × 4 filters that halve each side, with `channels` and twice as many
        convolutions = dim / 4 * 16 * self.channels + dim / 16 * 16 * 2 * self.channels**2
        widths[0] = round(dim / 16 * 2 * self.channels)
        return 2 * (convolutions + connections(widths))


def check_sides(network: str, spec: DataSpec) -> None:
    """Raise `UserError` for images that a network which halves their sides twice cannot take."""
    if any(side % 4 for side in spec.shape[1:]):
        raise UserError(
            f"network: {network} needs height and width divisible by 4, found {spec.shape[1:]}; valid here: mlp"
        )


def connections(widths: Sequence[int]) -> int:
    """Number of weights of an MLP with these widths."""
    return sum(a * b for a, b in zip(widths, widths[1:], strict=False))
