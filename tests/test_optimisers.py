"""Optimisers in functional forms, fused where that leaves replicates independent, are torch's own algorithms."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from deepgen_bench.training.optimisers import LANES, Adam, RMSprop

SHAPES = [(1,), (3, 5), (LANES,), (4, 8), (1, 200), (7, 16)]
TORCHS = {
    Adam: lambda parameters: torch.optim.Adam(parameters, lr=0.01, betas=(0.5, 0.999), foreach=False),
    RMSprop: lambda parameters: torch.optim.RMSprop(parameters, lr=0.01, foreach=False),
}
OURS = {
    Adam: lambda parameters: Adam(parameters, 0.01, (0.5, 0.999)),
    RMSprop: lambda parameters: RMSprop(parameters, 0.01),
}


def stepped(make, replicates=slice(0, 7), steps=20, between=lambda optimiser, step: None):
    """Parameters of all shapes after some steps along the same gradients."""
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(7, *shape, generator=generator) for shape in SHAPES]
    gradients = [[torch.randn(7, *shape, generator=generator) for shape in SHAPES] for _ in range(steps)]
    parameters = [nn.Parameter(start[replicates].clone()) for start in starts]
    optimiser = make(parameters)
    for step, of_step in enumerate(gradients):
        optimiser = between(optimiser, step) or optimiser
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = gradient[replicates].clone()
        optimiser.step()
    return [parameter.detach() for parameter in parameters]


def assert_close(ours, plain):
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Adam, RMSprop])
def test_it_is_the_same_algorithm(kind):
    assert_close(stepped(OURS[kind]), stepped(TORCHS[kind]))


def test_weight_decay_is_adamws():
    ours = stepped(lambda parameters: Adam(parameters, 0.01, weight_decay=0.1))
    assert_close(ours, stepped(lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)))


def test_the_rate_of_every_parameter_can_be_set():
    def ours(optimiser, step):
        optimiser.set_rate(1 - step / 20)

    def torchs(optimiser, step):
        for group in optimiser.param_groups:
            group["lr"] = 0.01 * (1 - step / 20)

    assert_close(stepped(OURS[Adam], between=ours), stepped(TORCHS[Adam], between=torchs))


@pytest.mark.parametrize("kind", [Adam, RMSprop])
@pytest.mark.parametrize("replicates", [slice(0, 2), slice(5, 7), slice(1, 4), slice(6, 7)])
def test_a_replicate_has_the_same_bits_among_others(kind, replicates):
    some = stepped(OURS[kind], replicates)
    assert all(torch.equal(a[replicates], b) for a, b in zip(stepped(OURS[kind]), some, strict=True))


@pytest.mark.parametrize("kind", [Adam, RMSprop])
def test_another_goes_on_from_a_state_with_the_same_bits(kind):
    def replaced(optimiser, step):
        if step != 7:
            return None
        other = OURS[kind](optimiser.parameters)
        other.load_state_dict({name: tensor.clone() for name, tensor in optimiser.state_dict().items()})
        return other

    assert all(map(torch.equal, stepped(OURS[kind]), stepped(OURS[kind], between=replaced)))


def test_what_is_not_trained_stays_as_it_is():
    fixed, free = nn.Parameter(torch.zeros(2, 3), requires_grad=False), nn.Parameter(torch.zeros(2, 3))
    optimiser = Adam([fixed, free], 0.01)
    free.grad = torch.ones(2, 3)
    optimiser.step()
    assert not fixed.any()
    assert free.all()
    optimiser.zero_grad()
    assert free.grad is None


def test_no_compiler_is_imported():
    """It takes more than a second of every job."""
    code = (
        "import sys, torch; from deepgen_bench.training.optimisers import *; p = torch.ones(2, 16).requires_grad_();"
        "[(o.zero_grad(), (p * p).sum().backward(), o.step()) for o in (Adam([p], 0.1), RMSprop([p], 0.1))];"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
