"""Adam and RMSprop in torch's functional forms, for stacked parameters whose replicates must not mix.

`torch.optim.Optimizer` is not used because it imports a compiler, which takes longer than many jobs here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop

# Numbers in the widest vector register. Adam's fused kernel is five times as fast, but rounds the remainder at the end
# of a tensor differently, so that the last replicate's numbers would depend on how many there are.
LANES = 16


class Optimiser(ABC):
    """Base class: steps along the gradients of parameters (S, …), at a learning rate that can be set.

    On a GPU the rate and the number of steps are tensors on the device, where a CUDA graph reads them.
    """

    #: names of the moments kept for each parameter, in its shape
    averages: ClassVar[tuple[str, ...]]

    def __init__(self, parameters: Iterable[Tensor], rate: float):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.capturable = self.parameters[0].is_cuda
        self.first_rate = rate
        self.rate = torch.tensor(rate, device=self.parameters[0].device) if self.capturable else rate
        self.state: list[dict[str, Tensor]] = []
        for p in self.parameters:
            kept = {name: torch.zeros_like(p.detach()) for name in self.averages}
            self.state.append({"step": torch.zeros((), device=p.device)} | kept)

    def set_rate(self, factor: float) -> None:
        """Set the learning rate to this multiple of its initial value."""
        if isinstance(self.rate, Tensor):
            self.rate.fill_(self.first_rate * factor)
        else:
            self.rate = self.first_rate * factor

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    @abstractmethod
    def step(self) -> None:
        """One step of all parameters."""

    def kept(self, which: Sequence[int], name: str) -> list[Tensor]:
        return [self.state[i][name] for i in which]

    def gradients(self, which: Sequence[int]) -> list[Tensor]:
        # every parameter contributes to every loss
        gradients = [self.parameters[i].grad for i in which]
        assert all(gradient is not None for gradient in gradients)
        return gradients  # type: ignore[return-value]

    def state_dict(self) -> dict[str, Tensor]:
        """All that a step reads and changes besides the parameters, by the parameter's number and a name."""
        return {f"{i}.{name}": tensor for i, entries in enumerate(self.state) for name, tensor in entries.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980); with `weight_decay` AdamW (Loshchilov & Hutter 2019, arXiv
    1711.05101)."""

    averages = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, rate)
        self.betas, self.epsilon, self.weight_decay = betas, epsilon, weight_decay
        sizes = [p.numel() // len(p) for p in self.parameters]
        self.whole = [i for i, size in enumerate(sizes) if size % LANES == 0]
        self.rest = [i for i, size in enumerate(sizes) if size % LANES]

    @torch.no_grad()
    def step(self) -> None:
        for which, fused in ((self.whole, True), (self.rest, False)):
            if which:
                self.update(which, fused)

    def update(self, which: Sequence[int], fused: bool) -> None:
        adam(
            [self.parameters[i] for i in which],
            self.gradients(which),
            self.kept(which, "exp_avg"),
            self.kept(which, "exp_avg_sq"),
            [],
            self.kept(which, "step"),
            foreach=not fused,
            fused=fused,
            capturable=self.capturable,
            decoupled_weight_decay=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.rate,
            weight_decay=self.weight_decay,
            eps=self.epsilon,
            maximize=False,
        )


class RMSprop(Optimiser):
    """RMSprop (Tieleman & Hinton 2012) with torch's constants: decay 0.99, epsilon 1e-8."""

    averages = ("square_avg",)

    @torch.no_grad()
    def step(self) -> None:
        which = range(len(self.parameters))
        rmsprop(
            [self.parameters[i] for i in which],
            self.gradients(which),
            self.kept(which, "square_avg"),
            [],
            [],
            self.kept(which, "step"),
            foreach=True,
            capturable=self.capturable,
            lr=self.rate,  # type: ignore[arg-type]
            alpha=0.99,
            eps=1e-8,
            weight_decay=0.0,
            momentum=0.0,
            centered=False,
            maximize=False,
        )
