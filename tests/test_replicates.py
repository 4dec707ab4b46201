"""A replicate's numbers do not depend on the replicates beside it, to the bit; and its layers are torch's own."""

import numpy as np
import pytest
import torch
from torch import nn

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.models.deep import DeepModel
from deepgen_bench.models.networks import BatchNorm, Conv2d, ConvTranspose2d, Linear
from deepgen_bench.models.replicate import make_model
from deepgen_bench.training.replicate_rng import AHEAD, BufferedReplicateRNG, ReplicateRNG

DECODERS = ["vae", "gan", "gan_ns", "wgan", "wgan_gp"]
DEEP = [*DECODERS, "flow"]
# neither aligned in memory nor multiples of a vector register, where kernels treat the rest in another way
RAGGED = {"hidden": (33, 7), "latent_dim": 3, "batch_size": 9, "learning_rate": 1e-3}


def generators(n):
    return [torch.Generator().manual_seed(seed) for seed in range(n)]


def assert_same(fit, other):
    assert fit.checkpoints.keys() == other.checkpoints.keys() and fit.checkpoints
    for checkpoint, state in fit.checkpoints.items():
        for name, array in state.items():
            np.testing.assert_array_equal(array, other.checkpoints[checkpoint][name], f"{checkpoint} {name}")
    assert (fit.curves, fit.best_step) == (other.curves, other.best_step)


CASES = [
    *((model, "gaussian_ring", {"hidden": (32, 32), "batch_size": 32}) for model in DEEP),
    *((model, "digits", {"hidden": (32, 32), "batch_size": 32}) for model in DEEP),
    *((model, "sine_mixture", RAGGED) for model in DECODERS),
    *((model, "digits", RAGGED) for model in ("gan", "wgan_gp")),
    ("vae", "digits", RAGGED | {"decoder": "bernoulli"}),
    ("vae", "gaussian_ring", RAGGED | {"objective": "iwae", "samples": 3}),
    ("flow", "sine_mixture", {"batch_size": 9}),
    *(
        ("flow", dataset, {"hidden": (33, 7), "batch_size": 9, "structure": "coupling", "bins": bins})
        for dataset, bins in (("gaussian_ring", 5), ("digits", 4))
    ),
    ("flow", "digits", {"hidden": (33, 7), "batch_size": 9, "structure": "autoregressive", "transform": "affine"}),
    ("diffusion", "gaussian_ring", {"hidden": (32, 32), "batch_size": 32}),
    *(("diffusion", dataset, {"hidden": (33, 7), "batch_size": 9}) for dataset in ("sine_mixture", "digits")),
]


@pytest.mark.parametrize(("model", "dataset", "settings"), CASES)
def test_seed_3_is_the_same_alone_and_among_others(train_small, model, dataset, settings):
    steps = 8 if dataset == "digits" else 25

    def seed_3(seeds):
        return train_small(model, dataset, seeds, steps, **settings)[seeds.index(3)]

    alone = seed_3([3])
    assert alone.status == "ok"
    for seeds in ([8, 3], [0, 1, 2, 3, 4], [4, 3, 2], [*range(4, 14), 3]):
        assert_same(alone, seed_3(seeds))


@pytest.mark.parametrize(("model", "network"), [*((model, "conv") for model in DECODERS), ("diffusion", "unet")])
def test_a_convolutional_seed_3_is_the_same_alone_and_among_others(train_small, model, network):
    def seed_3(seeds):
        return train_small(model, "digits", seeds, 4, network=network, batch_size=9)[seeds.index(3)]

    alone = seed_3([3])
    for seeds in ([8, 3], [4, 3, 2]):
        assert_same(alone, seed_3(seeds))


@pytest.mark.parametrize("model", ["vae", "gan", "wgan", "wgan_gp"])
def test_a_replicate_s_gradient_is_its_own(small_settings, small_splits, model):
    spec = small_splits("gaussian_ring").spec
    made = make_model(model, small_settings(model), spec, "cpu")
    x, y = torch.randn(3, 16, 2), torch.randn(3, 16, 2)

    def gradients():
        made.module.zero_grad()
        made.noise = ReplicateRNG([5, 6, 7], "cpu")
        loss = made.bound(x, y)[0].mean(1) if model == "vae" else made.critic_loss(x, y)
        assert loss.shape == (3,)
        loss.sum().backward()
        return {name: p.grad.clone() for name, p in made.module.named_parameters() if p.grad is not None}

    made.module = made.build(generators(3))
    before = gradients()
    with torch.no_grad():
        for parameter in made.module.parameters():
            parameter[[0, 2]] += 1.5
        x[[0, 2]] -= 2
    after = gradients()
    for name in before:
        assert torch.equal(before[name][1], after[name][1])
    assert any(not torch.equal(before[name][0], after[name][0]) for name in before)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        *((model, {}) for model in DECODERS),
        ("vae", {"decoder": "bernoulli"}),
        ("vae", {"objective": "iwae", "samples": 3}),
    ],
)
def test_gradients_round_alike_in_every_place_of_a_block(small_settings, model, settings):
    spec = DataSpec((1, 1, 1), "image", 17)
    made = make_model(model, small_settings(model, **RAGGED | settings), spec, "cpu")
    stacked = made.build(generators(11))
    x, noise = (torch.rand(11, 33, 1) < 0.5).float(), torch.randn(11, 33 * settings.get("samples", 1), 3) * 3

    def loss_and_gradients(places):
        made.module = made.build(generators(len(places)))
        made.module.load_state_dict({name: tensor[places] for name, tensor in stacked.state_dict().items()})
        made.noise = ReplicateRNG(places, "cpu")
        if model == "vae":
            loss = made.bound(x[places], noise[places])[0].mean(1)
        else:
            loss = made.critic_loss(x[places], made.generator(noise[places]))
            loss = loss + made.generator_loss(made.critic(made.generator(noise[places])))
        loss.sum().backward()
        gradients = {name: p.grad for name, p in made.module.named_parameters() if p.grad is not None}
        return gradients | {"loss": loss.detach()}

    together = loss_and_gradients(list(range(11)))
    for place in range(11):
        for name, gradient in loss_and_gradients([place, place]).items():
            assert torch.equal(gradient[0], together[name][place]), (place, name)


def poisoned(model: DeepModel, place: int, step: int) -> DeepModel:
    """The model with NaN written into one replicate's weights before one of its steps."""

    class Poisoned(type(model)):  # type: ignore[misc]
        taken = 0

        def step(self):
            self.taken += 1
            if self.taken == step:
                next(self.module.parameters()).data[place] = torch.nan
            return super().step()

    return Poisoned(model.settings, model.spec, model.device)


@pytest.mark.parametrize("model", [*DEEP, "diffusion"])
def test_a_replicate_that_diverges_leaves_the_others_alone(small_settings, small_splits, fit, model):
    splits = small_splits("gaussian_ring")
    made = make_model(model, small_settings(model), splits.spec, "cpu")
    undisturbed = fit(made, splits, [2, 3, 4], 30)
    lost, *others = fit(poisoned(made, 0, 11), splits, [9, 2, 3, 4], 30)
    assert (lost.status, lost.checkpoints) == ("diverged", {})
    assert lost.reason == "loss not finite at step 11 of 30"
    assert (lost.steps, lost.examples, lost.best_step) == (11, 11 * made.settings.batch_size, None)
    for fitted, expected in zip(others, undisturbed, strict=True):
        assert fitted.status == "ok" and fitted.steps == 30
        assert_same(fitted, expected)


def test_a_learning_rate_that_is_too_large_is_a_divergence(train_small):
    for fit in train_small("vae", "gaussian_ring", [0, 1], 200, learning_rate=1e30):
        assert fit.status == "diverged" and not fit.checkpoints
        assert fit.steps < 200 and fit.reason == f"loss not finite at step {fit.steps} of 200"


def test_every_replicate_draws_from_its_own_generators():
    one, three = ReplicateRNG([5], "cpu"), ReplicateRNG([4, 5, 6], "cpu")
    for draw in (lambda d: d.normal(7, 3), lambda d: d.uniform(5), lambda d: d.indices(100, 9)):
        assert torch.equal(draw(one)[0], draw(three)[1])
    assert three.uniform(1000).min() >= 0 and three.uniform(1000).max() < 1
    assert sorted(set(three.indices(3, 200).flatten().tolist())) == [0, 1, 2]


def test_numbers_drawn_ahead_are_those_of_each_replicate_s_stream():
    def steps(seeds, first=0, state=None, count=2 * AHEAD + 3):
        draws = BufferedReplicateRNG(seeds, "cpu")
        if state is not None:
            draws.restore(state)
        found = []
        for step in range(first, first + count):
            state = draws.state()
            draws.begin(step)
            found.append((state, draws.normal(3, 2), draws.indices(1000, 4), draws.normal(5)))
        return found

    three, one = steps([4, 5, 6]), steps([5])
    for (_, *numbers), (_, *own) in zip(three, one, strict=True):
        for part, alone in zip(numbers, own, strict=True):
            assert torch.equal(part[1], alone[0])
    generator = torch.Generator().manual_seed(5)
    for start in range(0, len(one), AHEAD):
        shapes = ((AHEAD, 3, 2), (AHEAD, 4), (AHEAD, 5))
        normal, whole, more = (torch.empty(shape) for shape in shapes)
        normal.normal_(generator=generator)
        whole = torch.randint(1000, shapes[1], generator=generator)
        more.normal_(generator=generator)
        for i, (_, *own) in enumerate(one[start : start + AHEAD]):
            assert torch.equal(own[0][0], normal[i]) and torch.equal(own[1][0], whole[i])
            assert torch.equal(own[2][0], more[i])
    # and go on from any step, also with fewer replicates
    for step in (0, 1, AHEAD - 1, AHEAD, AHEAD + 7):
        for (_, *again), (_, *before) in zip(steps([5], step, three[step][0][1:2]), one[step:], strict=False):
            for part, own in zip(again, before, strict=True):
                assert torch.equal(part, own)


@pytest.mark.parametrize("model", ["vae", "wgan_gp", "flow", "diffusion"])
def test_seed_3_drawn_ahead_is_the_same_alone_and_among_others(monkeypatch, train_small, model):
    asked = []
    monkeypatch.setattr(
        "deepgen_bench.models.deep.training_rng", lambda device: asked.append(device) or BufferedReplicateRNG
    )
    alone, *_ = train_small(model, "gaussian_ring", [3], AHEAD + 5)
    _, among, _ = train_small(model, "gaussian_ring", [4, 3, 2], AHEAD + 5)
    assert alone.status == "ok" and asked == ["cpu", "cpu"]
    assert_same(alone, among)


# layers against torch's own, given the same weights


def test_linear_is_torch_s():
    layer, x = Linear(5, 4, generators(3)), torch.randn(3, 7, 5)
    for s in range(3):
        theirs = nn.Linear(5, 4)
        theirs.weight.data, theirs.bias.data = layer.weight.data[s].T, layer.bias.data[s, 0]
        torch.testing.assert_close(layer(x)[s], theirs(x[s]), rtol=0, atol=1e-6)
    for parameter in Linear(100, 500, generators(1)).parameters():
        assert 0.099 < parameter.abs().max().item() <= 0.1


@pytest.mark.parametrize(("ours", "theirs"), [(Conv2d, nn.Conv2d), (ConvTranspose2d, nn.ConvTranspose2d)])
def test_convolutions_are_torch_s(ours, theirs):
    layer, x = ours(3, 4, generators(2)), torch.randn(2, 5, 3, 8, 8)
    assert layer(x).shape == (2, 5, 4, 4, 4) if ours is Conv2d else (2, 5, 4, 16, 16)
    for s in range(2):
        reference = theirs(3, 4, kernel_size=4, stride=2, padding=1)
        reference.weight.data, reference.bias.data = layer.weight.data[s], layer.bias.data[s]
        torch.testing.assert_close(layer(x)[s], reference(x[s]), rtol=0, atol=1e-6)


def test_batch_normalisation_is_torch_s_in_training_and_after():
    layer, theirs = BatchNorm(3, 2), [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    with torch.no_grad():
        for s, reference in enumerate(theirs):
            layer.weight[s], layer.bias[s] = torch.rand(3) + 0.5, torch.randn(3)
            reference.weight.copy_(layer.weight[s])
            reference.bias.copy_(layer.bias[s])
    for training in (True, True, False):
        layer.train(training)
        x = torch.randn(2, 6, 3, 4, 4) * 3 + 1
        out = layer(x)
        for s, reference in enumerate(theirs):
            torch.testing.assert_close(out[s], reference.train(training)(x[s]), rtol=0, atol=1e-6)
            torch.testing.assert_close(layer.running_var[s], reference.running_var, rtol=0, atol=1e-6)
            torch.testing.assert_close(layer.running_mean[s], reference.running_mean, rtol=0, atol=1e-6)
