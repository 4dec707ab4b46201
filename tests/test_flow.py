"""Normalising flows: densities that integrate to 1, the change of variables, and samples that follow the density."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from zuko.transforms import MonotonicRQSTransform

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.models.base import Streams, TrainingData
from deepgen_bench.models.flow.model import Flows, Spline, flow_of_one
from deepgen_bench.models.replicate import make_model
from deepgen_bench.plugins import MODELS

KINDS = [(transform, structure) for transform in ("spline", "affine") for structure in ("coupling", "autoregressive")]
kinds = pytest.mark.parametrize(("transform", "structure"), KINDS)


@pytest.mark.parametrize("bins", [3, 4, 15, 16, 32])
def test_a_spline_is_zukos(bins):
    generator = torch.Generator().manual_seed(bins)
    sizes = [3 * torch.randn(4, 6, k, generator=generator).double() for k in (bins, bins, bins - 1)]
    x = 4 * torch.randn(4, 6, generator=generator).double()
    ours, theirs = Spline(*sizes), MonotonicRQSTransform(*sizes)
    torch.testing.assert_close(ours.call_and_ladj(x), theirs.call_and_ladj(x))
    torch.testing.assert_close(ours.inv(x), theirs.inv(x))


def flow(spec, **settings):
    return make_model("flow", MODELS["flow"].settings(hidden=(32,), **settings), spec, "cpu")


def fitted(train, validation, spec, steps, **settings):
    model = flow(spec, batch_size=64, learning_rate=5e-3, **settings)
    data, seeds = TrainingData(train, validation), Streams(0, "data", "flow")
    (fit,) = model.fit(data, [0], seeds, 64 * steps, lambda done, total, note: None)
    model.load(fit.checkpoints["final"])
    return model


def trained(small_splits, dataset, steps=200, **settings):
    splits = small_splits(dataset)
    return fitted(splits.train, splits.validation, splits.spec, steps, **settings)


def untrained(spec, **settings):
    """A flow that is far from the identity, with any shift and scale."""
    model = flow(spec, **settings)
    networks = model.build([torch.Generator().manual_seed(3)])
    draws = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter *= 1.5
        networks.shift += torch.randn(networks.shift.shape, generator=draws)
        networks.scale *= 0.5 + torch.rand(networks.scale.shape, generator=draws)
    model.load({name: tensor.detach().numpy() for name, tensor in networks.state_dict().items()})
    return model


def lattice(low, high, n, dim):
    """Midpoints (n^dim, dim) of a lattice of cells in [low, high]^dim, and their volume."""
    axis = low + (np.arange(n) + 0.5) * (high - low) / n
    return np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), -1).reshape(-1, dim), ((high - low) / n) ** dim


@kinds
@pytest.mark.parametrize(
    "spec", [DataSpec((5,), "continuous"), DataSpec((1, 2, 3), "image", 17)], ids=["vectors", "images"]
)
def test_log_prob_is_the_change_of_variables(spec, transform, structure):
    model = untrained(spec, transform=transform, structure=structure)
    z = torch.randn(6, 5 if spec.levels is None else 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def generate(z):
        return model.generate(z[None, None])[""][0, 0]

    x = torch.stack([generate(each) for each in z])
    jacobians = torch.stack([torch.autograd.functional.jacobian(generate, each) for each in z])
    base = -0.5 * (z.square() + np.log(2 * np.pi)).sum(1)
    expected = base - torch.linalg.slogdet(jacobians).logabsdet
    np.testing.assert_allclose(model.log_prob(x.detach().numpy()), expected.detach().numpy(), rtol=1e-6)


@kinds
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_layers_are_inverted_and_leave_no_coordinate_alone(transform, structure, dim):
    settings = MODELS["flow"].settings(transform=transform, structure=structure, transforms=2)
    flows = Flows(settings, dim, [torch.Generator().manual_seed(seed) for seed in range(3)]).double()
    flows.order[:] = torch.arange(dim)
    z = torch.randn(3, 50, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = flows(z, inverse=True)
    torch.testing.assert_close(flows.flow().transform(x), z, rtol=0, atol=1e-9)
    assert ((x - z).abs().amax(1) > 1e-3).all()


@kinds
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_flows_side_by_side_are_zukos_own(transform, structure, dim):
    """Each is the library's flow of its seed, for coordinates in an order of its own."""
    settings = MODELS["flow"].settings(transform=transform, structure=structure, transforms=3)
    flows = Flows(settings, dim, [torch.Generator().manual_seed(seed) for seed in range(3)])
    x = torch.randn(3, 50, dim, generator=torch.Generator().manual_seed(0))
    for seed, (own, found, back) in enumerate(zip(x, flows(x), flows(x, inverse=True), strict=True)):
        torch.manual_seed(seed)
        alone, order = flow_of_one(settings, dim)(), flows.order[seed, 0]
        torch.testing.assert_close(found, alone.log_prob(own[:, order]), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(back[:, order], alone.transform.inv(own), rtol=1e-4, atol=1e-4)
    assert dim < 7 or len({tuple(order.tolist()) for order in flows.order[:, 0]}) == 3


@kinds
@pytest.mark.parametrize(("dataset", "dim", "n"), [("sine_mixture", 1, 20_000), ("gaussian_ring", 2, 1000)])
def test_the_density_integrates_to_1_and_samples_follow_it(small_splits, dataset, dim, n, transform, structure):
    model = trained(small_splits, dataset, transform=transform, structure=structure)
    x, volume = lattice(-8, 8, n, dim)
    log_prob = model.log_prob(x)
    prob = np.exp(log_prob) * volume
    assert prob.sum() == pytest.approx(1, abs=2e-3)
    entropy = -(prob * log_prob).sum()
    of_samples = -model.log_prob(model.sample(20_000, 0)[""])
    assert of_samples.mean() == pytest.approx(entropy, abs=4 * of_samples.std() / np.sqrt(20_000))


@kinds
def test_two_pixels_have_the_density_that_their_grey_levels_are_drawn_from(transform, structure):
    spec, levels = DataSpec((1, 1, 2), "image", 3), 3
    rng = np.random.default_rng(0)
    images = rng.choice(levels, size=(1000, 1, 1, 2), p=[0.6, 0.1, 0.3]).astype(np.uint8)
    images[:, ..., 1] = np.where(rng.random((1000, 1, 1)) < 0.7, images[..., 0], images[..., 1])
    settings = {"transform": transform, "structure": structure, "alpha": 0.02}
    model = fitted(images[:800], images[800:], spec, 200, **settings)
    assert np.isfinite(model.log_prob(np.array([[0, 0], [1 - 2.0**-53, 0.5]]))).all()
    # the real line is a little more than [0, 1); the lattice has whole cells in each level
    rim = 0.02 / (1 - 2 * 0.02)
    x, volume = lattice(-rim, 1 + rim, 400, 2)
    prob = np.exp(model.log_prob(x)) * volume
    assert prob.sum() == pytest.approx(1, abs=2e-3)
    inside = ((x >= 0) & (x < 1)).all(1)
    assert 0.8 < prob[inside].sum() < 1
    cells = np.zeros((levels, levels))
    np.add.at(cells, tuple(np.floor(x * levels).clip(0, levels - 1).astype(int).T), prob)
    drawn = np.zeros((levels, levels))
    np.add.at(drawn, tuple(model.sample(20_000, 0)[""].reshape(-1, 2).T), 1)
    assert chisquare(drawn.flatten(), cells.flatten() / cells.sum() * 20_000).pvalue > 1e-4


def test_scales_are_those_of_the_coordinates_where_the_flow_acts(small_splits):
    splits = small_splits("digits")
    model = flow(splits.spec)
    model.module = model.build([torch.Generator()])
    model.fit_scale(splits.train)
    noise = np.random.default_rng(0).random((20, *splits.train.reshape(len(splits.train), -1).shape))
    x = (splits.train.reshape(len(splits.train), -1) + noise) / 17
    y = model.squeezed(torch.as_tensor(x)).logit().flatten(0, 1)
    np.testing.assert_allclose(model.module.shift[0, 0], y.mean(0), atol=0.02)
    np.testing.assert_allclose(model.module.scale[0, 0], y.std(0), rtol=0.02)


def test_correlated_gaussians_are_learnt():
    rng = np.random.default_rng(0)
    factor = np.array([[2.0, 0, 0], [1.5, 0.3, 0], [-1.0, 0.2, 0.5]])
    x = 3 + rng.standard_normal((6000, 3)) @ factor.T
    model = fitted(
        x[:5000], x[5000:], DataSpec((3,), "continuous"), 600, transform="affine", structure="autoregressive"
    )
    z = np.linalg.solve(factor, (x[5000:] - 3).T)
    truth = -0.5 * ((z**2).sum(0) + 3 * np.log(2 * np.pi)) - np.log(np.diag(factor)).sum()
    assert (truth - model.log_prob(x[5000:])).mean() == pytest.approx(0, abs=0.05)


def test_weight_decay_leaves_less_to_remember(small_splits):
    splits = small_splits("digits")
    gaps = []
    for decay in (0.0, 3.0):
        model = fitted(splits.train[:200], splits.validation, splits.spec, 300, transform="affine", weight_decay=decay)
        rng = np.random.default_rng(0)
        train, test = (
            (a.reshape(len(a), -1) + rng.random((len(a), 64))) / 17 for a in (splits.train[:200], splits.test)
        )
        gaps.append(model.log_prob(train).mean() - model.log_prob(test).mean())
    assert gaps[1] < gaps[0] - 1
