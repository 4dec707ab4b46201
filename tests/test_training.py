"""The training loop, and the adversarial losses against what they stand for."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.models.base import Streams, TrainingData
from deepgen_bench.models.deep import staged
from deepgen_bench.models.networks import MLP, ConvTranspose2d
from deepgen_bench.models.replicate import make_model
from deepgen_bench.plugins import MODELS
from deepgen_bench.training.batches import represent
from deepgen_bench.training.loop import EVALUATIONS, TrainingState, train
from deepgen_bench.training.replicate_rng import ReplicateRNG

# the loop


class Counting:
    """A `Trainable` whose only parameter counts its steps, with given validation scores."""

    def __init__(self, scores):
        self.scores = torch.tensor(scores)  # (S, steps)
        self.module = nn.Module()
        self.module.count = nn.Parameter(torch.zeros(len(scores), 1))
        self.rates = []

    def step(self):
        self.module.count.data += 1
        return {"loss": self.module.count.detach()[:, 0].clone()}

    def autocast(self):
        return nullcontext()

    def validate(self):
        assert not self.module.training
        return {"validation_score": self.scores[:, int(self.module.count[0]) - 1]}

    def begin(self, step, left):
        assert step == int(self.module.count[0])
        self.rates.append(left)


def test_the_best_checkpoint_is_the_evaluation_with_the_lowest_score():
    nan = float("nan")
    model = Counting([[5.0, 3, 4, 3], [1, 2, 3, 4], [9, 8, nan, 0]])
    calls = []
    fits = train(model, [0, 1, 2], 4, 10, lambda *call: calls.append(call))
    assert [fit.best_step for fit in fits] == [2, 1, None]
    for fit, best in zip(fits[:2], (2, 1), strict=True):
        assert fit.checkpoints["best"]["count"].tolist() == [[best]]
        assert fit.checkpoints["final"]["count"].tolist() == [[4]]
    assert fits[2].reason == "loss not finite at step 3 of 4" and (fits[2].steps, fits[2].examples) == (3, 30)
    assert [row["validation_score"] for row in fits[0].curves] == [5, 3, 4, 3]
    assert [row["examples"] for row in fits[0].curves] == [10, 20, 30, 40]
    assert [call[:2] for call in calls] == [(1, 4), (2, 4), (3, 4), (4, 4)] and "1 diverged" in calls[-1][2]


def test_a_model_is_told_what_share_of_its_steps_is_left():
    model = Counting([[0.0] * 5])
    train(model, [0], 5, 1, lambda *call: None)
    assert model.rates == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_curves_hold_means_since_the_last_evaluation():
    (fit,) = train(Counting([[0.0] * 100]), [0], 100, 1, lambda *call: None)
    steps = [row["step"] for row in fit.curves]
    assert steps == [1, *range(4, 101, 4)] and len(steps) == EVALUATIONS + 1
    assert [row["loss"] for row in fit.curves[:3]] == [1, 3, 6.5]


def test_stages_are_those_of_the_importance_weighted_autoencoder():
    """3^i passes at 10^(-i/7) of the first rate, i = 0 … 7 (Burda et al. 2016, section 5)."""
    passes = sum(3**i for i in range(8))
    rates = [staged(done / passes) for done in range(passes)]
    assert rates == pytest.approx([10 ** (-i / 7) for i in range(8) for _ in range(3**i)])


# of seven steps the last begins at 6/7, and the last stage at a third
@pytest.mark.parametrize(("schedule", "last"), [("linear", 1 / 7), ("constant", 1.0), ("staged", 0.1)])
def test_every_optimiser_follows_the_schedule(small_settings, small_splits, fit, schedule, last):
    settings = small_settings("gan", schedule=schedule, learning_rate=0.01, discriminator_learning_rate=0.02)
    model = make_model("gan", settings, small_splits("gaussian_ring").spec, "cpu")
    fit(model, small_splits("gaussian_ring"), [0], 7)
    rates = [optimiser.rate for optimiser in model.active]
    assert rates == pytest.approx([0.01 * last, 0.02 * last])


def test_the_budget_counts_examples(small_settings, small_splits):
    splits = small_splits("gaussian_ring")
    for budget, steps in ((100, 6), (3, 1)):
        model = make_model("wgan", small_settings("wgan", batch_size=16), splits.spec, "cpu")
        data = TrainingData(splits.train, splits.validation)
        (fit,) = model.fit(data, [0], Streams(0, "d", "m"), budget, lambda *call: None)
        assert (fit.steps, fit.examples) == (steps, 16 * steps)


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_checkpoints_have_the_scores_of_their_curves(small_settings, small_splits, fit, name):
    splits = small_splits("gaussian_ring")
    model = make_model(name, small_settings(name, learning_rate=0.01), splits.spec, "cpu")
    (trained,) = fit(model, splits, [0], 60)
    scores = {row["step"]: row["validation_score"] for row in trained.curves}
    assert trained.best_step == min(scores, key=scores.get)
    model.module.eval()
    for checkpoint, step in (("final", 60), ("best", trained.best_step)):
        state = {
            key: torch.as_tensor(array).expand(2, *array.shape[1:])
            for key, array in trained.checkpoints[checkpoint].items()
        }
        model.module.load_state_dict(state)
        with torch.no_grad():
            assert model.validate()["validation_score"][0].item() == scores[step]


def test_representations_of_training_images():
    levels, x = 17, torch.arange(17, dtype=torch.uint8).expand(4000, 17)
    noise = ReplicateRNG([0], "cpu").uniform(4000, 17)[0]
    grey = represent(x, "grey", levels, None)
    assert grey.min() == 0 and grey.max() == 1
    cells = represent(x, "dequantised", levels, noise)
    assert torch.equal((cells * levels).floor().to(torch.uint8), x) and cells.max() < 1
    assert represent(x, "dequantised", levels, torch.ones(x.shape)).max() < 1
    bits = represent(x, "binarised", levels, noise)
    assert set(bits.unique().tolist()) == {0, 1}
    torch.testing.assert_close(bits.mean(0), torch.arange(17) / 16, atol=0.04, rtol=0)
    assert bits[:, 0].max() == 0 and bits[:, 16].min() == 1


# the losses


def adversary(name, dim=1, **settings):
    """A model of one replicate whose critic is linear in the scaled data, with shift 0 and scale 1."""
    made = MODELS[name].settings(**{"hidden": (), **settings})
    model = make_model(name, made, DataSpec((dim,), "continuous"), "cpu")
    model.module = model.build([torch.Generator().manual_seed(0)])
    model.module.shift.zero_()
    model.module.scale.fill_(1)
    model.noise = ReplicateRNG([0], "cpu")
    return model


def set_critic(model, weight, bias=0.0):
    model.module.critic[0].weight.data[0, :, 0] = torch.as_tensor(weight)
    model.module.critic[0].bias.data.fill_(bias)


def quantiles(mean, n=20_000):
    """Points of N(mean, 1) over which an average is a quadrature, (1, n, 1)."""
    return torch.as_tensor(norm.ppf((np.arange(n) + 0.5) / n) + mean, dtype=torch.float32).reshape(1, -1, 1)


def test_gan_losses_are_the_formulas():
    real, fake = torch.randn(1, 50, 1) * 3, torch.randn(1, 50, 1) * 3 + 1
    minimax, heuristic = adversary("gan"), adversary("gan_ns")
    for model in (minimax, heuristic):
        set_critic(model, [1.0])
    d_real, d_fake = (1 / (1 + np.exp(-t[0, :, 0].double().numpy())) for t in (real, fake))
    critic = -np.log(d_real).mean() - np.log(1 - d_fake).mean()
    for model in (minimax, heuristic):
        assert model.critic_loss(real, fake).item() == pytest.approx(critic, rel=1e-5)
    scores = fake[..., 0]
    assert minimax.generator_loss(scores).item() == pytest.approx(np.log(1 - d_fake).mean(), rel=1e-5)
    assert heuristic.generator_loss(scores).item() == pytest.approx(-np.log(d_fake).mean(), rel=1e-5)
    assert minimax.critic_metrics(real[..., 0], scores)["validation_value"].item() == pytest.approx(-critic, rel=1e-5)


@pytest.mark.parametrize("name", ["gan", "gan_ns"])
def test_gan_losses_are_finite_where_the_sigmoid_saturates(name):
    model = adversary(name)
    set_critic(model, [1.0])
    points = torch.tensor([-200.0, 200.0]).reshape(1, 2, 1)
    assert model.critic_loss(points, points).item() == pytest.approx(200)
    scores = points[..., 0].clone().requires_grad_()
    loss = model.generator_loss(scores)
    loss.sum().backward()
    assert loss.item() == pytest.approx(-100 if name == "gan" else 100) and scores.grad.isfinite().all()


def test_the_value_at_the_optimal_discriminator_is_that_of_the_jensen_shannon_divergence():
    """p = N(0, 1), q = N(1, 1): D* = p / (p + q) has the logit 1/2 - x, which is linear."""
    model = adversary("gan")
    set_critic(model, [-1.0], 0.5)
    value = -model.critic_loss(quantiles(0), quantiles(1)).item()
    assert value == pytest.approx(-1.163451397, abs=2e-4)
    x = np.linspace(-12, 13, 50_001)
    p, q = norm.pdf(x), norm.pdf(x, 1)
    mixture = (p + q) / 2
    divergence = np.trapezoid(p * np.log(p / mixture) + q * np.log(q / mixture), x) / 2
    assert 2 * divergence - 2 * math.log(2) == pytest.approx(-1.163451397, abs=1e-9)
    # any other discriminator has a lower value
    set_critic(model, [-1.2], 0.5)
    assert -model.critic_loss(quantiles(0), quantiles(1)).item() < value


def test_disjoint_supports_have_a_divergence_of_log_2():
    model = adversary("gan")
    set_critic(model, [100.0])
    value = -model.critic_loss(torch.rand(1, 50, 1) + 1, -1 - torch.rand(1, 50, 1)).item()
    assert (value + 2 * math.log(2)) / 2 == pytest.approx(math.log(2), abs=1e-6)


def test_clipping_keeps_every_weight_of_the_critic_and_no_other(train_small):
    (fit,) = train_small("wgan", "gaussian_ring", [0], 5, clip=0.02, learning_rate=0.01)
    for checkpoint in fit.checkpoints.values():
        largest = {name: np.abs(array).max() for name, array in checkpoint.items() if "." in name}
        assert all(value <= np.float32(0.02) for name, value in largest.items() if name.startswith("critic"))
        assert max(value for name, value in largest.items() if name.startswith("generator")) > 0.02


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_the_gradient_penalty_is_zero_at_unit_slope_in_scaled_units(scale):
    model = adversary("wgan_gp", dim=3)
    model.module.scale.fill_(scale)
    model.module.shift[:] = torch.tensor([1.0, -2, 0.5])
    real, fake = torch.randn(1, 40, 3), torch.randn(1, 40, 3) + 1
    direction = torch.tensor([2.0, -1, 2]) / 3
    for length in (1.0, 0.25, 3.0):
        set_critic(model, length * direction, 0.7)
        difference = (model.critic(fake) - model.critic(real)).mean().item()
        loss = model.critic_loss(real, fake)
        assert loss.item() - difference == pytest.approx(10 * (length - 1) ** 2, abs=1e-4)
        # and it can be learnt from: its gradient is 20 (|w| - 1) w / |w|
        (gradient,) = torch.autograd.grad(loss.sum(), model.module.critic[0].weight)
        expected = (fake - real).mean(1)[0] / scale + 20 * (length - 1) * direction
        torch.testing.assert_close(gradient[0, :, 0], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("mean", [(1.0, 0.0), (-1.8, 2.4)])
def test_a_penalised_critic_estimates_the_wasserstein_distance(mean):
    """W1 of N(0, I) and N(m, I) is |m|. A slope of a costs 10 (a - 1)² and earns a |m|: it ends at 1 + |m| / 20.

    In one dimension it may end at the local optimum 1 - |m| / 20 of the wrong sign: the penalty is a wall between them.
    """
    model = adversary("wgan_gp", dim=2, hidden=(32,))
    optimiser = torch.optim.Adam(model.module.critic.parameters(), lr=0.01, betas=(0.0, 0.9))
    shift, distance = torch.tensor(mean), math.hypot(*mean)

    def draw(n):
        return model.noise.normal(n, 2), model.noise.normal(n, 2) + shift

    for _ in range(400):
        optimiser.zero_grad()
        model.critic_loss(*draw(128)).sum().backward()
        optimiser.step()
    with torch.no_grad():
        estimate = model.critic_metrics(*map(model.critic, draw(20_000)))["validation_w1"].item()
    assert estimate == pytest.approx(distance * (1 + distance / 20), rel=0.07)


@pytest.mark.parametrize("name", ["vae", "gan", "wgan", "wgan_gp", "flow", "diffusion"])
def test_steps_write_to_the_same_memory(small_settings, small_splits, name):
    """What a CUDA graph of a step needs: all that it leaves is where the step before left it, evaluations or not."""
    splits = small_splits("gaussian_ring")
    model = make_model(name, small_settings(name), splits.spec, "cpu")
    data = TrainingData(splits.train, splits.validation)
    model.fit(data, [0], Streams(0, "d", "m"), 1, lambda *call: None)
    training = TrainingState(model, len(model.module.shift))
    training.advance(1.0)

    def places():
        # generators have states of their own, and the optimiser's count of steps is on the device where there is one
        state = {key: tensor for key, tensor in training.state().items() if tensor.dim()}
        kept = {key: tensor for key, tensor in state.items() if not key.startswith(("model.noise", "model.indices"))}
        return {key: tensor.data_ptr() for key, tensor in (kept | training.tensors).items()} | {
            "": training.taken.data_ptr()
        }

    before = places()
    training.advance(1.0)
    within_a_step = {key for key in before if not key.startswith(("best.", "progress.best"))}
    training.evaluate(1)
    training.advance(1.0)
    after = places()
    assert within_a_step and all(before[key] == after[key] for key in within_a_step)


# networks


def test_a_uniform_latent_is_the_normal_one_transformed(small_settings, small_splits, fit):
    """So that likelihoods and interpolations, which know N(0, I) alone, hold for it as well."""
    splits = small_splits("gaussian_ring")
    model = make_model("gan", small_settings("gan", latent="uniform"), splits.spec, "cpu")
    (trained,) = fit(model, splits, [0], 2)
    model.load(trained.checkpoints["final"])
    z = torch.randn(1, 500, model.settings.latent_dim, generator=torch.Generator().manual_seed(0))
    seen = []
    model.module.generator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.from_latent(z)
    np.testing.assert_allclose(seen[0], 2 * norm.cdf(z) - 1, atol=1e-6)


def test_hidden_layers_have_the_activation_asked_for():
    generators = [torch.Generator().manual_seed(0)]
    x = torch.randn(1, 7, 3, generator=torch.Generator().manual_seed(1))
    for name, function in (("tanh", torch.tanh), ("leaky_relu", lambda h: torch.where(h > 0, h, 0.2 * h))):
        network = MLP(3, [5], 2, generators, name)
        first, last = network[0], network[2]
        torch.testing.assert_close(network(x), last(function(first(x))))


def test_infogan_networks_have_the_published_number_of_parameters(small_splits):
    """Chen et al. 2016, table 1, for MNIST: z 64 → 1024 → 7·7·128 → 64 → 1; batch normalisation in the generator."""
    settings = {"network": "infogan", "channels": 64, "hidden": [1024], "latent_dim": 64}
    spec = DataSpec((1, 28, 28), "image", 256)
    model = make_model("gan_ns", MODELS["gan_ns"].settings.model_validate(settings), spec, "cpu")
    module = model.build([torch.Generator()])
    counts = [sum(p[0].numel() for p in net.parameters()) for net in (module.generator, module.critic)]
    dense = 64 * 1024 + 1024 + 2 * 1024 + 1024 * 6272 + 6272 + 2 * 128
    generator = dense + 128 * 64 * 16 + 64 + 2 * 64 + 64 * 16 + 1
    critic = 64 * 16 + 64 + 128 * 64 * 16 + 128 + 6272 * 1024 + 1024 + 1024 + 1
    assert counts == [generator, critic]


@pytest.mark.parametrize("outputs", [1, 3, 4, 5, 16])
def test_transposed_convolutions_are_those_of_torch(outputs):
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    layer = ConvTranspose2d(6, outputs, generators)
    x = torch.randn(2, 3, 6, 5, 7, generator=torch.Generator().manual_seed(9))
    for s, made in enumerate(layer(x)):
        expected = nn.functional.conv_transpose2d(x[s], layer.weight[s], layer.bias[s], stride=2, padding=1)
        torch.testing.assert_close(made, expected)
