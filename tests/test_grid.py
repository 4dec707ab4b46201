"""Quadrature over a small latent space: linear decoders in closed form, others against brute force."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood import grid
from deepgen_bench.metrics.likelihood.decoder import Decoder
from deepgen_bench.metrics.likelihood.grid import marginal_log_likelihood
from deepgen_bench.models.vae.model import VAE
from deepgen_bench.plugins import MODELS


class Linear:
    """x = W z + tau noise: its log p(x|z), the number of nodes that it was asked for, and the exact log p(x)."""

    def __init__(self, d: int, dims: int, tau: float):
        self.w, self.tau, self.nodes = np.random.default_rng(d).standard_normal((d, dims)), tau, 0
        self.marginal = multivariate_normal(np.zeros(d), self.w @ self.w.T + tau**2 * np.eye(d))

    def __call__(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        self.nodes += len(z)
        squares = torch.cdist(x, z.double() @ torch.as_tensor(self.w.T)).square()
        return -0.5 * (squares / self.tau**2 + x.shape[1] * np.log(2 * np.pi * self.tau**2))

    def draws(self, n: int) -> np.ndarray:
        return np.atleast_2d(self.marginal.rvs(n, random_state=0).reshape(n, -1))


def pairwise(model):
    """log p(x_i|z_j) of a VAE's decoder."""
    network, tau = model.observation()
    return Decoder(network, model.settings.latent_dim, tau).pairwise_log_likelihood


@pytest.mark.parametrize(
    ("d", "dims", "tau"),
    [(1, 1, 0.02), (5, 1, 1.0), (64, 1, 0.02), (1, 2, 0.3), (2, 2, 0.1), (64, 2, 0.3), (3, 2, 2.0)],
)
def test_linear_decoders_in_closed_form(d: int, dims: int, tau: float) -> None:
    model = Linear(d, dims, tau)
    x = model.draws(30)
    values, errors = marginal_log_likelihood(model, torch.as_tensor(x), dims)
    wrong = np.abs(values - model.marginal.logpdf(x))
    assert wrong.mean() < 1e-4 and wrong.max() < 1e-3 and errors.mean() <= grid.TOLERANCE
    single, _ = marginal_log_likelihood(model, torch.as_tensor(x[:1]), dims)
    np.testing.assert_allclose(single, values[:1], atol=1e-3)


def test_narrow_posteriors_in_two_dimensions() -> None:
    model = Linear(3, 2, 0.02)
    x = model.draws(20)
    values, errors = marginal_log_likelihood(model, torch.as_tensor(x), 2)
    np.testing.assert_allclose(values, model.marginal.logpdf(x), rtol=0, atol=1e-3)
    assert 1e-12 < errors.mean() <= grid.TOLERANCE


def test_posteriors_far_out_widen_the_lattice() -> None:
    for dims in (1, 2):
        model = Linear(2, dims, 0.5)
        x = np.full((3, dims), 9.0) @ model.w.T
        values, _ = marginal_log_likelihood(model, torch.as_tensor(x), dims)
        np.testing.assert_allclose(values, model.marginal.logpdf(x), rtol=1e-6)


def test_one_example_far_out_changes_no_other() -> None:
    model = Linear(3, 1, 1e-3)
    x = model.draws(30)
    alone, _ = marginal_log_likelihood(model, torch.as_tensor(x), 1)
    with_far = np.concatenate([x, 20 * model.w.T])
    values, errors = marginal_log_likelihood(model, torch.as_tensor(with_far), 1)
    np.testing.assert_allclose(values[:30], alone, rtol=0, atol=1e-9)
    np.testing.assert_allclose(values, model.marginal.logpdf(with_far), rtol=0, atol=2e-3)
    assert errors.mean() <= grid.TOLERANCE


def test_what_lies_in_the_rim_alone_widens_the_lattice() -> None:
    """All of the posterior beyond the first radius, at many places: the rim's sum is the whole's but for rounding."""
    for dims in (1, 2):
        model = Linear(2, dims, 0.5 * dims)
        z = np.random.default_rng(0).uniform(5.5, 11, (200, 1)) / np.sqrt(dims) * np.ones(dims)
        x = z @ model.w.T
        values, errors = marginal_log_likelihood(model, torch.as_tensor(x), dims)
        np.testing.assert_allclose(values, model.marginal.logpdf(x), rtol=0, atol=0.01)
        assert errors.mean() <= grid.TOLERANCE


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_an_example_without_a_likelihood_leaves_the_others_alone(bad: float) -> None:
    model = Linear(2, 1, 0.02)
    x = model.draws(20)

    def spoilt(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return model(x, z).masked_fill_(x[:, :1] == float(some[3, 0]), bad)

    some = x.copy()
    values, _ = marginal_log_likelihood(spoilt, torch.as_tensor(some), 1)
    np.testing.assert_array_equal(values[3], bad)
    np.testing.assert_allclose(np.delete(values, 3), model.marginal.logpdf(np.delete(x, 3, 0)), rtol=0, atol=1e-3)


@pytest.mark.parametrize("dims", [1, 2])
def test_refinement_decodes_only_new_nodes(monkeypatch: pytest.MonkeyPatch, dims: int) -> None:
    """Half the step, and twice the radius, from what is there: the sums of the lattice as a whole, for each example."""
    tau = 0.004 if dims == 1 else 0.05
    for shift, finer, wider in ((0.0, 2, 1), (30.0, 1, 2)):
        model = Linear(4, dims, tau if finer == 2 else 3.0)
        x = model.draws(40) + shift * model.w.sum(1)
        monkeypatch.setitem(grid.LEVELS, dims, 2)
        values, errors = marginal_log_likelihood(model, torch.as_tensor(x), dims)
        nodes, model.nodes = model.nodes, 0
        with monkeypatch.context() as whole:
            whole.setitem(grid.LEVELS, dims, 1)
            whole.setitem(grid.STEP, dims, grid.STEP[dims] / finer)
            whole.setattr(grid, "RADIUS", grid.RADIUS * wider)
            expected, its_errors = marginal_log_likelihood(model, torch.as_tensor(x), dims)
        refined = np.isclose(errors, its_errors, rtol=1e-6, atol=1e-12)
        assert refined.mean() > 0.5 and nodes == model.nodes
        np.testing.assert_allclose(values[refined], expected[refined], rtol=1e-9)


@pytest.mark.parametrize("dims", [1, 2])
def test_the_error_bounds_that_of_the_value_from_fine_to_hopeless(monkeypatch: pytest.MonkeyPatch, dims: int) -> None:
    monkeypatch.setitem(grid.LEVELS, dims, 1)
    coarse = []
    for tau in (0.3, 0.1, 0.05, 0.02, 0.005):
        model = Linear(4, dims, tau if dims == 2 else tau / 10)
        x = model.draws(100)
        values, errors = marginal_log_likelihood(model, torch.as_tensor(x), dims)
        wrong = np.abs(values - model.marginal.logpdf(x))
        assert wrong.mean() <= errors.mean() + 1e-9
        coarse.append(errors.mean() > grid.TOLERANCE)
    assert coarse[0] is np.False_ and coarse[-1] is np.True_ and coarse == sorted(coarse)


def test_each_node_is_decoded_once_for_all_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Linear(2, 2, 0.5)
    x = torch.as_tensor(model.draws(50))
    values, _ = marginal_log_likelihood(model, x, 2)
    # the lattice points in a disc
    assert model.nodes == pytest.approx(np.pi * (grid.RADIUS / grid.STEP[2]) ** 2, rel=1e-3)
    monkeypatch.setitem(grid.PAIRS, "cpu", 1)
    np.testing.assert_allclose(marginal_log_likelihood(model, x, 2)[0], values, rtol=1e-12)


def vae(dim: int, support: Any = "continuous", shape: Any = None, levels: int | None = None, **settings: Any) -> VAE:
    model = VAE(MODELS["vae"].settings(**settings), DataSpec(shape or (dim,), support, levels), "cpu")
    model.module = model.build([torch.Generator().manual_seed(0)]).eval()
    model.module.decoder[-1].weight.data *= 8
    return model


@pytest.mark.parametrize("settings", [{"tau": 0.05}, {"decoder": "bernoulli"}])
def test_a_vae_s_pairs_are_its_log_likelihoods(settings: dict[str, Any]) -> None:
    model = vae(6, "image", (1, 2, 3), 2, hidden=(8,), latent_dim=2, **settings)
    x, z = torch.randint(0, 2, (5, 6), generator=torch.Generator().manual_seed(0)).float(), torch.randn(7, 2)
    with torch.no_grad():
        pairs = pairwise(model)(x, z)
        one_by_one = torch.stack([model.log_likelihood(one.expand(1, 7, 6), z[None])[0] for one in x])
    assert pairs.dtype == torch.float64
    torch.testing.assert_close(pairs, one_by_one.double(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dims", [1, 2])
def test_all_binary_images_together_have_probability_one(dims: int) -> None:
    model = vae(6, "image", (1, 2, 3), 2, hidden=(8,), decoder="bernoulli", latent_dim=dims)
    x = torch.tensor(list(product((0.0, 1.0), repeat=6)))
    with torch.no_grad():
        values, _ = marginal_log_likelihood(pairwise(model), x, dims)
        axis = torch.linspace(-6, 6, 241, dtype=torch.float64)
        z = torch.cartesian_prod(*[axis] * dims).reshape(-1, dims)
        logits = model.decode(z[None].float())[0].double().numpy()
    assert np.exp(values).sum() == pytest.approx(1, abs=1e-7)
    p = 1 / (1 + np.exp(-logits))
    weight = norm.pdf(z.numpy()).prod(axis=1) * 0.05**dims
    by_hand = [(np.where(image == 1, p, 1 - p).prod(axis=1) * weight).sum() for image in x.numpy()]
    np.testing.assert_allclose(values, np.log(by_hand), atol=1e-3)  # the decoder has kinks


@pytest.mark.parametrize("dims", [1, 2])
def test_a_density_in_one_dimension_integrates_to_one(dims: int) -> None:
    model = vae(1, hidden=(16,), tau=0.1, latent_dim=dims)
    x = torch.linspace(-12, 12, 481, dtype=torch.float64)[:, None]
    with torch.no_grad():
        values, _ = marginal_log_likelihood(pairwise(model), x, dims)
    assert np.trapezoid(np.exp(values), x[:, 0].numpy()) == pytest.approx(1, abs=1e-4)
