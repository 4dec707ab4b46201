"""Modules without a replicate axis, looped over: what each replicate's own module would give."""

import torch
from torch import nn

from deepgen_bench.models.looped import Looped


def make():
    return nn.Sequential(nn.Linear(3, 5), nn.GroupNorm(1, 5), nn.SiLU(), nn.Linear(5, 2))


def test_each_replicate_is_its_own_module():
    before = torch.random.get_rng_state()
    seeds = [4, 5, 9]
    looped = Looped(make, [torch.Generator().manual_seed(seed) for seed in seeds])
    assert torch.equal(torch.random.get_rng_state(), before)
    x = torch.randn(3, 7, 3)
    for place, seed in enumerate(seeds):
        torch.manual_seed(seed)
        own = make()
        expected = own(x[place])
        assert torch.equal(looped(x)[place], expected)
        expected.square().sum().backward()
        looped.zero_grad()
        looped(x).square().sum((1, 2))[place].backward()
        for name, parameter in own.named_parameters():
            gradient = getattr(looped, name.replace(".", "_")).grad
            torch.testing.assert_close(gradient[place], parameter.grad)
            assert not gradient[[i for i in range(3) if i != place]].any()


def test_its_state_has_the_replicate_axis_and_buffers():
    looped = Looped(lambda: nn.BatchNorm1d(4), [torch.Generator().manual_seed(s) for s in range(2)])
    assert {name: tensor.shape[0] for name, tensor in looped.state_dict().items()} == dict.fromkeys(
        ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"), 2
    )
    assert len(list(looped.parameters())) == 2
