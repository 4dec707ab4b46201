"""Adam in one pass over the parameters, as far as that leaves replicates independent."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Adam, Optimizer

# Numbers in the widest vector register. The fused kernel is five times as fast, but rounds what is left at the end of a
# tensor otherwise, so that the last replicate's numbers would depend on how many there are.
LANES = 16


def adam(parameters: Iterable[nn.Parameter], kind: type[Adam] = Adam, **settings: Any) -> Optimizer:
    """Adam, or another `kind` of it, for stacked parameters (S, …)."""
    every = list(parameters)
    whole = [p for p in every if p.numel() // len(p) % LANES == 0]
    rest = [p for p in every if p.numel() // len(p) % LANES]
    groups = [{"params": whole, "fused": True}, {"params": rest, "foreach": True}]
    return kind([group for group in groups if group["params"]], **settings)
