"""Likelihood rows where the truth is known: linear-Gaussian VAEs, and models held against the data's own density."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood import by_family
from deepgen_bench.metrics.likelihood.by_family import exact
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.importance import encoder_bounds
from deepgen_bench.metrics.likelihood.rows import Likelihoods
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.metrics.likelihood.weights import active_units, active_units_error, median_error
from deepgen_bench.models.vae.model import VAE
from deepgen_bench.plugins import MODELS

D, TAU = 5, 0.4


def measure(model, family, held_out, ks, density):
    """Without what a decoder alone allows: that has tests of its own."""
    settings = LikelihoodSettings(k=ks, laplace=None, ais=None)
    return by_family.measure(None if family == "oracle" else model, held_out, settings, density)


def linear_vae(z=2, widen=1.0):
    """Probabilistic principal components as a VAE, its encoder the posterior with standard deviations times `widen`;
    and its density."""
    rng = np.random.default_rng(0)
    w = np.linalg.qr(rng.standard_normal((D, z)))[0] * np.linspace(1.5, 0.8, z)
    b, precision = rng.standard_normal(D), np.square(np.linspace(1.5, 0.8, z)) + TAU**2
    model = VAE(MODELS["vae"].settings(hidden=(), tau=TAU, latent_dim=z), DataSpec((D,), "continuous"))
    log_variance = np.log(TAU**2 / precision) + 2 * np.log(widen)
    state = {
        "shift": np.zeros((1, 1, D)),
        "scale": np.ones((1, 1, 1)),
        "log_tau": np.full((1, 1, 1), np.log(TAU)),
        "encoder.0.weight": np.concatenate([w / precision, np.zeros((D, z))], 1)[None],
        "encoder.0.bias": np.concatenate([-b @ w / precision, log_variance]).reshape(1, 1, -1),
        "decoder.0.weight": w.T[None],
        "decoder.0.bias": b.reshape(1, 1, -1),
    }
    model.load({name: array.astype(np.float32) for name, array in state.items()})
    return model, multivariate_normal(b, w @ w.T + TAU**2 * np.eye(D))


def held_out(density, n=60, seed=0):
    x, train = density.rvs(n, random_state=1 + seed), density.rvs(n, random_state=100_000 + seed)
    return HeldOut(x, DataSpec((D,), "continuous"), seed, "data", train)


def rows(found, metric, split="test"):
    return [m for m in found.measurements if (m.metric, m.reference_split) == (metric, split)]


@pytest.mark.parametrize("z", [1, 2, 3])
def test_with_the_exact_posterior_all_rows_agree(z):
    model, density = linear_vae(z)
    data = held_out(density)
    found = measure(model, "latent", data, (1, 10, 400), density.logpdf)
    truth = density.logpdf(data.x)
    (pareto,), (ess,) = rows(found, "pareto_k"), rows(found, "ess")
    assert (pareto.value, pareto.variant) == (0, {"representation": "continuous", "K": 400, "threshold": 0.7})
    assert ess.value == pytest.approx(400, rel=1e-5) and (ess.direction, pareto.direction) == ("none", "none")
    for row in rows(found, "iw_elbo"):
        assert row.value == pytest.approx(truth.mean(), abs=1e-4) and row.mc_error < 1e-4 and row.status == "ok"
    if z < 3:
        (row,) = rows(found, "log_likelihood")
        np.testing.assert_allclose(found.vectors["log_likelihood"], truth, atol=1e-4)
        assert (row.bound, row.status) == ("exact", "ok") and row.mc_error < 0.01
    (row,) = rows(found, "log_density_ratio")
    assert row.bound == ("lower" if z == 3 else "exact")
    assert row.value == pytest.approx(0, abs=1e-4) and (row.status, row.direction) == ("ok", "max")
    # the ELBO of the exact posterior, too, up to its draws
    (elbo,) = rows(found, "elbo")
    assert abs(elbo.value - truth.mean()) < 4 * elbo.mc_error


def test_a_wide_encoder_is_trusted_and_right():
    model, density = linear_vae(widen=1.4)
    data = held_out(density)
    found = encoder_bounds(model, data, (1, 10, 1000))
    last = rows(found, "iw_elbo")[-1]
    assert last.status == "ok" and rows(found, "pareto_k")[0].value < 0.05
    assert 300 < rows(found, "ess")[0].value < 900
    assert abs(last.value - density.logpdf(data.x).mean()) < 4 * last.mc_error + 1e-3


def test_a_narrow_encoder_gives_a_loose_bound_that_keeps_its_value():
    model, density = linear_vae(widen=0.4)
    data = held_out(density)
    found = measure(model, "latent", data, (1, 10, 1000), density.logpdf)
    last, before = rows(found, "iw_elbo")[-1], rows(found, "iw_elbo")[-2]
    share = rows(found, "pareto_k")[0].value
    assert share > 0.5
    why = f"Pareto k > 0.7 on {share:.0%} of examples: the bound may be loose"
    assert (last.status, last.reason) == ("not_converged", why)
    assert before.status == "ok" and before.value < last.value < density.logpdf(data.x).mean() - last.mc_error
    (by_grid,) = rows(found, "log_density_ratio")
    assert by_grid.status == "ok" and by_grid.value == pytest.approx(0, abs=1e-3)
    assert [row.status for row in rows(found, "train_test_gap", "train")] == ["ok", "ok"]
    # in three dimensions there is no exact value
    model, density = linear_vae(z=3, widen=0.4)
    found = measure(model, "latent", held_out(density), (1, 10, 1000), density.logpdf)
    last, (by_weights,) = rows(found, "iw_elbo")[-1], rows(found, "log_density_ratio")
    assert (by_weights.status, by_weights.reason) == (last.status, last.reason) and by_weights.value < -last.mc_error


def test_too_few_weights_for_a_tail():
    model, density = linear_vae()
    found = encoder_bounds(model, held_out(density, 9), (1, 100))
    (row,) = rows(found, "pareto_k")
    assert row.value is not None
    found = encoder_bounds(model, held_out(density, 9), (1, 99))
    (row,) = rows(found, "pareto_k")
    assert (row.value, row.status, row.direction) == (None, "not_applicable", "none")
    assert row.reason == "K=99 leaves 19 weights in the tail; at least 20 are needed, so K from 100"
    assert rows(found, "iw_elbo")[-1].status == "ok"
    # a gap to a bound that has not converged has not either
    model, density = linear_vae(widen=0.3)
    found = measure(model, "latent", held_out(density), (1, 100), None)
    loose, (exact_gap, gap) = rows(found, "iw_elbo")[-1], rows(found, "train_test_gap", "train")
    assert (gap.status, gap.reason) == (loose.status, loose.reason) and loose.status == "not_converged"
    assert exact_gap.status == "ok" and gap.value is not None
    found = encoder_bounds(model, held_out(density, 9), (1,))
    assert [row.mc_error for name in ("elbo", "iw_elbo", "reconstruction") for row in rows(found, name)] == [None] * 3


def test_errors_cover_what_they_say():
    """250 replications of 30 examples: the sampling error about the expected value, the Monte-Carlo error about the
    value that infinitely many draws would give for the same examples."""
    model, density = linear_vae(z=3, widen=1.2)
    gap = 3 * (1.2**2 - 1 - np.log(1.2**2)) / 2  # of the ELBO, for every x
    entropy = density.entropy()
    sampling, by_draws = [], {"elbo": [], "iw_elbo": []}
    fixed = density.rvs(30, random_state=0)
    for seed in range(250):
        found = encoder_bounds(model, held_out(density, 30, seed), (1, 5, 50))
        (elbo,) = rows(found, "elbo")
        sampling.append((elbo.value + entropy + gap) / elbo.std_error)
        found = encoder_bounds(model, HeldOut(fixed, model.spec, seed, "data"), (1, 5, 50))
        (elbo,), last = rows(found, "elbo"), rows(found, "iw_elbo")[-1]
        by_draws["elbo"].append((elbo.value, elbo.mc_error))
        by_draws["iw_elbo"].append((last.value, last.mc_error))
    assert 0.91 < (np.abs(sampling) <= 2).mean() < 0.985
    values, errors = np.array(by_draws["elbo"]).T
    truth = density.logpdf(fixed).mean() - gap
    assert 0.91 < (np.abs(values - truth) <= 2 * errors).mean() < 0.985
    values, errors = np.array(by_draws["iw_elbo"]).T
    assert 0.91 < (np.abs(values - values.mean()) <= 2 * errors).mean() < 0.985


def test_errors_of_the_diagnostics_cover():
    """500 replications of a skewed median and of a count of 20 units at the threshold, which is conservative."""
    rng, median, count = np.random.default_rng(0), [], []
    for _ in range(500):
        values = np.exp(rng.standard_normal(100))
        median.append(np.abs(np.median(values) - 1) <= 2 * median_error(values))
        means = 0.1 * rng.standard_normal((100, 20))
        count.append((active_units(means), active_units_error(means)))
    assert 0.91 < np.mean(median) < 0.98
    units, errors = np.array(count).T
    assert (np.abs(units - units.mean()) <= 2 * errors).mean() > 0.95 and 1 < errors.mean() / units.std() < 2.2
    model, density = linear_vae(3)
    found = encoder_bounds(model, held_out(density, 50), (1, 20))
    assert rows(found, "active_units")[0].std_error == 0 and rows(found, "ess")[0].std_error is not None
    found = encoder_bounds(model, held_out(density, 2), (1, 20))
    assert rows(found, "active_units")[0].std_error is rows(found, "ess")[0].std_error is None


# against the true density, in one dimension: the truth is N(0, 1)

LINE = DataSpec((1,), "continuous")
TRUTH = norm()


def against_truth(model, seed, n=100, shift=0.0):
    rng = np.random.default_rng(seed)
    data = HeldOut(rng.standard_normal((n, 1)), LINE, 0, "line", rng.standard_normal((n, 1)))
    return exact(lambda x: model.logpdf(x[:, 0]) + shift, "continuous", data, lambda x: TRUTH.logpdf(x[:, 0]))


def test_the_ratio_estimates_the_divergence_with_its_error():
    model = norm(0.4, 1.3)
    divergence = np.log(1.3) + (1 + 0.4**2) / (2 * 1.3**2) - 0.5
    ratio, entropy, gap = [], [], []
    for seed in range(400):
        found = against_truth(model, seed, 400)  # the ratio is skewed: 92 % at n = 100
        (row,), (single,) = rows(found, "log_density_ratio"), rows(found, "log_likelihood")
        (both,) = rows(found, "train_test_gap", "train")
        assert row.status == single.status == "ok"
        ratio.append((row.value + divergence) / row.std_error)
        entropy.append((single.value + divergence + TRUTH.entropy()) / single.std_error)
        gap.append(both.value / both.std_error)
    for standardised in (ratio, entropy, gap):
        assert 0.92 < (np.abs(standardised) <= 2).mean() < 0.98


def test_only_what_no_density_can_do_is_suspect():
    # close to the truth, most of the noise is above zero now and then: never flagged in 400 samples
    for seed in range(400):
        assert {m.status for m in against_truth(norm(0.05, 1.02), seed).measurements} == {"ok"}
    assert {m.status for m in against_truth(TRUTH, 0).measurements} == {"ok"}
    # a forgotten constant
    found = against_truth(norm(0.05, 1.02), 0, shift=0.5)
    (row,), (source,) = rows(found, "log_density_ratio"), rows(found, "log_likelihood")
    assert row.status == source.status == "suspect" and row.reason == source.reason
    assert row.value == pytest.approx(0.5, abs=0.05) and source.value is not None
    assert row.reason.startswith("on average 0.5") and row.reason.endswith("which no density can be")
    # and so is what is made of it, but not the training examples' own row
    assert [m.status for m in against_truth(TRUTH, 0, shift=0.1).measurements] == ["suspect"] * 2 + ["ok", "suspect"]


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_a_few_examples_accuse_no_right_likelihood(n):
    """Whose error is unknown, or tiny by chance."""
    for seed in range(500):
        assert {m.status for m in against_truth(norm(0.3, 0.8), seed, n).measurements} == {"ok"}
    assert {m.status for m in against_truth(TRUTH, 0, n, shift=15 / n).measurements} == {"ok", "suspect"}


def test_a_rare_mode_that_is_dropped_and_not_drawn_accuses_no_one():
    """Without an example of it the model is everywhere above the truth, by a constant with no error at all."""
    rare, drawn = 0.005, 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = np.where(rng.random((200, 1)) < rare, 50.0, 0.0) + rng.standard_normal((200, 1))
        drawn += bool((x > 25).any())

        def truth(x):
            return np.logaddexp(np.log1p(-rare) + norm(0).logpdf(x[:, 0]), np.log(rare) + norm(50).logpdf(x[:, 0]))

        found = exact(lambda x: norm(0).logpdf(x[:, 0]), "continuous", HeldOut(x, LINE, 0, "line"), truth)
        assert {m.status for m in found.measurements} == {"ok"}
    assert 0.5 < drawn / 300 < 0.75


def test_large_values_are_rounded_more():
    found = Likelihoods()
    values = np.full(200, -1e5)
    source = found.add("log_likelihood", values, keep=True, variant={"representation": "continuous"})
    found.compare_with_truth(source, values - 0.5)
    assert {m.status for m in found.measurements} == {"ok"}


@pytest.mark.parametrize(("z", "metric"), [(2, "log_likelihood"), (3, "iw_elbo")])
def test_a_latent_model_is_held_against_the_truth_once(z, metric):
    model, density = linear_vae(z)
    found = measure(model, "latent", held_out(density), (1, 200), lambda x: density.logpdf(x) - 0.3)
    assert [row.status for row in rows(found, "log_density_ratio")] == ["suspect"]
    assert rows(found, metric)[-1].status == "suspect"
    assert rows(found, "iw_elbo")[0].status == rows(found, "elbo")[0].status == "ok"


# the exact values against the bound


def test_no_bound_of_a_poor_encoder_accuses_the_exact_values():
    """300 encoders, off by up to three posterior standard deviations and 0.2 to 3 times as wide: skewed errors."""
    rng = np.random.default_rng(0)
    loose = 0
    for seed in range(300):
        model, density = linear_vae(1, widen=np.exp(rng.uniform(np.log(0.2), np.log(3))))
        bias = model.module.encoder[0].bias.data[0, 0]
        bias[0] += rng.uniform(-3, 3) * (0.5 * bias[1]).exp()
        found = measure(model, "latent", held_out(density, int(rng.choice([2, 20, 100])), seed), (1, 5, 100), None)
        assert {row.status for split in ("test", "train") for row in rows(found, "log_likelihood", split)} == {"ok"}
        loose += rows(found, "iw_elbo")[-1].status == "not_converged"
    assert 100 < loose < 290


def spiked_vae():
    """g(z) = 10 on a spike between two nodes of the grid, 0 elsewhere; the encoder knows where."""
    model = VAE(MODELS["vae"].settings(hidden=(3,), tau=0.5, latent_dim=1), LINE, "cpu")
    centre, half = 1 / 512, 2e-4
    slopes = np.array([1, -2, 1]) * 10 / half
    state = {
        "shift": np.zeros((1, 1, 1)),
        "scale": np.ones((1, 1, 1)),
        "log_tau": np.full((1, 1, 1), np.log(0.5)),
        "encoder.0.weight": np.zeros((1, 1, 3)),
        "encoder.0.bias": np.zeros((1, 1, 3)),
        "encoder.2.weight": np.zeros((1, 3, 2)),
        "encoder.2.bias": np.array([centre, 2 * np.log(half / 10)]).reshape(1, 1, 2),
        "decoder.0.weight": np.ones((1, 1, 3)),
        "decoder.0.bias": -np.array([centre - half, centre, centre + half]).reshape(1, 1, 3),
        "decoder.2.weight": slopes.reshape(1, 3, 1),
        "decoder.2.bias": np.zeros((1, 1, 1)),
    }
    model.load({name: array.astype(np.float32) for name, array in state.items()})
    return model


@pytest.mark.parametrize("missed", [1, 40])
def test_a_spike_between_the_nodes_is_seen_by_the_bound(missed):
    """Its quadrature is off by nats and finds no error."""
    x = np.random.default_rng(0).normal(0, 0.5, (40, 1))
    x[:missed] += 10
    found = measure(spiked_vae(), "latent", HeldOut(x, LINE, 0, "line", x), (1, 100), lambda x: norm().logpdf(x[:, 0]))
    (row,), (train,) = rows(found, "log_likelihood"), rows(found, "log_likelihood", "train")
    assert row.status == train.status == "suspect" and row.mc_error < 0.01
    assert "which no bound can be" in row.reason
    assert (rows(found, "train_test_gap", "train")[0].reason, rows(found, "log_density_ratio")[0].status) == (
        *(train.reason, "suspect"),
    )
