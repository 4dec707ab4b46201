"""Training inside claims: registered models on the claim's data, and discriminators between two distributions."""

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
from deepgen_bench.studies.study import Study
from deepgen_bench.training.optimisers import Adam
from deepgen_bench.training.replicate_rng import ReplicateRNG

# draws n examples for each replicate, (S, n, d)
Sampler = Callable[[ReplicateRNG, int], Tensor]
# of the network, real and generated examples (S, B, d) and a random generator, for each replicate (S,)
Loss = Callable[[nn.Module, Tensor, Tensor, ReplicateRNG], Tensor]


def train_models(
    study: Study, role: str, model: str, settings: dict[str, Any], splits: Splits, replicates: int, budget: int
) -> list[Any]:
    """Train replicates of a registered model together, each on `budget` examples, and load each into a model."""
    model_settings = MODELS[model].settings(**settings)
    data = TrainingData(splits.train, splits.validation)
    streams = Streams(study.context.base_seed, f"{study.stream} {study.label} {role}", model)
    results = make_model(model, model_settings, splits.spec, "cpu").fit(
        data, list(range(replicates)), streams, budget, lambda done, total, note: None
    )
    models = []
    for result in results:
        models.append(make_model(model, model_settings, splits.spec, "cpu"))
        models[-1].load(result.checkpoints["final"])
    return models


def split_vectors(x: np.ndarray, held_out: int) -> Splits:
    """Split vectors (n, d) into training data and two parts of `held_out` examples, for validation and test."""
    spec = DataSpec((x.shape[1],), "continuous")
    return Splits(spec, x[2 * held_out :], x[:held_out], x[held_out : 2 * held_out])


def train_discriminators(
    study: Study,
    real: Sampler,
    fake: Sampler,
    loss: Loss,
    *,
    role: str,
    replicates: int,
    steps: int,
    hidden: Sequence[int] = (64, 64),
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    clip: float | None = None,
    callback: Callable[[int, nn.Module], None] | None = None,
    callback_steps: Sequence[int] = (),
) -> nn.Module:
    """Train networks (S, B, d) → (S, B, 1) to minimise `loss` of new draws from two distributions in each step.

    The learning rate of Adam decreases linearly to 0. `clip` bounds the absolute value of all weights. `callback` is
    called with the number of steps and the networks after each of `callback_steps`.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in study.seeds(f"{role} init", replicates)]
    rng = ReplicateRNG(study.seeds(f"{role} draws", replicates), "cpu")
    network = MLP(real(ReplicateRNG([0], "cpu"), 1).shape[-1], hidden, 1, generators)
    optimiser = Adam(network.parameters(), learning_rate, (0.5, 0.99))
    for step in range(1, steps + 1):
        optimiser.set_rate(1 - (step - 1) / steps)
        value = loss(network, real(rng, batch_size), fake(rng, batch_size), rng)
        optimiser.zero_grad()
        value.sum().backward()
        optimiser.step()
        if clip is not None:
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.clamp_(-clip, clip)
        if callback is not None and step in callback_steps:
            callback(step, network)
    return network


def discriminator_loss(network: nn.Module, real: Tensor, fake: Tensor, rng: ReplicateRNG) -> Tensor:
    """-V(D), minus the discriminator's objective (Goodfellow et al. 2014, eq. 1); the network returns logits."""
    return -F.logsigmoid(network(real)).mean((1, 2)) - F.logsigmoid(-network(fake)).mean((1, 2))


def critic_loss(network: nn.Module, real: Tensor, fake: Tensor, rng: ReplicateRNG) -> Tensor:
    """E f(fake) - E f(real), the negative of the critic's estimate of W1 (Arjovsky et al. 2017, eq. 2)."""
    return network(fake).mean((1, 2)) - network(real).mean((1, 2))


def penalised_critic_loss(weight: float) -> Loss:
    """`critic_loss` with the gradient penalty (Gulrajani et al. 2017, eq. 3)."""

    def loss(network: nn.Module, real: Tensor, fake: Tensor, rng: ReplicateRNG) -> Tensor:
        share = rng.uniform(real.shape[1], 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(network(between).sum(), between, create_graph=True)
        return critic_loss(network, real, fake, rng) + weight * (gradient.norm(dim=-1) - 1).square().mean(1)

    return loss


def critic_estimate(network: nn.Module, real: Tensor, fake: Tensor) -> np.ndarray:
    """E f(real) - E f(fake), the critic's estimate of W1 (S,), for samples (S, n, d)."""
    with torch.no_grad():
        return (network(real).mean((1, 2)) - network(fake).mean((1, 2))).numpy()


def gradient_norms(network: nn.Module, x: Tensor) -> np.ndarray:
    """The norm of the network's gradient at x (S, n, d), (S, n)."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    return gradient.norm(dim=-1).numpy()
