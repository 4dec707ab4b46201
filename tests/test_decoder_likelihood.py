"""Likelihoods from a decoder alone, without an encoder: closed forms, a grid, bounds from both sides."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import bernoulli, multivariate_normal, norm
from torch import nn

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood import generator_noise
from deepgen_bench.metrics.likelihood.annealing import (
    Annealing,
    Path,
    annealed_log_weights,
    bidirectional,
    temperatures,
)
from deepgen_bench.metrics.likelihood.decoder import Decoder
from deepgen_bench.metrics.likelihood.generator_noise import ROUNDS, choose_tau
from deepgen_bench.metrics.likelihood.grid import marginal_log_likelihood
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.laplace import EXAMPLES, draw, propose, propose_from
from deepgen_bench.metrics.likelihood.marginal import (
    by_annealing,
    by_grid,
    by_laplace,
    laplace_estimates,
    log_mean_of_two,
    marginal,
)
from deepgen_bench.metrics.likelihood.settings import AnnealingSettings, LaplaceSettings, LikelihoodSettings
from deepgen_bench.metrics.likelihood.weights import log_mean_exp
from deepgen_bench.storage.keys import Estimator, Variant


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(dim, latent_dim, tau):
    """A linear decoder W z + b; and the density of its data where they are Gaussian."""
    rng = np.random.default_rng(0)
    w, b = rng.standard_normal((latent_dim, dim)) / math.sqrt(dim), rng.standard_normal(dim)
    weight, bias = torch.tensor(w, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)
    density = None if tau is None else multivariate_normal(b, w.T @ w + tau**2 * np.eye(dim))
    return Decoder(lambda z: z @ weight + bias, latent_dim, tau), density


def curved(dim=6, latent_dim=2, tau=0.2, seed=0):
    """A decoder with several posterior modes: it sees z² alone."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(latent_dim, 16), nn.Tanh(), nn.Linear(16, dim)).requires_grad_(False)
    return Decoder(lambda z: network(z.square()), latent_dim, tau)


def held_out(decoder, n, seed=0):
    x = decoder.simulate(n, generator(seed))[0].double().numpy()
    return HeldOut(x, DataSpec((x.shape[1],), "continuous"), 0, "data", x, x)


# the decoder


@pytest.mark.parametrize("tau", [None, 0.3])
def test_both_forms_of_the_likelihood_are_scipy_s(tau):
    decoder, _ = linear(5, 2, tau)
    x, z = decoder.simulate(7, generator())
    out = decoder.network(z).double().numpy()
    for shift in range(3):
        rows = np.roll(np.arange(7), shift)
        if tau is None:
            expected = bernoulli(1 / (1 + np.exp(-out[rows]))).logpmf(x.numpy()).sum(1)
        else:
            expected = norm(out[rows], tau).logpdf(x.numpy()).sum(1)
        np.testing.assert_allclose(decoder.log_likelihood(x, z[rows]), expected, rtol=1e-5)
        np.testing.assert_allclose(decoder.pairwise_log_likelihood(x, z)[np.arange(7), rows], expected, rtol=1e-5)


@pytest.mark.parametrize("tau", [None, 0.3])
def test_the_information_of_a_linear_decoder_is_the_negative_hessian(tau):
    decoder, _ = linear(5, 3, tau)
    x, z = decoder.simulate(4, generator())
    for place in range(4):
        hessian = torch.func.hessian(lambda one, i=place: decoder.log_likelihood(x[i : i + 1], one[None]).sum())(
            z[place]
        )
        torch.testing.assert_close(decoder.information(z)[place].float(), -hessian, rtol=1e-4, atol=1e-4)


# Laplace's modes


def test_a_proposal_is_a_density_and_draws_what_it_says():
    decoder = curved(dim=3, latent_dim=1)
    x, _ = decoder.simulate(5, generator(1))
    proposal = propose(decoder, x, 4, generator())
    line = torch.linspace(-60, 60, 600_001)[None, :, None].expand(5, -1, -1)
    density = proposal.log_prob(line).exp()
    np.testing.assert_allclose(density.sum(1) * (120 / 600_000), 1, atol=1e-3)
    z = proposal.sample(20_000, generator(2))[..., 0].double()
    for own, values in zip(density, z, strict=True):
        cumulative = own.cumsum(0) * (120 / 600_000)
        below = torch.stack([(values <= edge).double().mean() for edge in (-1.0, -0.3, 0.0, 0.3, 1.0)])
        expected = [cumulative[(line[0, :, 0] <= edge).sum() - 1] for edge in (-1.0, -0.3, 0.0, 0.3, 1.0)]
        np.testing.assert_allclose(below, expected, atol=0.018)


@pytest.mark.parametrize(("dim", "latent_dim", "tau"), [(64, 10, 0.1), (16, 3, 0.5), (5, 12, 0.3)])
def test_of_a_linear_decoder_it_is_the_closed_form(dim, latent_dim, tau):
    decoder, density = linear(dim, latent_dim, tau)
    data = held_out(decoder, 40)
    found = by_laplace(decoder, "x", data, LaplaceSettings(starts=4), None, density.logpdf, "cpu")
    row, ratio = (found.row(metric, "test") for metric in ("log_likelihood", "log_density_ratio"))
    assert (row.bound, row.status) == ("lower", "ok") and row.mc_error < 0.02
    assert abs(ratio.value) < 4 * row.mc_error + 1e-3 and ratio.status == "ok"
    assert np.abs(found.vectors["log_likelihood"] - density.logpdf(data.x)).max() < 0.3
    assert (found.vectors["ess_laplace"] > 100).all() and (found.vectors["pareto_k_laplace"] < 0.7).all()


@pytest.mark.parametrize("tau", [None, 0.2])
def test_of_a_decoder_with_several_modes_it_is_the_grid_s(tau):
    decoder = curved(tau=tau, dim=12)
    data = held_out(decoder, 40)
    grid = by_grid(decoder, "x", data.without_train(), None, {}, "cpu").vectors["log_likelihood"]
    found = by_laplace(decoder, "x", data, LaplaceSettings(), None, None, "cpu")
    assert abs((found.vectors["log_likelihood"] - grid).mean()) < 0.02
    assert (found.vectors["pareto_k_laplace"] < 0.7).mean() > 0.8


def test_an_example_s_draws_do_not_depend_on_those_that_follow_it():
    decoder = curved()
    x, _ = decoder.simulate(EXAMPLES, generator(3))

    def weights(n):
        own = generator()
        return np.add(*draw(decoder, x[:n], propose(decoder, x[:n], 3, own), 50, own))

    np.testing.assert_allclose(weights(5), weights(EXAMPLES)[:5], rtol=1e-4, atol=1e-4)


# annealing

HOW = Annealing(temperatures(80, "sigmoidal"), 16, 5)


def test_temperatures_rise_from_0_to_1():
    for schedule in ("sigmoidal", "linear"):
        betas = temperatures(40, schedule)
        assert (betas[0], betas[-1], len(betas)) == (0, 1, 41) and (np.diff(betas) > 0).all()
    assert np.diff(temperatures(40, "linear")).max() == pytest.approx(1 / 40)
    steps = np.diff(temperatures(40, "sigmoidal"))
    assert steps[0] < steps[20] / 5 and steps[-1] < steps[20] / 5


def test_a_transition_leaves_its_temperature_alone():
    """Posterior draws of a linear decoder stay posterior draws, at a temperature between prior and posterior too."""
    decoder, _ = linear(8, 2, 0.5)
    x, _ = decoder.simulate(1, generator(5))
    path = Path(decoder, x, None, Annealing([0.0, 1.0], 40_000, 5))
    for beta in (0.3, 1.0):
        precision = np.eye(2) + beta * decoder.information(torch.zeros(1, 2))[0].numpy()
        columns = decoder.network(torch.eye(2)) - decoder.network(torch.zeros(1, 2))
        pull = columns.double().numpy() @ (x[0] - decoder.network(torch.zeros(1, 2))[0]).double().numpy()
        mean, covariance = np.linalg.solve(precision, beta * pull / 0.25), np.linalg.inv(precision)
        z = torch.tensor(multivariate_normal(mean, covariance).rvs(40_000, random_state=0), dtype=torch.float32)
        positions = path.at(z)
        for seed in range(3):
            positions, probability = path.transition(positions, beta, torch.full((40_000, 1), 0.4), generator(seed))
        moved = positions.z
        assert 0.3 < probability.mean() < 0.99 and (moved != z).any(1).double().mean() > 0.5
        np.testing.assert_allclose(moved.double().mean(0), mean, atol=4 * np.sqrt(covariance.max() / 40_000))
        np.testing.assert_allclose(np.cov(moved.T), covariance, atol=0.05 * covariance.max())


@pytest.mark.parametrize("at_modes", [False, True])
def test_what_a_chain_carries_belongs_to_where_it_is(at_modes):
    decoder = curved(dim=12, latent_dim=4, tau=0.3, seed=1)
    x, _ = decoder.simulate(4, generator(5))
    path = Path(decoder, x, propose(decoder, x, 2, generator()) if at_modes else None, Annealing([0.0, 1.0], 10, 5))
    before = path.start(generator(6))
    after, _ = path.transition(before, 0.5, torch.full((40, 1), 0.3), generator(7))
    moved = (after.z != before.z).any(1)
    assert 0 < moved.sum() < 40
    for name, value in vars(path.at(after.z)).items():
        np.testing.assert_allclose(vars(after)[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_steps_are_adapted_to_the_acceptance_rate():
    decoder, _ = linear(30, 6, 0.1)
    x, _ = decoder.simulate(8, generator(6))
    path = Path(decoder, x, None, HOW)
    own = generator()
    steps, positions = path.adapt(own), path.start(own)
    rates = []
    for beta, step in zip(HOW.betas[1:-1], steps, strict=True):
        positions, probability = path.transition(positions, beta, step, own)
        rates.append(probability.mean().item())
    assert 0.5 < np.mean(rates[40:]) < 0.8
    assert steps[-1].mean() < 0.3 * steps[0].mean()


@pytest.mark.parametrize("at_modes", [False, True])
@pytest.mark.parametrize(("dim", "latent_dim", "tau"), [(10, 1, 0.3), (10, 2, 0.3), (20, 6, 0.2)])
def test_the_truth_lies_between_annealing_and_annealing_plus_gap(dim, latent_dim, tau, at_modes):
    decoder, density = linear(dim, latent_dim, tau)
    x, _ = decoder.simulate(30, generator(7))
    exact = density.logpdf(x.numpy())
    at = (lambda some: propose(decoder, some, 2, generator())) if at_modes else None
    values = log_mean_exp(annealed_log_weights(decoder, x, at(x) if at else None, HOW, generator(8)))
    lower, upper = bidirectional(decoder, 30, at, HOW, generator(9))
    gap = upper - lower
    short = exact - values
    error = math.hypot(short.std(ddof=1), gap.std(ddof=1)) / math.sqrt(30)
    assert -3 * error <= short.mean() <= gap.mean() + 3 * error
    # of the simulated examples themselves
    simulated = decoder.simulate(30, generator(9))[0]
    truth = density.logpdf(simulated.numpy())
    for low, high in ((lower, truth), (truth, upper)):
        difference = high - low
        assert difference.mean() >= -3 * difference.std(ddof=1) / math.sqrt(30)
    assert gap.mean() < (0.2 if at_modes else 2)


def test_more_temperatures_bring_the_bounds_together():
    decoder, _ = linear(20, 6, 0.1)
    gaps = []
    for steps in (10, 40, 160):
        lower, upper = bidirectional(
            decoder, 20, None, Annealing(temperatures(steps, "sigmoidal"), 8, 5), generator(10)
        )
        gaps.append((upper - lower).mean())
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 0


# the rows


def test_a_small_latent_space_has_a_grid_and_a_larger_one_the_rest():
    ais = AnnealingSettings(n=4, simulated=6, steps=60)
    settings = LikelihoodSettings(laplace=LaplaceSettings(starts=2, k=200), ais=ais)
    decoder = curved(latent_dim=2)
    (first, *_) = marginal(decoder, "x", held_out(decoder, 10), settings, None).measurements
    assert (first.metric, first.bound, first.variant["estimator"]) == ("log_likelihood", "exact", "grid")
    decoder, density = linear(10, 3, 0.3)
    data = held_out(decoder, 10)
    found = marginal(decoder, "x", data, settings, density.logpdf)
    names = [row.metric for row in found.measurements]
    assert names == ["log_likelihood", "log_density_ratio", "pareto_k", "ess", "bdmc_gap", "ais", "bdmc_gap"]
    first, ais, gap = found.row("log_likelihood", "test"), found.row("ais", "test"), found.row("bdmc_gap", "simulated")
    numbers = {"draws": "200", "starts": "2", "steps": "7", "chains": "8"}
    assert Variant.of(first.variant).estimator == Estimator("laplace_ais", numbers)
    assert (ais.variant["steps"], ais.variant["chains"], ais.n_real, gap.n_real) == (60, 8, 4, 6)
    assert (ais.bound, ais.status) == ("lower", "ok") and abs(ais.value - density.logpdf(data.x[:4]).mean()) < 1
    assert "ais" not in {row.metric for row in marginal(decoder, "x", data, settings, None, audit=False).measurements}
    without = settings.model_copy(update={"laplace": None})
    (row,) = marginal(decoder, "x", data, without, None).measurements
    assert (row.status, row.reason) == ("not_applicable", "likelihood.laplace is null")


def test_annealing_too_fast_is_not_converged():
    decoder, _ = linear(40, 10, 0.05)
    found = by_annealing(decoder, "x", held_out(decoder, 8), AnnealingSettings(n=8, steps=10), "cpu")
    row, gap = found.row("ais", "test"), found.row("bdmc_gap", "simulated")
    assert row.status == "not_converged" and gap.value > 1 and row.value is not None
    assert row.reason == f"on simulated data its bounds are {gap.value:.2g} nats apart, above 1"


def test_the_mean_of_two_estimates_and_its_error():
    rng = np.random.default_rng(0)
    a, b = np.log(rng.gamma(400, 1 / 400, 20_000)), np.log(rng.gamma(100, 1 / 100, 20_000))  # both of 1
    values, errors = log_mean_of_two(a, np.full(20_000, 0.05), b, np.full(20_000, 0.1))
    assert np.exp(values).mean() == pytest.approx(1, abs=5 * np.exp(values).std() / math.sqrt(20_000))
    assert errors.mean() == pytest.approx(values.std(), rel=0.03)
    assert (values >= np.maximum(a, b) - math.log(2)).all()
    far, error = log_mean_of_two(np.array([-5000.0]), np.array([1.0]), np.array([-2000.0]), np.array([0.2]))
    assert (far[0], error[0]) == (pytest.approx(-2000 - math.log(2)), pytest.approx(0.2))


def test_examples_that_importance_sampling_cannot_do_are_annealed_from_the_modes():
    """A decoder that is far from linear at the scale of its posterior: without annealing its bound is loose, and says
    so; with it the value is that of far more draws."""
    decoder = curved(dim=12, latent_dim=8, tau=0.1, seed=3)
    data = held_out(decoder, 24)
    few = LaplaceSettings(starts=1, k=100)
    alone = by_laplace(decoder, "x", data, few, None, None, "cpu")
    bad = alone.vectors["pareto_k_laplace"] > 0.7
    assert bad.mean() > 0.1
    row = alone.row("log_likelihood", "test")
    assert Variant.of(row.variant).estimator == Estimator("laplace", {"draws": "100", "starts": "1"})
    assert row.status == "not_converged" and row.reason.endswith("of examples, and likelihood.ais is null")
    settings = AnnealingSettings(simulated=8, steps=1600, chains=16)
    handed = by_laplace(decoder, "x", data, few, settings, None, "cpu")
    best = by_laplace(decoder, "x", data, LaplaceSettings(starts=40, k=20_000), None, None, "cpu")
    before, after, truth = (found.vectors["log_likelihood"] for found in (alone, handed, best))
    assert np.abs((after - truth)[bad].mean()) < np.abs((before - truth)[bad].mean())
    gap = handed.row("bdmc_gap", "simulated")
    assert gap.n_real == 8 and handed.row("log_likelihood", "test").status == "ok"
    # the gap stands beside however few are handed on; beyond the limit it counts where they are many
    strict = settings.model_copy(update={"steps": 20, "limit": 1e-6})
    for some in (bad, np.arange(24) == np.flatnonzero(bad)[0]):
        part = replace(data, x=data.x[some] if some.sum() > 1 else np.concatenate([data.x[~bad], data.x[some]]))
        row = by_laplace(decoder, "x", part, few, strict, None, "cpu")
        share = row.row("pareto_k", "test").value
        assert share > 0 and row.row("bdmc_gap", "simulated").value > 1e-6
        assert row.row("log_likelihood", "test").status == ("not_converged" if share > 0.1 else "ok")


def test_a_mode_that_few_draws_of_the_prior_lead_to_is_found():
    """Only near `centre`, with a thousandth of the prior's mass, does the decoder make such an x."""
    centre = torch.tensor([[1.5, 1.5]])
    bump = lambda z: torch.cat([z, 5 * (-0.5 * ((z - centre) / 0.08).square().sum(1, keepdim=True)).exp()], 1)  # noqa: E731
    decoder, x = Decoder(bump, 2, 0.3), bump(centre) + torch.tensor([[-1.5, -1.5, 0.0]])
    exact, error = marginal_log_likelihood(decoder.pairwise_log_likelihood, x.double(), 2)
    assert error < 0.01
    data = HeldOut(x.numpy(), DataSpec((3,), "continuous"), 0, "data")
    found = [
        laplace_estimates(decoder, data.x, LaplaceSettings(k=2000), None, generator(seed)).values for seed in range(20)
    ]
    np.testing.assert_allclose(found, np.tile(exact, (20, 1)), atol=0.3)


@pytest.mark.parametrize("generate", [lambda z: z, torch.sinh, lambda z: z + 0.9 * z.sin()])
def test_noise_that_makes_no_difference_is_not_looked_for(monkeypatch, generate):
    """A generator that has a density without it, and made the data: any small τ does, and few rounds say so."""
    decoder, rounds = Decoder(generate, 1, None), []
    x = generate(torch.randn(32, 1, generator=torch.Generator().manual_seed(0))).numpy()
    data = HeldOut(x, DataSpec((1,), "continuous"), 0, "data", x, x)
    monkeypatch.setattr(
        generator_noise, "propose_from", lambda *given: rounds.append(given[0].tau) or propose_from(*given)
    )
    found = choose_tau(decoder, "x", data)

    def exact(tau):
        noisy = replace(decoder, tau=float(tau)).pairwise_log_likelihood
        return marginal_log_likelihood(noisy, torch.from_numpy(x).double(), 1)[0].mean()

    # these very examples may gain a hundredth of a nat by noise, and it may be found or not
    assert exact(found) > max(exact(tau * x.std()) for tau in (0.02, 0.05, 0.1, 0.2, 0.4, 0.6)) - 0.02
    assert len(rounds) < ROUNDS


def test_the_noise_around_a_generator_is_found():
    for dim, latent_dim, tau in ((12, 3, 0.15), (2, 2, 0.3), (1, 1, 0.5)):
        decoder, density = linear(dim, latent_dim, tau)
        data = held_out(decoder, 32)
        found = choose_tau(replace(decoder, tau=None), "x", data)

        def loss(other, decoder=decoder, density=density, tau=tau, data=data):
            covariance = density.cov + (other**2 - tau**2) * np.eye(len(density.mean))
            return -multivariate_normal(density.mean, covariance).logpdf(data.x).mean()

        # the likelihood of these very examples has its optimum there, or is as flat
        best = min(loss(other) for other in np.geomspace(tau / 10, 5 * tau, 200))
        assert loss(found) < best + 0.02
