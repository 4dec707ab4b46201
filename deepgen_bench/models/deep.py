"""Base classes of models trained by gradients: data scaling, training of a block of replicates, loading, sampling."""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from deepgen_bench.models.base import GenerativeModel, Streams, TrainingData
from deepgen_bench.runtime.memory import evaluate_in_halves
from deepgen_bench.training.batches import Batches
from deepgen_bench.training.loop import named, train, under
from deepgen_bench.training.optimisers import Optimiser
from deepgen_bench.training.precision import products_in
from deepgen_bench.training.replicate_rng import ReplicateRNG, training_rng
from deepgen_bench.training.result import State, TrainingResult

STAGES = 8
# rows of one forward pass when sampling: a constant of the method, because torch's normal draws depend on the block
# size
SAMPLE_ROWS = 1000


class Networks(nn.Module):
    """The networks of a block, with the shift and scale that bring data to mean 0 and variance about 1.

    One scale for all coordinates, so that distances in scaled units are distances in data units divided by it.
    """

    shift: Tensor
    scale: Tensor
    # the networks by the names they are given; a model has the pair it needs
    encoder: nn.Module
    decoder: nn.Module
    generator: nn.Module
    critic: nn.Module

    def __init__(self, replicates: int, dim: int, **networks: nn.Module):
        super().__init__()
        self.register_buffer("shift", torch.full((replicates, 1, dim), 0.5))
        self.register_buffer("scale", torch.full((replicates, 1, 1), 0.5))
        for name, network in networks.items():
            self.add_module(name, network)

    def fit_scale(self, data: np.ndarray) -> None:
        """Shift and scale of vectors, from the training split."""
        self.shift[:] = torch.as_tensor(data.mean(0), dtype=torch.float32)
        self.scale[:] = float(np.sqrt(data.var(0).mean()))


def staged(done: float) -> float:
    """Factor of the learning rate after this fraction of the budget, in [0, 1): see `TrainedSettings`."""
    stage = bisect_right([(3**i - 1) / (3**STAGES - 1) for i in range(1, STAGES)], done)
    return float(10 ** (-stage / (STAGES - 1)))


class DeepModel(GenerativeModel):
    """A model made of networks and trained by gradients; see `GenerativeModel` for the interface."""

    module: Networks

    #: whether the networks loop over replicates, so that training them together gains nothing
    looped: bool = False

    @abstractmethod
    def build(self, generators: Sequence[torch.Generator]) -> Networks:
        """Freshly initialised networks, one replicate for each generator."""

    @abstractmethod
    def optimisers(self) -> list[Optimiser]:
        """The optimisers of `self.module`'s networks."""

    @abstractmethod
    def step(self) -> dict[str, Tensor]:
        """See `deepgen_bench.training.loop.Trainable`."""

    @abstractmethod
    def validate(self) -> dict[str, Tensor]:
        """See `deepgen_bench.training.loop.Trainable`."""

    @abstractmethod
    def sample_block(self, draws: ReplicateRNG) -> dict[str, np.ndarray]:
        """`SAMPLE_ROWS` samples by output, as stored."""

    @abstractmethod
    def draw_latent(self, draws: ReplicateRNG, rows: int) -> Tensor:
        """Latent variables of samples, N(0, I), (S, rows, Z)."""

    @abstractmethod
    def from_latent(self, z: Tensor) -> Tensor:
        """Samples (S, B, D), in the model's own data units and without noise of their own, from latent z (S, B, Z)."""

    def groups(self, replicates: list[int]) -> list[list[int]]:
        return [[replicate] for replicate in replicates] if self.looped else [replicates]

    def fit(
        self,
        data: TrainingData,
        replicates: list[int],
        streams: Streams,
        budget: int,
        progress: Callable[[int, int, str], None],
    ) -> list[TrainingResult]:
        fits: list[TrainingResult] = []
        for group in self.groups(replicates):
            # a single replicate is trained with a copy of itself: batched products of size one round differently
            twins = 2 * group if len(group) == 1 and not self.looped else group
            fits += self._fit_group(data, twins, streams, budget, progress)[: len(group)]
        return fits

    def _fit_group(
        self,
        data: TrainingData,
        group: list[int],
        streams: Streams,
        budget: int,
        progress: Callable[[int, int, str], None],
    ) -> list[TrainingResult]:
        def seeds(role: str) -> list[int]:
            return [streams.seed(role, replicate) for replicate in group]

        self.module = self.build([torch.Generator().manual_seed(seed) for seed in seeds("init")])
        self.fit_scale(data.train)
        self.module.to(self.device)
        draws_of = training_rng(self.device)
        self.noise, self.indices = (draws_of(seeds(role), self.device) for role in ("noise", "batches"))
        size = self.settings.batch_size
        self.batches = Batches(data.train, self.spec, self.representation, size, self.indices, self.noise)
        # validation figures use the same draws for every replicate and every evaluation
        self.validation_seed = streams.validation_seed()
        draws = ReplicateRNG([self.validation_seed], self.device)
        held_out = Batches(data.validation, self.spec, self.representation, 1, draws, draws)
        self.validation = held_out.all(limit=2000)
        self.active = self.optimisers()
        return train(self, group, max(1, budget // size), size, progress, self.checkpointer)

    def fit_scale(self, train: np.ndarray) -> None:
        """Set the shift and scale of the data; images use 0.5 and 0.5."""
        if self.spec.levels is None:
            self.module.fit_scale(train)

    def begin(self, step: int, left: float) -> None:
        for draws in (self.noise, self.indices):
            draws.begin(step)
        if self.settings.schedule == "constant":
            return
        factor = left if self.settings.schedule == "linear" else staged(1 - left)
        for optimiser in self.active:
            optimiser.set_rate(factor)

    def autocast(self) -> AbstractContextManager[None]:
        return products_in(self.settings.precision, self.device)

    def training_state(self) -> dict[str, Tensor]:
        # learning rates follow from the step, and gradients are computed again in each
        state = named("module.", self.module.state_dict())
        for i, optimiser in enumerate(self.active):
            state |= named(f"optimiser_{i}.", optimiser.state_dict())
        return state | {"noise": self.noise.state(), "indices": self.indices.state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.module.load_state_dict(under("module.", state))
        for i, optimiser in enumerate(self.active):
            optimiser.load_state_dict(under(f"optimiser_{i}.", state))
        self.noise.restore(state["noise"])
        self.indices.restore(state["indices"])

    def load(self, state: State) -> None:
        self.module = self.build([torch.Generator()])
        self.module.load_state_dict({name: torch.as_tensor(array) for name, array in state.items()})
        self.module.to(self.device).eval()

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        draws = ReplicateRNG([seed], self.device)
        blocks = [self.sample_block(draws) for _ in range(0, n, SAMPLE_ROWS)]
        outputs = self.settings.outputs(self.spec.support)
        return {output: np.concatenate([block[output] for block in blocks])[:n] for output in outputs}

    def stored(self, x: Tensor) -> np.ndarray:
        """Samples (n, D) on the data's own grid: uint8 grey levels (n, c, h, w), or float64 vectors."""
        if self.spec.levels is None:
            return x.double().cpu().numpy()
        levels = self.spec.levels
        grid = (x * levels).floor() if self.representation == "dequantised" else (x * (levels - 1)).round()
        return grid.clamp(0, levels - 1).to(torch.uint8).reshape(-1, *self.spec.shape).cpu().numpy()


class OnePassModel(DeepModel):
    """A model whose samples are one pass of numbers that are all drawn beforehand."""

    @abstractmethod
    def draw(self, draws: ReplicateRNG, rows: int) -> tuple[Tensor, ...]:
        """All random numbers that `rows` samples are made of, (S, rows, …) each, the latent variables first."""

    @abstractmethod
    def generate(self, *drawn: Tensor) -> dict[str, Tensor]:
        """Samples (S, B, D) in the model's own data units from what was drawn for B of them, by output."""

    def draw_latent(self, draws: ReplicateRNG, rows: int) -> Tensor:
        return self.draw(draws, rows)[0]

    def from_latent(self, z: Tensor) -> Tensor:
        _, *rest = self.draw(ReplicateRNG([0] * len(z), self.device), z.shape[1])
        outputs = self.generate(z, *rest)
        return outputs.get("mean", next(iter(outputs.values())))

    def sample_block(self, draws: ReplicateRNG) -> dict[str, np.ndarray]:
        drawn = self.draw(draws, SAMPLE_ROWS)

        def stored(rows: slice) -> dict[str, np.ndarray]:
            outputs = self.generate(*(part[:, rows] for part in drawn))
            return {output: self.stored(x[0]) for output, x in outputs.items()}

        pieces = evaluate_in_halves(stored, SAMPLE_ROWS)
        return {output: np.concatenate([piece[output] for piece in pieces]) for output in pieces[0]}
