"""Stacks modules of other libraries, which have no replicate axis."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from deepgen_bench.models.networks import stacked


class Looped(nn.Module):
    """(S, …) → (S, …) by `make`'s module, called for one replicate after the other with its own parameters and buffers.

    Each replicate's is initialised from its own generator. Their tensors are stacked and named as in the module, with
    "_" for "."; any other state of the module must be the same for all, and training and evaluation must not differ.
    """

    def __init__(self, make: Callable[[], nn.Module], generators: Sequence[torch.Generator]):
        super().__init__()
        modules = []
        # libraries draw from torch's global generator
        with torch.random.fork_rng(devices=[]):
            for generator in generators:
                torch.manual_seed(generator.initial_seed())
                modules.append(make())
        self.names: dict[str, str] = {}
        for name, first in [*modules[0].named_parameters(), *modules[0].named_buffers()]:
            own = self.names[name] = name.replace(".", "_")
            stacked = torch.stack([module.state_dict()[name] for module in modules])
            if isinstance(first, nn.Parameter):
                self.register_parameter(own, nn.Parameter(stacked))
            else:
                self.register_buffer(own, stacked)
        # in a list, so that its parameters are not registered as this module's
        self.skeleton = [modules[0]]

    def forward(self, *inputs: Tensor, **options: Any) -> Tensor:
        tensors = {name: getattr(self, own).unbind() for name, own in self.names.items()}
        results = []
        for replicate, parts in enumerate(zip(*inputs, strict=True)):
            own = {name: each[replicate] for name, each in tensors.items()}
            results.append(functional_call(self.skeleton[0], own, parts, options))
        return stacked(results)
