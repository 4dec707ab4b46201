"""Interfaces of models: fitting, loading and sampling, and what each family computes besides. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.runtime.seeds import derive_seed
from deepgen_bench.training.result import State, TrainingResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from deepgen_bench.training.checkpoint import Checkpointer
    from deepgen_bench.training.replicate_rng import ReplicateRNG


@dataclass(frozen=True)
class Streams:
    """Seeds of one (dataset, model) pair, by replicate and role (`init`, `batches`, `noise`, `sample`)."""

    base_seed: int
    dataset: str
    model: str

    def seed(self, role: str, replicate: int) -> int:
        return derive_seed(self.base_seed, role, self.dataset, self.model, replicate)

    def validation_seed(self) -> int:
        """A seed that all models and replicates share, so that scores on validation data use the same draws."""
        return derive_seed(self.base_seed, "validation", self.dataset)


@dataclass(frozen=True)
class TrainingData:
    """Training and validation split as stored: uint8 grey levels (n, c, h, w) or float64 (n, d). Never the test
    split."""

    train: np.ndarray
    validation: np.ndarray


class GenerativeModel(ABC):
    """A generative model on data of one `DataSpec`.

    `settings` is an instance of the model's settings class, `device` is "cpu" or "cuda". A model object either `fit`s a
    block of replicates, or is given one replicate's state by `load` and can then `sample`.
    """

    #: how images become training data for a likelihood: "dequantised" or "binarised"; "grey" for models without one
    representation: ClassVar[str] = "grey"

    #: saves and restores the state of a long `fit` of one of the `groups`; None if nothing is saved
    checkpointer: "Checkpointer | None" = None

    def __init__(self, settings: Any, spec: DataSpec, device: str = "cpu"):
        self.settings, self.spec, self.device = settings, spec, device

    def groups(self, replicates: list[int]) -> list[list[int]]:
        """Replicates that are trained together; the groups are trained and written one after the other."""
        return [replicates]

    @abstractmethod
    def fit(
        self,
        data: TrainingData,
        replicates: list[int],
        streams: Streams,
        budget: int,
        progress: Callable[[int, int, str], None],
    ) -> list[TrainingResult]:
        """Train the replicates, each on `budget` examples. `progress(done, total, note)` is called from time to time.

        A replicate's result must not depend on the replicates trained beside it.
        """

    @abstractmethod
    def load(self, state: State) -> None:
        """Load the state of a replicate into this object."""

    @abstractmethod
    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """`n` samples for each of the settings' `outputs`, as stored: uint8 grey levels (n, c, h, w) or float64 (n,
        d)."""


# What a loaded replicate can compute besides samples. A family is a protocol; tensors of networks have a
# leading axis of replicates, here of length 1.


@runtime_checkable
class Tractable(Protocol):
    """A model with an exact density."""

    @property
    def representation(self) -> str: ...

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log p(x), (n,), for x (n, D) in the model's representation, in nats."""


@runtime_checkable
class LatentVariable(Protocol):
    """A model with a decoder p(x|z), z ~ N(0, I) (Z,), and an encoder q(z|x)."""

    @property
    def representation(self) -> str: ...

    @property
    def latent_dim(self) -> int: ...

    device: str

    def encode(self, x: "Tensor") -> "tuple[Tensor, Tensor]":
        """Mean and log variance of q(z|x), each (1, B, Z), for x (1, B, D)."""

    def log_likelihood(self, x: "Tensor", z: "Tensor") -> "Tensor":
        """log p(x|z), (1, B), for x (1, B, D) and z (1, B, Z), in nats."""

    def observation(self) -> "tuple[Callable[[Tensor], Tensor], float | None]":
        """p(x|z): a function from z (m, Z) to the mean of x (m, D), and its standard deviation τ; or to the logits of
        Bernoulli variables, and None."""


@runtime_checkable
class DiffusionProcess(Protocol):
    """A model that denoises in steps; see `models.diffusion.model.Diffusion`."""

    @property
    def representation(self) -> str: ...

    @property
    def steps(self) -> int: ...

    device: str
    module: Any

    def scaled(self, x: "Tensor") -> "Tensor":
        """x (1, n, D) in the units of the network."""

    def velocity(self, z: "Tensor", log_snr: "Tensor") -> "Tensor":
        """v̂ (1, n, D) for z (1, n, D) at a log signal-to-noise ratio."""

    def denoise(self, z: "Tensor", log_snr: "Tensor") -> "Tensor":
        """x̂ (1, n, D), the estimate of E[x|z]."""

    def transitions(self, steps: int) -> "Sequence[Any]":
        """The chain of denoising steps, from noise to data."""


@runtime_checkable
class Implicit(Protocol):
    """A generator, which has a density once noise is added to its samples."""

    @property
    def latent_dim(self) -> int: ...

    device: str

    def generate_mean(self, z: "Tensor") -> "Tensor":
        """Samples (m, D) for z (m, Z), images on the scale of dequantised data."""


@runtime_checkable
class Recorded(Protocol):
    """Log-likelihoods of test examples from a file, in nats, and whether they are exact, lower bounds or estimates."""

    log_likelihoods: np.ndarray | None

    @property
    def representation(self) -> str: ...

    @property
    def bound(self) -> Literal["exact", "lower", "estimate"] | None: ...


FAMILY_NAMES: dict[type, str] = {
    Tractable: "tractable",
    LatentVariable: "latent",
    DiffusionProcess: "diffusion",
    Implicit: "implicit",
    Recorded: "external",
}


@runtime_checkable
class HasLatentSpace(Protocol):
    """A model whose samples are functions of latent variables, which figures show."""

    device: str
    spec: DataSpec

    def draw_latent(self, rng: "ReplicateRNG", rows: int) -> "Tensor":
        """Latent variables of so many samples, N(0, I), (1, rows, Z)."""

    def from_latent(self, z: "Tensor") -> "Tensor":
        """Samples (1, B, D) without noise of their own for latent variables z (1, B, Z)."""

    def stored(self, x: "Tensor") -> np.ndarray:
        """Samples (n, D) as stored: uint8 grey levels (n, c, h, w) or float64 (n, D)."""
