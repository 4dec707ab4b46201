"""Likelihoods of held-out data by family: exact, bounds, or none; what is reported of the per-example values."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from deepgen_bench.metrics.likelihood import by_family, importance
from deepgen_bench.metrics.likelihood.by_family import exact
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.models.replicate import make_model
from deepgen_bench.plugins import DATASETS, MODELS
from deepgen_bench.runtime.errors import UserError

KS = (1, 4, 20)


def measure(model, family, held_out, ks, density):
    """Without what a decoder alone allows: that has tests of its own."""
    settings = LikelihoodSettings(k=ks, laplace=None, ais=None)
    return by_family.measure(None if family == "oracle" else model, held_out, settings, density)


@pytest.fixture(scope="module")
def loaded(small_settings, small_splits, fit):
    """`loaded(model, dataset)`: a model trained for a few steps, its family and the held-out data."""

    def get(model, dataset, **settings):
        splits, made = small_splits(dataset), small_settings(model, **settings)
        (trained,) = fit(make_model(model, made, splits.spec, "cpu"), splits, [0], 20)
        ready = make_model(model, made, splits.spec, "cpu")
        ready.load(trained.checkpoints["final"])
        return (
            ready,
            MODELS[model].family_name,
            HeldOut(splits.test[:30], splits.spec, 0, dataset, splits.train[:25], splits.validation[:40]),
        )

    return get


def by_name(found, split="test"):
    """Rows of a split by metric and K, None where there is none."""
    rows = [m for m in found.measurements if m.reference_split == split]
    return {(m.metric, m.variant.get("K")): m for m in rows}


@pytest.mark.parametrize("dataset", ["gaussian_ring", "digits", "sine_mixture"])
def test_the_gaussian_s_density_is_scipy_s(loaded, small_splits, dataset):
    model, family, held_out = loaded("gaussian", dataset)
    name, x = held_out.represent(model.representation)
    assert name == ("dequantised" if dataset == "digits" else "continuous")
    expected = multivariate_normal(model.mean, model.factor @ model.factor.T).logpdf(x)
    found = measure(model, family, held_out, KS, None)
    np.testing.assert_allclose(found.vectors["log_likelihood"], expected, rtol=1e-9)
    if dataset == "gaussian_ring":  # maximum likelihood: biased covariance, and the ridge
        train = small_splits(dataset).train
        np.testing.assert_allclose(model.mean, train.mean(0))
        covariance = np.cov(train, rowvar=False, ddof=0) + 1e-3 * np.eye(2)
        np.testing.assert_allclose(model.factor @ model.factor.T, covariance)


def test_the_gaussian_samples_what_it_says(loaded):
    model, *_ = loaded("gaussian", "gaussian_ring")
    x = model.sample(20_000, 0)[""]
    covariance = model.factor @ model.factor.T
    np.testing.assert_allclose(x.mean(0), model.mean, atol=5 * np.sqrt(covariance.diagonal().max() / 20_000))
    np.testing.assert_allclose(np.cov(x, rowvar=False), covariance, atol=0.1)


def test_a_singular_covariance_is_refused_with_a_ridge_that_works(small_settings, small_splits, fit):
    splits = small_splits("gaussian_ring")
    flat = type(splits)(splits.spec, splits.train * [1, 0], splits.validation, splits.test)
    with pytest.raises(UserError, match="ridge: the covariance of the training data is singular"):
        fit(make_model("gaussian", small_settings("gaussian", ridge=0), splits.spec, "cpu"), flat, [0], 1)


@pytest.mark.parametrize(
    ("model", "dataset", "settings"),
    [
        *((model, dataset, {}) for model in ("gaussian", "vae") for dataset in ("gaussian_ring", "digits")),
        ("vae", "digits", {"decoder": "bernoulli"}),
    ],
)
def test_reported_numbers_are_those_of_the_per_example_values(loaded, model, dataset, settings):
    ready, family, held_out = loaded(model, dataset, **settings)
    found = measure(ready, family, held_out, KS, None)
    names = {"log_likelihood"} | (set() if model == "gaussian" else {"elbo", *(f"iw_elbo_k{k}" for k in KS)})
    representation = {"gaussian_ring": "continuous", "digits": "binarised" if settings else "dequantised"}[dataset]
    bits = {"bits_per_dim", *([f"bits_per_dim_k{KS[-1]}"] if model == "vae" else [])}
    kept = names | {f"{name}_train" for name in names} | (bits if representation == "dequantised" else set())
    assert set(found.vectors) == kept
    assert {m.variant["representation"] for m in found.measurements} == {representation}
    for split, n in (("test", 30), ("train", 25)):
        rows = by_name(found, split)
        for name in names:
            values = found.vectors[name if split == "test" else f"{name}_train"]
            assert values.shape == (n,) and values.dtype == np.float64 and np.isfinite(values).all()
            metric, _, k = name.partition("_k")
            exact = metric == "log_likelihood"
            row = rows[metric, int(k) if k else None]
            assert row.value == pytest.approx(values.mean(), rel=1e-12)
            assert row.std_error == pytest.approx(values.std(ddof=1) / math.sqrt(n), rel=1e-12)
            assert (row.n_real, row.unit, row.direction, row.status) == (n, "nats", "max", "ok")
            assert row.bound == ("exact" if exact else "lower")
            assert (row.mc_error is None) == (model == "gaussian")
    rows = by_name(found)
    for k in (None,) if model == "gaussian" else (None, KS[-1]):
        assert (("bits_per_dim", k) in rows) == (representation == "dequantised")


def test_the_curve_of_k_never_falls(loaded):
    model, family, held_out = loaded("vae", "digits")
    found = measure(model, family, held_out, KS, None)
    curve = np.stack([found.vectors[f"iw_elbo_k{k}"] for k in KS])
    assert (np.diff(curve, axis=0) >= -1e-9).all() and (curve[-1] > curve[0]).all()
    rows = by_name(found)
    assert rows["elbo", None].value == pytest.approx(
        rows["reconstruction", None].value - rows["kl", None].value, rel=1e-9
    )
    assert rows["kl", None].value > 0 and 0 <= rows["active_units", None].value <= model.settings.latent_dim
    assert rows["log_likelihood", None].value > rows["iw_elbo", 20].value
    # the parts and the single-sample bound agree in expectation, over the same draws
    difference = rows["elbo", None].value - rows["iw_elbo", 1].value
    assert abs(difference) < 4 * rows["iw_elbo", 1].mc_error


def test_a_larger_latent_space_has_bounds_alone(loaded):
    found = measure(*loaded("vae", "digits", latent_dim=3), KS, None)
    row = by_name(found)["log_likelihood", None]
    assert (row.value, row.status, row.reason) == (None, "not_applicable", "intractable: see the bounds")
    assert {m.metric for m in found.measurements if m.reference_split == "train"} == {
        *("elbo", "iw_elbo", "train_test_gap")
    }


def test_numbers_do_not_depend_on_the_rows_of_a_block(loaded, monkeypatch):
    model, family, held_out = loaded("vae", "digits")
    whole = measure(model, family, held_out, KS, None)
    monkeypatch.setitem(importance.ROWS, "cpu", 7)
    parts = measure(model, family, held_out, KS, None)
    for name, values in whole.vectors.items():
        np.testing.assert_allclose(parts.vectors[name], values, rtol=1e-5)


def test_an_example_s_bound_does_not_depend_on_those_after_it(loaded):
    model, family, held_out = loaded("vae", "gaussian_ring")
    fewer = HeldOut(held_out.x[:13], held_out.spec, 0, "gaussian_ring")
    many, few = (measure(model, family, held, KS, None).vectors["iw_elbo_k20"] for held in (held_out, fewer))
    np.testing.assert_allclose(few, many[:13], rtol=1e-5)


def test_every_model_meets_the_same_draws_of_a_representation(small_splits):
    splits = small_splits("digits")
    held_out, again = (HeldOut(splits.test[:30], splits.spec, 0, "digits") for _ in range(2))
    for representation in ("dequantised", "binarised"):
        name, x = held_out.represent(representation)
        assert name == representation and x.shape == (30, 64)
        np.testing.assert_array_equal(x, again.represent(representation)[1])
        for other in (
            HeldOut(splits.test[:30], splits.spec, 1, "digits"),
            HeldOut(held_out.x, splits.spec, 0, "mnist"),
        ):
            assert not np.array_equal(x, other.represent(representation)[1])
    x = held_out.represent("dequantised")[1]
    np.testing.assert_array_equal(np.floor(x * 17), splits.test[:30].reshape(30, -1))
    assert set(np.unique(held_out.represent("binarised")[1])) == {0, 1}
    both = HeldOut(held_out.x, splits.spec, 0, "digits", held_out.x)  # training examples get noise of their own
    assert not np.array_equal(both.represent("dequantised", "train")[1], x)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_a_uniform_density_costs_the_bits_of_the_levels(small_splits, levels):
    splits = small_splits("digits")
    held_out = HeldOut(splits.test[:30].clip(0, levels - 1), replace(splits.spec, levels=levels), 0, "digits")
    found = exact(lambda x: np.zeros(len(x)), "dequantised", held_out)
    assert [m.metric for m in found.measurements] == ["log_likelihood", "bits_per_dim"]
    bits = by_name(found)["bits_per_dim", None]
    assert bits.value == pytest.approx(math.log2(levels)) and (bits.bound, bits.direction) == ("exact", "min")


def test_bits_per_dim_of_a_bound_are_above(loaded):
    model, family, held_out = loaded("vae", "digits")
    rows = by_name(measure(model, family, held_out, KS, None))
    bits, nats = rows["bits_per_dim", 20], rows["iw_elbo", 20]
    assert bits.bound == "upper" and bits.value == pytest.approx(-(nats.value / 64 - math.log(17)) / math.log(2))
    assert bits.std_error == pytest.approx(nats.std_error / 64 / math.log(2))
    assert bits.mc_error == pytest.approx(nats.mc_error / 64 / math.log(2))
    assert rows["bits_per_dim", None].bound == "exact" and rows["bits_per_dim", None].value < bits.value


def test_an_implicit_model_without_a_decoder_has_no_likelihood_and_says_why(loaded):
    _, family, held_out = loaded("gan", "gaussian_ring")
    (row,) = measure(object(), family, held_out, KS, None).measurements
    assert (row.metric, row.value, row.status) == ("log_likelihood", None, "not_applicable")
    assert row.reason == "the model only draws samples: it has no likelihood" and row.n_real == 30


@pytest.mark.parametrize("model", ["gan", "gan_ns", "wgan", "wgan_gp"])
def test_a_generator_has_the_likelihood_of_its_samples_with_noise(loaded, model):
    """Its density from the grid is that of kernels around very many samples."""
    model, family, held_out = loaded(model, "gaussian_ring")
    found = measure(model, family, held_out, KS, None)
    row, tau = by_name(found)["log_likelihood", None], by_name(found, "validation")["tau", None]
    assert (row.bound, row.status, row.variant["estimator"]) == ("exact", "ok", "grid") and tau.n_real == 32
    samples, d = model.sample(200_000, 0)[""], 2
    squares = ((held_out.x[:, None] - samples) ** 2).sum(-1)
    kernels = np.exp(-0.5 * squares / tau.value**2).mean(1) / (2 * np.pi * tau.value**2) ** (d / 2)
    assert found.vectors["log_likelihood"].mean() == pytest.approx(np.log(kernels).mean(), abs=0.1)


def test_the_oracle_has_the_data_s_own_density_where_it_is_known(loaded, small_splits):
    made = DATASETS["gaussian_ring"](DATASETS["gaussian_ring"].Settings())
    oracle, family, held_out = loaded("oracle", "gaussian_ring")
    found = measure(oracle, family, held_out, KS, made.log_prob)
    np.testing.assert_array_equal(found.vectors["log_likelihood"], made.log_prob(held_out.x))
    # of itself a true density says nothing; how far two splits differ by chance it does
    assert [m.metric for m in found.measurements] == ["log_likelihood", "log_likelihood", "train_test_gap"]
    (row,) = measure(*loaded("oracle", "digits"), KS, None).measurements
    assert (row.status, row.reason) == ("not_applicable", "the density of real data is unknown")


# training examples


def test_the_gap_is_that_of_the_same_likelihood_on_both_splits(loaded):
    for model, dataset, k in (("gaussian", "digits", None), ("vae", "digits", 20), ("vae", "digits", None)):
        found = measure(*loaded(model, dataset), KS, None)
        metric = "iw_elbo" if k == 20 else "log_likelihood"
        test, train = by_name(found)[metric, k], by_name(found, "train")[metric, k]
        gap = by_name(found, "train")["train_test_gap", k]
        assert gap.value == train.value - test.value and (gap.bound, gap.direction) == ("estimate", "none")
        assert gap.std_error == pytest.approx(math.hypot(test.std_error, train.std_error))
        assert gap.variant == test.variant and gap.n_real == 25


def test_no_more_than_100_weights_are_spent_on_a_training_example(loaded):
    found = measure(*loaded("vae", "gaussian_ring"), (1, 100, 200), None)
    assert {k for metric, k in by_name(found, "train") if metric == "iw_elbo"} == {1, 100}
    assert by_name(found, "train")["train_test_gap", 100].status == "ok"
    found = measure(*loaded("vae", "digits", latent_dim=3), (200, 400), None)
    (row,) = by_name(found, "train").values()
    assert (row.metric, row.value, row.status) == ("train_test_gap", None, "not_applicable")
    assert row.reason == "likelihood.k has no number up to 100"


def test_what_was_memorised_shows_in_the_gap(small_splits):
    """A kernel estimate on the training examples against the density that they come from."""
    splits, made = small_splits("gaussian_ring"), DATASETS["gaussian_ring"](DATASETS["gaussian_ring"].Settings())
    held_out = HeldOut(splits.test, splits.spec, 0, "gaussian_ring", splits.train[:60])

    def memory(x):
        squares = np.square(x[:, None] - splits.train[:60]).sum(-1)
        return np.log(np.exp(-squares / 2 / 0.02**2).mean(1) / (2 * np.pi * 0.02**2) + 1e-9)

    (gap,) = [m for m in exact(memory, "continuous", held_out).measurements if m.metric == "train_test_gap"]
    assert gap.value > 8 * gap.std_error
    (gap,) = [m for m in exact(made.log_prob, "continuous", held_out).measurements if m.metric == "train_test_gap"]
    assert abs(gap.value) < 3 * gap.std_error


# what cannot be averaged


def test_what_is_not_a_number_is_named(loaded):
    model, family, held_out = loaded("vae", "gaussian_ring")
    spoilt = replace(held_out, x=np.where(np.arange(30)[:, None] == 7, np.nan, held_out.x))
    with pytest.raises(UserError, match="test examples: 1 of 30 examples hold NaN"):
        measure(model, family, spoilt, KS, None)
    with pytest.raises(UserError, match="log_likelihood: NaN or .inf for 30 of 30 examples"):
        exact(lambda x: np.full(len(x), np.nan), "continuous", held_out)
    model.module.decoder[-1].weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="log_weights: 8 of 8 examples hold NaN"):
        measure(model, family, held_out, KS, None)


def test_a_density_that_is_zero_somewhere_has_no_mean(small_splits):
    splits = small_splits("digits")
    held_out = HeldOut(splits.test[:30], splits.spec, 0, "digits", splits.train[:30])
    found = exact(lambda x: np.where(np.arange(len(x)) < 2, -np.inf, 1.0), "dequantised", held_out)
    values = {(row.metric, row.reference_split): row.value for row in found.measurements}
    lost = {"log_likelihood": -np.inf, "bits_per_dim": np.inf, "train_test_gap": None}
    assert values == {(metric, split): lost[metric] for metric, split in values}
    for row in found.measurements:
        assert (row.std_error, row.mc_error) == (None, None)
        assert row.status == ("ok" if row.metric != "train_test_gap" else "not_applicable")
        assert row.reason == "2 of 30 examples have density 0: the mean is -inf"


def test_one_example_has_no_standard_error(small_splits):
    splits = small_splits("gaussian_ring")
    found = exact(lambda x: -(x**2).sum(1), "continuous", HeldOut(splits.test[:1], splits.spec, 0, "ring"))
    assert found.measurements[0].std_error is None and found.measurements[0].value < 0
