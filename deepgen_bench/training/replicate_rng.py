"""Random draws of a block of replicates: every replicate from its own generators."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# steps whose numbers `BufferedReplicateRNG` draws at once
AHEAD = 16

# fills a replicate's part of a tensor
Fill = Callable[[Tensor, torch.Generator], object]


class ReplicateRNG:
    """Stacked draws (S, …), slice s from generator s: a replicate's stream does not depend on its neighbours."""

    def __init__(self, seeds: Sequence[int], device: str):
        self.device = device
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def state(self) -> Tensor:
        """States of the generators, bytes (S, n)."""
        return torch.stack([generator.get_state() for generator in self.generators])

    def restore(self, state: Tensor) -> None:
        """Continue from a `state`."""
        for generator, own in zip(self.generators, state, strict=True):
            # a copy, because torch reads beyond a tensor that does not begin where its storage does
            generator.set_state(own.clone())

    def begin(self, step: int) -> None:
        """Called before each training step, counted from 0."""

    def normal(self, *shape: int) -> Tensor:
        """Standard normal (S, *shape), float32."""
        return self.drawn(lambda part, generator: part.normal_(generator=generator), shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform on [0, 1), (S, *shape), float32."""
        return self.drawn(lambda part, generator: part.uniform_(generator=generator), shape)

    def indices(self, high: int, count: int) -> Tensor:
        """Integers (S, count) uniform on 0 … high - 1."""
        return self.drawn(lambda part, generator: part.random_(0, high, generator=generator), (count,), torch.int64)

    def drawn(self, fill: Fill, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """(S, *shape), each replicate's part filled from its generator."""
        draws = torch.empty(len(self.generators), *shape, dtype=dtype, device=self.device)
        self.refill(draws, fill)
        return draws

    def refill(self, draws: Tensor, fill: Fill) -> None:
        for part, generator in zip(draws, self.generators, strict=True):
            fill(part, generator)


class BufferedReplicateRNG(ReplicateRNG):
    """Random draws of a training on a GPU, for `AHEAD` steps at once, because launching a kernel per replicate in every
    step would take longer than drawing the numbers.

    Every step must ask for the same shapes in the same order. Except in the first step, nothing synchronises with the
    device and no generator is used between two calls of `begin`, so that a step can be a CUDA graph.
    """

    def __init__(self, seeds: Sequence[int], device: str):
        super().__init__(seeds, device)
        # for each draw in a step: how it is drawn, and the numbers (S, AHEAD, …)
        self.ahead: list[tuple[Fill, Tensor]] = []
        self.learning, self.turn, self.left = True, 0, 0
        # the step among those drawn for, where the device can read it
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        self.before = super().state()

    def state(self) -> Tensor:
        """States of the generators before the buffered numbers were drawn; `begin` skips those already used."""
        return self.before if self.left else super().state()

    def restore(self, state: Tensor) -> None:
        super().restore(state)
        self.ahead, self.before = [], state

    def begin(self, step: int) -> None:
        place = step % AHEAD
        if place == 0:
            self.before = super().state()
            for fill, numbers in self.ahead:
                self.refill(numbers, fill)
        self.place.fill_(place)
        self.learning, self.turn, self.left = not self.ahead, 0, AHEAD - 1 - place

    def drawn(self, fill: Fill, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        if self.learning:
            numbers = super().drawn(fill, (AHEAD, *shape), dtype)
            self.ahead.append((fill, numbers))
        else:
            numbers = self.ahead[self.turn][1]
            # during capture a step runs without `begin`
            self.turn = (self.turn + 1) % len(self.ahead)
        return numbers.index_select(1, self.place).squeeze(1)


def training_rng(device: str) -> type[ReplicateRNG]:
    """The class of random draws for training on a device."""
    return BufferedReplicateRNG if device == "cuda" else ReplicateRNG
