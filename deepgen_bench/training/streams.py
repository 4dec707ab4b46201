"""Random draws of a block of replicates: every replicate from its own generators."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Draws:
    """Stacked draws (S, …), slice s from generator s: a replicate's stream does not depend on its neighbours."""

    def __init__(self, seeds: Sequence[int], device: str):
        self.device = device
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def state(self) -> Tensor:
        """Where the generators are in their streams, bytes (S, n)."""
        return torch.stack([generator.get_state() for generator in self.generators])

    def restore(self, state: Tensor) -> None:
        """Go on from a `state`."""
        for generator, own in zip(self.generators, state, strict=True):
            # a copy, because torch reads beyond a tensor that does not begin where its storage does
            generator.set_state(own.clone())

    def normal(self, *shape: int) -> Tensor:
        """Standard normal (S, *shape), float32."""
        draws = torch.empty(len(self.generators), *shape, device=self.device)
        for part, generator in zip(draws, self.generators, strict=True):
            part.normal_(generator=generator)
        return draws

    def uniform(self, *shape: int) -> Tensor:
        """Uniform on [0, 1), (S, *shape), float32."""
        draws = torch.empty(len(self.generators), *shape, device=self.device)
        for part, generator in zip(draws, self.generators, strict=True):
            part.uniform_(generator=generator)
        return draws

    def indices(self, high: int, count: int) -> Tensor:
        """Integers (S, count) uniform on 0 … high - 1."""
        draws = torch.empty(len(self.generators), count, dtype=torch.int64, device=self.device)
        for part, generator in zip(draws, self.generators, strict=True):
            part.random_(0, high, generator=generator)
        return draws
