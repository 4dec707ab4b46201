"""Diffusion: samplers, bound and flow against closed forms on Gaussian data, and what holds for any network."""

import math

import numpy as np
import pytest
import torch

from deepgen_bench.datasets.base import Splits
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood.by_family import measure
from deepgen_bench.metrics.likelihood.diffusion import bound, flow, flow_log_likelihood
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.models.diffusion.model import HIGH, LEVELS, LOW, Diffusion, signal, signal_and_noise
from deepgen_bench.models.replicate import make_model
from deepgen_bench.plugins import DATASETS
from deepgen_bench.storage.keys import Variant

SHIFT, SCALE, SD = 1.0, 0.5, 0.7


class ExactScore(Diffusion):
    """Of data N(SHIFT, (SCALE SD)² I)."""

    def velocity(self, z, log_snr):
        alpha, sigma = signal_and_noise(log_snr)
        return z * alpha * sigma * (1 - SD**2) / (alpha**2 * SD**2 + sigma**2)


@pytest.fixture
def exact(small_settings):
    """`exact(dim, **settings)`: a loaded model with the exact score of Gaussian data."""

    def get(dim, **settings):
        model = ExactScore(small_settings("diffusion", **settings), DataSpec((dim,), "continuous"), "cpu")
        model.module = model.build([torch.Generator()])
        model.module.shift[:], model.module.scale[:] = SHIFT, SCALE
        model.validation_seed = 0
        model.validation = SHIFT + SCALE * SD * torch.randn(1, 20_000, dim, generator=torch.Generator().manual_seed(1))
        score = model.validate()["validation_score"]
        assert score.item() == pytest.approx(model.module.errors.mean().item(), rel=1e-6)
        return model

    return get


def log_normal(x, sd):
    return -0.5 * (((x - SHIFT) / sd) ** 2).sum(1) - x.shape[1] * math.log(sd * math.sqrt(2 * math.pi))


def points(dim, n=400):
    return SHIFT + SCALE * SD * np.random.default_rng(0).standard_normal((n, dim))


def test_the_noise_s_error_is_measured_at_every_level(exact):
    log_snr = torch.linspace(HIGH, LOW, 2 * LEVELS + 1)[1::2]
    alpha, sigma = signal_and_noise(log_snr)
    expected = alpha**2 * SD**2 / (alpha**2 * SD**2 + sigma**2)
    # 400 examples of three coordinates at each
    torch.testing.assert_close(exact(3).module.errors[0], expected, rtol=5 * math.sqrt(2 / 1200), atol=1e-3)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_both_samplers_of_the_exact_score_draw_the_data(exact, dim):
    n = 20_000
    drawn = exact(dim, steps=100, ddim_steps=200).sample(n, 0)
    assert list(drawn) == ["ddim_200", "ancestral_100"]
    for x in drawn.values():
        np.testing.assert_allclose(x.mean(0), SHIFT, atol=5 * SCALE * SD / math.sqrt(n))
        np.testing.assert_allclose(x.std(0), SCALE * SD, rtol=5 / math.sqrt(2 * n) + 5e-3)
        np.testing.assert_allclose(np.corrcoef(x.T) * np.ones((dim, dim)), np.eye(dim), atol=5 / math.sqrt(n))


def test_ddim_is_its_own_product_of_factors(exact):
    """On N(0, SD²) each step multiplies by a number that can be written down."""
    model, factor = exact(1, ddim_steps=7), 1.0
    for step in model.transitions(7):
        alpha, sigma = signal(step.now), signal(-step.now)
        shrink = alpha * SD**2 / (alpha**2 * SD**2 + sigma**2)
        factor *= signal(step.following) * shrink + signal(-step.following) / sigma * (1 - alpha * shrink)
    first = torch.Generator().manual_seed(4)
    noise = torch.empty(1000).normal_(generator=first)
    np.testing.assert_allclose(
        model.sample(1000, 4)["ddim_7"][:, 0], SHIFT + SCALE * factor * noise.numpy(), rtol=1e-4, atol=1e-5
    )


def gap(model, x):
    """By how much the bound is below the log density in the mean, and its Monte-Carlo error."""
    values, errors = bound(model, x, 0)
    assert values.shape == errors.shape == (len(x),) and (errors > 0).all()
    return (log_normal(x, SCALE * SD) - values).mean(), math.sqrt((errors**2).sum()) / len(x)


@pytest.mark.parametrize("steps", [5, 50, 500])
def test_the_bound_is_tight_where_the_steps_are_gaussian(exact, steps):
    """On Gaussian data the chain's Gaussians with the best variance are the truth, whatever the number of steps."""
    found, error = gap(exact(3, steps=steps), points(3))
    assert abs(found) < 0.005 + 4 * error


def test_the_bound_rises_to_the_log_density_with_the_steps(exact):
    """With variances of the steps as if x̂ were the truth (Ho et al. 2020, section 3.2), all but the last one's."""
    gaps = []
    for steps in (10, 40, 160, 640):
        model = exact(3, steps=steps)
        model.module.errors[:, 1:] = 0
        found, error = gap(model, points(3))
        gaps.append(found)
        assert found > -4 * error
    assert (np.diff(gaps) < 0).all() and gaps[-1] < 0.1 + 4 * error


def test_the_bound_s_monte_carlo_error_is_its_spread(exact):
    model, x = exact(2, steps=20), points(2, 50)
    found = [bound(model, x, seed) for seed in range(60)]
    means = np.array([values.mean() for values, _ in found])
    error = np.sqrt(np.mean([(errors**2).sum() for _, errors in found])) / 50
    assert means.std(ddof=1) == pytest.approx(error, rel=5 / math.sqrt(2 * 59))


def test_no_other_variance_of_the_steps_has_a_better_bound(exact):
    model, x = exact(2, steps=20), points(2)
    best = bound(model, x, 0)[0].mean()
    for factor in (0.5, 2):
        other = exact(2, steps=20)
        other.module.errors *= factor
        assert bound(other, x, 0)[0].mean() < best - 0.05


def test_an_example_s_bound_does_not_depend_on_those_after_it(exact):
    model, x = exact(2), points(2, 130)
    np.testing.assert_allclose(bound(model, x, 0)[0][:110], bound(model, x[:110], 0)[0], rtol=1e-9)


@pytest.mark.parametrize("dim", [1, 2])
def test_the_flow_of_the_exact_score_has_its_density(exact, dim):
    """It carries N(0, I) at the noise side to a Gaussian whose variance follows from the exact marginals."""
    x = points(dim)
    at_data, at_noise = (math.sqrt(signal(s) ** 2 * SD**2 + signal(-s) ** 2) for s in (HIGH, LOW))
    found = flow(exact(dim), x)
    values = found.values
    np.testing.assert_allclose(values, log_normal(x, SCALE * at_data / at_noise / signal(HIGH)), atol=1e-6)
    np.testing.assert_allclose(values, log_normal(x, SCALE * SD), atol=0.02)
    assert found.mc_error < 1e-3 and found.status == "ok"


@pytest.fixture(scope="module")
def trained(small_settings, small_splits, fit):
    """`trained(dataset)`: a small network after a short training."""

    def get(dataset):
        splits = small_splits(dataset)
        model = make_model("diffusion", small_settings("diffusion", steps=100), splits.spec, "cpu")
        (done,) = fit(model, splits, [0], 300)
        model.load(done.checkpoints["final"])
        return model

    return get


@pytest.mark.parametrize(("dim", "step"), [(1, 0.01), (2, 0.2)])
def test_the_flow_s_density_integrates_to_one(small_settings, fit, dim, step):
    a, b = np.random.default_rng(0).standard_normal((2, 2000))
    x = np.stack([a, 0.3 * a**2 + 0.6 * b], 1)[:, 2 - dim :]
    spec = DataSpec((dim,), "continuous")
    model = make_model("diffusion", small_settings("diffusion", fourier_features=1), spec, "cpu")
    (done,) = fit(model, Splits(spec, x, x, x), [0], 300)
    model.load(done.checkpoints["final"])
    axis = np.arange(-7, 7, step)
    grid = np.stack(np.meshgrid(*[axis] * dim), -1).reshape(-1, dim)
    model.module.double()
    values = flow_log_likelihood(model, torch.from_numpy(grid[None]), 50)
    assert np.exp(values).sum() * step**dim == pytest.approx(1, abs=1e-3)


def test_what_is_reported_of_vectors_and_of_images(trained, small_splits):
    splits, made = small_splits("gaussian_ring"), DATASETS["gaussian_ring"](DATASETS["gaussian_ring"].Settings())
    held_out = HeldOut(splits.test[:40], splits.spec, 0, "gaussian_ring", splits.train[:30])
    found = measure(trained("gaussian_ring"), held_out, LikelihoodSettings(), made.log_prob)
    flow, chain = "flow_ode", "denoising_bound(steps=100)"
    assert [(m.metric, m.reference_split, str(Variant.of(m.variant).estimator)) for m in found.measurements] == [
        ("log_likelihood", "test", flow),
        ("log_density_ratio", "test", flow),
        ("log_likelihood", "train", flow),
        ("train_test_gap", "train", flow),
        ("elbo", "test", chain),
        ("elbo", "train", chain),
        ("train_test_gap", "train", chain),
    ]
    # two numbers of one metric and split, whose estimators alone do not keep them apart in a table
    assert [m.variant.get("of") for m in found.measurements if m.metric == "train_test_gap"] == [None, "elbo"]
    rows = {m.metric: m for m in found.measurements if m.reference_split == "test"}
    assert (rows["log_likelihood"].bound, rows["elbo"].bound) == ("estimate", "lower")
    truth = made.log_prob(splits.test[:40])
    for name in ("log_likelihood", "elbo"):
        below = truth - found.vectors[name]
        assert rows[name].value == pytest.approx(found.vectors[name].mean()) and rows[name].mc_error > 0
        assert below.mean() > -3 * below.std() / math.sqrt(40)

    splits = small_splits("digits")
    held_out = HeldOut(splits.test[:10], splits.spec, 0, "digits")
    density, elbo, bits = measure(trained("digits"), held_out, LikelihoodSettings(), None).measurements
    assert (density.status, density.reason) == ("not_applicable", "intractable: see the bound")
    assert (elbo.metric, bits.metric, bits.bound) == ("elbo", "bits_per_dim", "upper")
    assert bits.value == pytest.approx(-(elbo.value / 64 - math.log(17)) / math.log(2))


def test_samples_do_not_depend_on_the_rows_that_fit_into_memory(trained, monkeypatch):
    model = trained("digits")
    whole, denoise = model.sample(1000, 0), model.denoise

    def scarce(z, log_snr):
        if z.shape[1] > 300:
            raise MemoryError
        return denoise(z, log_snr)

    monkeypatch.setattr(model, "denoise", scarce)
    for output, x in model.sample(1000, 0).items():
        assert (x != whole[output]).mean() < 1e-3  # the same noise; products of fewer rows may round otherwise
