"""Normalising flows: an invertible network takes data to N(0, I), and the change of variables gives exact log p(x)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zuko.distributions import DiagNormal
from zuko.flows import Flow as ZukoFlow
from zuko.flows import GeneralCouplingTransform, LazyTransform, MaskedAutoregressiveTransform, UnconditionalDistribution
from zuko.nn import Linear, MaskedLinear
from zuko.transforms import MonotonicRQSTransform, Transform

from deepgen_bench.models.deep import SAMPLE_ROWS, Networks, OnePassModel
from deepgen_bench.runtime.memory import evaluate_in_blocks, evaluate_in_halves
from deepgen_bench.training.optimisers import LANES, Adam, Optimiser
from deepgen_bench.training.replicate_rng import ReplicateRNG
from deepgen_bench.training.result import State

# values of the noise in each grey level by which dequantised images are scaled
NODES = 256


class StackedLinear(Linear):  # type: ignore[misc]
    """Zuko's layer with weights (S, out, in) and biases (S, 1, out), for inputs (S, B, in)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight.mT)


class StackedMaskedLinear(MaskedLinear):  # type: ignore[misc]
    """The same for masked layers; all replicates have the same mask."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, (self.mask * self.weight).mT)


class Spline(MonotonicRQSTransform):  # type: ignore[misc]
    """Zuko's rational-quadratic spline (Durkan et al. 2019, arXiv 1906.04032), with a softmax that for few bins takes a
    tenth of the time on a CPU, which saves a quarter of a training step on images."""

    def __init__(self, widths: Tensor, heights: Tensor, derivatives: Tensor, bound: float = 5.0, slope: float = 1e-3):
        Transform.__init__(self)
        limit = -math.log(slope)
        self.horizontal, self.vertical = (
            bound * (2 * F.pad(softmax(sizes / (1 + 2 * sizes.abs() / limit)).cumsum(-1), (1, 0)) - 1)
            for sizes in (widths, heights)
        )
        self.derivatives = F.pad(derivatives / (1 + derivatives.abs() / limit), (1, 1)).exp()


def softmax(x: Tensor) -> Tensor:
    """Over the last dimension of x (…, D, K). Torch's loops run along a dimension, be it that one or another."""
    return x.softmax(-1) if x.shape[-1] >= LANES else x.transpose(-1, -2).softmax(-2).transpose(-1, -2)


def flow_of_one(settings: Any, dim: int) -> ZukoFlow:
    """Zuko's flow, initialised from torch's global generator, which chooses nothing but parameters."""
    options: dict[str, Any] = {"hidden_features": settings.hidden}
    if settings.transform == "spline":
        # on [-5, 5], the identity beyond; affine maps are the library's default
        k = settings.bins
        options |= {"univariate": Spline, "shapes": [(k,), (k,), (k - 1,)]}
    layers: list[LazyTransform] = []
    order, shuffles = torch.arange(dim), torch.Generator().manual_seed(0)
    for i in range(settings.transforms):
        # an order of the coordinates, then its reverse: what one layer leaves as it is, the next maps
        if i:
            order = dim - 1 - order if i % 2 else torch.randperm(dim, generator=shuffles)
        if settings.structure == "coupling":
            layers.append(GeneralCouplingTransform(dim, mask=order < dim // 2, **options))
        else:
            layers.append(MaskedAutoregressiveTransform(dim, order=order, **options))
    base = UnconditionalDistribution(DiagNormal, torch.zeros(dim), torch.ones(dim), buffer=True)
    return ZukoFlow(layers, base)


def side_by_side(flows: Sequence[ZukoFlow]) -> ZukoFlow:
    """One flow with the stacked parameters of S flows that differ in nothing else; it takes x (S, B, D)."""
    parameters = [dict(flow.named_parameters()) for flow in flows]
    for path, module in flows[0].named_modules():
        kind = next((kind for kind in STACKED if isinstance(module, kind)), None)
        for name, _ in list(module.named_parameters(recurse=False)):
            stacked = torch.stack([own[f"{path}.{name}"].detach() for own in parameters])
            # all tensors except weights have an axis for the examples
            setattr(module, name, nn.Parameter(stacked if kind and name == "weight" else stacked.unsqueeze(1)))
        for name, buffer in list(module.named_buffers(recurse=False)):
            # common to all replicates, and not part of their states
            module.register_buffer(name, buffer, persistent=False)
        if kind:
            module.__class__ = STACKED[kind]
    return flows[0]


STACKED = {MaskedLinear: StackedMaskedLinear, Linear: StackedLinear}


class Flows(nn.Module):
    """S flows between scaled data and N(0, I): log densities (S, B) of x (S, B, D), or x from the normal's.

    Each replicate has parameters, and an order of the coordinates, from its own generator.
    """

    order: Tensor

    def __init__(self, settings: Any, dim: int, generators: Sequence[torch.Generator]):
        super().__init__()
        self.register_buffer("order", torch.stack([torch.randperm(dim, generator=g)[None] for g in generators]))
        flows = []
        with torch.random.fork_rng(devices=[]):
            for generator in generators:
                torch.manual_seed(generator.initial_seed())
                flows.append(flow_of_one(settings, dim))
        self.flow = side_by_side(flows)

    def forward(self, x: Tensor, inverse: bool = False) -> Tensor:
        flow = self.flow()
        if inverse:
            return flow.transform.inv(x).gather(-1, self.order.argsort(-1).expand_as(x))
        return flow.log_prob(x.gather(-1, self.order.expand_as(x)))


class FlowNetworks(Networks):
    """The flows, and a shift and scale for each coordinate."""

    flow: Flows

    def __init__(self, replicates: int, dim: int, flow: Flows):
        super().__init__(replicates, dim, flow=flow)
        self.scale = self.scale.repeat(1, 1, dim)


class Flow(OnePassModel):
    """Maximum likelihood of a coupling or autoregressive flow of affine maps or splines; see `FlowSettings`.

    Images are dequantised and taken to the real line by y = logit(α + (1 - 2α) x) (Dinh et al. 2017, section 4.1). The
    little mass that the density has beyond [0, 1)^D becomes grey levels at the ends.
    """

    module: FlowNetworks
    representation = "dequantised"

    def build(self, generators: Sequence[torch.Generator]) -> FlowNetworks:
        return FlowNetworks(len(generators), self.spec.dim, Flows(self.settings, self.spec.dim, generators))

    def fit_scale(self, train: np.ndarray) -> None:
        """Mean and standard deviation of each coordinate, where the flow acts."""
        moments = [train, train**2]
        if self.spec.levels is not None:
            # of each grey level, over the noise of the dequantisation
            noise = (np.arange(NODES) + 0.5) / NODES
            x = torch.as_tensor(np.arange(self.spec.levels)[:, None] + noise) / self.spec.levels
            y = self.squeezed(x).logit().numpy()
            moments = [(y**power).mean(1)[train] for power in (1, 2)]
        mean, square = (moment.reshape(len(train), -1).mean(0) for moment in moments)
        self.module.shift[:] = torch.as_tensor(mean)
        self.module.scale[:] = torch.as_tensor(np.sqrt(square - mean**2))

    def optimisers(self) -> list[Optimiser]:
        s = self.settings
        return [Adam(self.module.parameters(), s.learning_rate, weight_decay=s.weight_decay)]

    def squeezed(self, x: Tensor) -> Tensor:
        return self.settings.alpha + (1 - 2 * self.settings.alpha) * x

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) in data units, (S, B) for x (S, B, D). Nats per example."""
        log_jacobian = -self.module.scale.log().sum(-1)
        if self.spec.levels is not None:
            p = self.squeezed(x)
            # not `logit`, which rounds by place in the tensor
            ones, zeros = p.log(), (1 - p).log()
            x = ones - zeros
            log_jacobian = log_jacobian + (math.log(1 - 2 * self.settings.alpha) - ones - zeros).sum(-1)
        return self.module.flow((x - self.module.shift) / self.module.scale) + log_jacobian

    def step(self) -> dict[str, Tensor]:
        loss = -self.log_density(self.batches.next()).mean(1)
        self.active[0].zero_grad()
        loss.sum().backward()
        self.active[0].step()
        return {"loss": loss.detach()}

    def validate(self) -> dict[str, Tensor]:
        x = self.validation.expand(len(self.module.shift), -1, -1)
        values = evaluate_in_halves(lambda rows: self.log_density(x[:, rows]), x.shape[1])
        return {"validation_score": -torch.cat(values, 1).mean(1)}

    def load(self, state: State) -> None:
        super().load(state)
        # rounding grows from layer to layer, and images must not be rounded to the next grey level
        self.module.double()

    def draw(self, draws: ReplicateRNG, rows: int) -> tuple[Tensor, ...]:
        return (draws.normal(rows, self.spec.dim),)

    def generate(self, *drawn: Tensor) -> dict[str, Tensor]:
        y = self.module.shift + self.module.scale * self.module.flow(drawn[0].to(self.module.scale), inverse=True)
        if self.spec.levels is None:
            return {"": y}
        return {"": (y.sigmoid() - self.settings.alpha) / (1 - 2 * self.settings.alpha)}

    @torch.no_grad()
    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density of x (n, D), nats per example (n,); images as dequantised, in [0, 1)."""

        def values(rows: slice) -> np.ndarray:
            return self.log_density(torch.as_tensor(x[rows])[None].to(self.module.scale))[0].cpu().numpy()

        return np.concatenate(evaluate_in_blocks(values, len(x), SAMPLE_ROWS))
