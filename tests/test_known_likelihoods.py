"""Likelihood rows where the truth is known: linear-Gaussian VAEs, and models held against the data's own density."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.model_likelihood import HeldOut, bounds, exact, measure
from deepgen_bench.models import MODELS
from deepgen_bench.models.vae import VAE

D, TAU = 5, 0.4


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
    ratios = rows(found, "log_density_ratio")
    assert [row.bound for row in ratios] == ["exact", "lower"][z == 3 :]
    for row in ratios:
        assert row.value == pytest.approx(0, abs=1e-4) and (row.status, row.direction) == ("ok", "max")
    # the ELBO of the exact posterior, too, up to its draws
    (elbo,) = rows(found, "elbo")
    assert abs(elbo.value - truth.mean()) < 4 * elbo.mc_error


def test_a_wide_encoder_is_trusted_and_right():
    model, density = linear_vae(widen=1.4)
    data = held_out(density)
    found = bounds(model, data, (1, 10, 1000))
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
    assert (last.status, last.reason) == ("not_converged", f"Pareto k > 0.7 on {share:.0%} of examples: a loose bound")
    assert before.status == "ok" and before.value < last.value < density.logpdf(data.x).mean() - last.mc_error
    (by_grid, by_weights) = rows(found, "log_density_ratio")
    assert by_grid.status == "ok" and (by_weights.status, by_weights.reason) == (last.status, last.reason)
    assert [row.status for row in rows(found, "train_test_gap", "train")] == ["ok", "ok"]
    assert by_weights.value < by_grid.value == pytest.approx(0, abs=1e-3)


def test_too_few_weights_for_a_tail():
    model, density = linear_vae()
    found = bounds(model, held_out(density, 9), (1, 100))
    (row,) = rows(found, "pareto_k")
    assert row.value is not None
    found = bounds(model, held_out(density, 9), (1, 99))
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
    found = bounds(model, held_out(density, 9), (1,))
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
        found = bounds(model, held_out(density, 30, seed), (1, 5, 50))
        (elbo,) = rows(found, "elbo")
        sampling.append((elbo.value + entropy + gap) / elbo.std_error)
        found = bounds(model, HeldOut(fixed, model.spec, seed, "data"), (1, 5, 50))
        (elbo,), last = rows(found, "elbo"), rows(found, "iw_elbo")[-1]
        by_draws["elbo"].append((elbo.value, elbo.mc_error))
        by_draws["iw_elbo"].append((last.value, last.mc_error))
    assert 0.91 < (np.abs(sampling) <= 2).mean() < 0.985
    values, errors = np.array(by_draws["elbo"]).T
    truth = density.logpdf(fixed).mean() - gap
    assert 0.91 < (np.abs(values - truth) <= 2 * errors).mean() < 0.985
    values, errors = np.array(by_draws["iw_elbo"]).T
    assert 0.91 < (np.abs(values - values.mean()) <= 2 * errors).mean() < 0.985


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
    assert [m.status for m in against_truth(TRUTH, 0, shift=1e-3).measurements] == ["suspect"] * 2 + ["ok", "suspect"]


def test_a_latent_model_s_exact_values_and_bound_are_both_held_against_the_truth():
    model, density = linear_vae()
    data = held_out(density)
    found = measure(model, "latent", data, (1, 200), lambda x: density.logpdf(x) - 0.3)
    assert [row.status for row in rows(found, "log_density_ratio")] == ["suspect", "suspect"]
    assert rows(found, "log_likelihood")[0].status == rows(found, "iw_elbo")[-1].status == "suspect"
    assert rows(found, "iw_elbo")[0].status == rows(found, "elbo")[0].status == "ok"
