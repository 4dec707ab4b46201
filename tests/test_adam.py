"""Adam's fused kernel, where it leaves replicates independent, is the same algorithm."""

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW

from deepgen_bench.training.adam import LANES, adam

SHAPES = [(1,), (3, 5), (LANES,), (4, 8), (1, 200), (7, 16)]


def stepped(make, replicates, steps=20):
    """Parameters of all shapes after some steps along the same gradients."""
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(7, *shape, generator=generator) for shape in SHAPES]
    gradients = [[torch.randn(7, *shape, generator=generator) for shape in SHAPES] for _ in range(steps)]
    parameters = [nn.Parameter(start[replicates].clone()) for start in starts]
    optimiser = make(parameters)
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient[replicates].clone()
        optimiser.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize(("kind", "settings"), [(Adam, {"betas": (0.5, 0.999)}), (AdamW, {"weight_decay": 0.1})])
def test_it_is_the_same_algorithm(kind, settings):
    ours = stepped(lambda parameters: adam(parameters, kind, lr=0.01, **settings), slice(0, 7))
    plain = stepped(lambda parameters: kind(parameters, lr=0.01, foreach=False, **settings), slice(0, 7))
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("replicates", [slice(0, 2), slice(5, 7), slice(1, 4), slice(6, 7)])
def test_a_replicate_has_the_same_bits_among_others(replicates):
    all_of_them = stepped(lambda parameters: adam(parameters, lr=0.01), slice(0, 7))
    some = stepped(lambda parameters: adam(parameters, lr=0.01), replicates)
    assert all(torch.equal(a[replicates], b) for a, b in zip(all_of_them, some, strict=True))


def test_no_parameter_is_left_out():
    parameters = [nn.Parameter(torch.zeros(2, *shape)) for shape in SHAPES]
    groups = adam(parameters, lr=0.01).param_groups
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(map(id, parameters))
    assert [bool(group["fused"]) for group in groups] == [True, False]
    assert len(adam([parameters[2]], lr=0.01).param_groups) == 1
