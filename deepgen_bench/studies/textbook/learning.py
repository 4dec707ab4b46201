"""What the claims train: models on laws of their own, and networks that judge between two fixed laws."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepgen_bench.datasets.base import Splits
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.models.base import Streams, TrainingData
from deepgen_bench.models.networks import MLP
from deepgen_bench.models.replicate import make_model
from deepgen_bench.plugins import MODELS
from deepgen_bench.studies.textbook.claim import Claim
from deepgen_bench.training.optimisers import Adam
from deepgen_bench.training.replicate_rng import ReplicateRNG

Sampler = Callable[[ReplicateRNG, int], Tensor]


def trained(
    claim: Claim, role: str, model: str, settings: dict[str, Any], splits: Splits, replicates: int, budget: int
) -> list[Any]:
    """So many replicates of a registered model, trained together and loaded each by itself."""
    made = MODELS[model].settings(**settings)
    data = TrainingData(splits.train, splits.validation)
    streams = Streams(claim.store.experiment.base_seed, f"theory {claim.name} {role}", model)
    fits = make_model(model, made, splits.spec, "cpu").fit(
        data, list(range(replicates)), streams, budget, lambda done, total, note: None
    )
    loaded = []
    for fit in fits:
        loaded.append(make_model(model, made, splits.spec, "cpu"))
        loaded[-1].load(fit.checkpoints["final"])
    return loaded


def splits_of(x: np.ndarray, held_out: int) -> Splits:
    """Vectors (n, d) as training data, but for two parts of `held_out` examples, for validation and test."""
    spec = DataSpec((x.shape[1],), "continuous")
    return Splits(spec, x[2 * held_out :], x[:held_out], x[held_out : 2 * held_out])


def judges(
    claim: Claim,
    real: Sampler,
    fake: Sampler,
    loss: Callable[[nn.Module, Tensor, Tensor, ReplicateRNG], Tensor],
    *,
    role: str,
    replicates: int,
    steps: int,
    hidden: Sequence[int] = (64, 64),
    batch: int = 256,
    rate: float = 2e-3,
    clip: float | None = None,
    look: Callable[[int, nn.Module], None] | None = None,
    at: Sequence[int] = (),
) -> nn.Module:
    """Networks (S, B, d) → (S, B, 1) that minimise `loss`, (S,), of fresh draws from two laws.

    Adam's rate falls linearly to 0. `look` sees the networks after the steps in `at`. Weights are kept within ± `clip`.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in claim.seeds(f"{role} init", replicates)]
    draws = ReplicateRNG(claim.seeds(f"{role} draws", replicates), "cpu")
    network = MLP(real(ReplicateRNG([0], "cpu"), 1).shape[-1], hidden, 1, generators)
    optimiser = Adam(network.parameters(), rate, (0.5, 0.99))
    for step in range(1, steps + 1):
        optimiser.set_rate(1 - (step - 1) / steps)
        value = loss(network, real(draws, batch), fake(draws, batch), draws)
        optimiser.zero_grad()
        value.sum().backward()
        optimiser.step()
        if clip is not None:
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.clamp_(-clip, clip)
        if look is not None and step in at:
            look(step, network)
    return network


def discriminator_loss(network: nn.Module, real: Tensor, fake: Tensor, draws: ReplicateRNG) -> Tensor:
    """-V(D): minus what the discriminator maximises (Goodfellow et al. 2014, eq. 1); the network gives D's logit."""
    return -F.logsigmoid(network(real)).mean((1, 2)) - F.logsigmoid(-network(fake)).mean((1, 2))


def critic_loss(network: nn.Module, real: Tensor, fake: Tensor, draws: ReplicateRNG) -> Tensor:
    """Minus the critic's reading E f(real) - E f(fake) (Arjovsky et al. 2017, eq. 2)."""
    return network(fake).mean((1, 2)) - network(real).mean((1, 2))


def penalised(weight: float) -> Callable[[nn.Module, Tensor, Tensor, ReplicateRNG], Tensor]:
    """`critic_loss` with the gradient penalty (Gulrajani et al. 2017, eq. 3)."""

    def loss(network: nn.Module, real: Tensor, fake: Tensor, draws: ReplicateRNG) -> Tensor:
        share = draws.uniform(real.shape[1], 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(network(between).sum(), between, create_graph=True)
        return critic_loss(network, real, fake, draws) + weight * (slope.norm(dim=-1) - 1).square().mean(1)

    return loss


def reading(network: nn.Module, real: Tensor, fake: Tensor) -> np.ndarray:
    """E f(real) - E f(fake), (S,), for samples (S, n, d)."""
    with torch.no_grad():
        return (network(real).mean((1, 2)) - network(fake).mean((1, 2))).numpy()


def slopes(network: nn.Module, x: Tensor) -> np.ndarray:
    """The length of the network's gradient at x (S, n, d), (S, n)."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    return gradient.norm(dim=-1).numpy()
