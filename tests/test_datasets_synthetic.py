"""Synthetic densities: the log density is right, the sampler draws from it, the splits are fixed and independent."""

from math import log, pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import integrate, stats

from deepgen_bench.datasets.digits import Digits
from deepgen_bench.datasets.synthetic import GaussianGrid, GaussianRing, SineMixture

ALL = [SineMixture, GaussianRing, GaussianGrid]


def make(kind, **settings):
    return kind(kind.Settings(**settings))


@pytest.mark.parametrize("variance", [1e-4, 0.01, 0.25, 1.0])
def test_sine_mixture_density_integrates_to_one(variance):
    dataset = make(SineMixture, variance=variance)
    x = np.linspace(-1 - 12 * variance**0.5, 1 + 12 * variance**0.5, 20_001)
    assert np.trapezoid(np.exp(dataset.log_prob(x[:, None])), x) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("variance", [1e-4, 0.01, 1.0])
@pytest.mark.parametrize("x", [-1.3, -0.98, 0.0, 0.4, 1.0, 1.05])
def test_sine_mixture_density_is_the_integral_over_z(variance, x):
    def integrand(z):
        return stats.norm.pdf(z) * stats.norm.pdf(x, np.sin(z), variance**0.5)

    # The integrand peaks where sin z is nearest to x: quad must be told where.
    nearest = np.arcsin(np.clip(x, -1, 1))
    peaks = [k * pi + (-1) ** k * nearest for k in range(-2, 3)]
    truth, _ = integrate.quad(integrand, -9, 9, points=peaks, limit=2000, epsabs=0, epsrel=1e-10)
    log_prob = make(SineMixture, variance=variance).log_prob(np.array([[x]]))
    assert np.exp(log_prob[0]) == pytest.approx(truth, rel=1e-8, abs=1e-200)


def test_sine_mixture_entropy():
    dataset = make(SineMixture)
    x = np.linspace(-2.2, 2.2, 40_001)
    log_prob = dataset.log_prob(x[:, None])
    assert -np.trapezoid(np.exp(log_prob) * log_prob, x) == pytest.approx(0.834274, abs=1e-6)


def test_sine_mixture_moments_of_draws():
    x = make(SineMixture).sample(200_000, np.random.default_rng(0))
    # E sin Z = 0 and E sin² Z = (1 - e^-2) / 2 for Z ~ N(0, 1)
    variance = (1 - np.exp(-2)) / 2 + 0.01
    assert abs(x.mean()) < 4 * (variance / len(x)) ** 0.5
    assert x.var() == pytest.approx(variance, abs=4 * (x**2).std() / len(x) ** 0.5)


def test_sine_mixture_draws_follow_the_density():
    dataset = make(SineMixture)
    x = np.linspace(-2.2, 2.2, 40_001)
    distribution = integrate.cumulative_trapezoid(np.exp(dataset.log_prob(x[:, None])), x, initial=0)
    draws = dataset.sample(20_000, np.random.default_rng(1))[:, 0]
    assert stats.kstest(draws, lambda values: np.interp(values, x, distribution)).pvalue > 1e-3


def test_log_prob_is_finite_far_in_the_tails():
    assert np.isfinite(make(SineMixture).log_prob(np.array([[-50.0], [50.0]]))).all()
    assert np.isfinite(make(GaussianGrid).log_prob(np.array([[80.0, -80.0]]))).all()


def test_modes():
    ring, grid = make(GaussianRing), make(GaussianGrid)
    assert ring.modes.shape == (8, 2) and ring.sd == 0.1
    np.testing.assert_allclose(np.linalg.norm(ring.modes, axis=1), 2)
    apart = np.linalg.norm(ring.modes - np.roll(ring.modes, 1, axis=0), axis=1)
    np.testing.assert_allclose(apart, 4 * np.sin(pi / 8))
    assert grid.modes.shape == (25, 2) and grid.sd == 0.05
    assert set(map(tuple, grid.modes)) == {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}


@pytest.mark.parametrize("kind", [GaussianRing, GaussianGrid])
def test_mixture_log_prob_is_scipys(kind):
    dataset = make(kind)
    x = dataset.sample(500, np.random.default_rng(0))
    density = np.mean([stats.multivariate_normal(mode, dataset.sd**2).pdf(x) for mode in dataset.modes], axis=0)
    np.testing.assert_allclose(dataset.log_prob(x), np.log(density), atol=1e-10)


@pytest.mark.parametrize("kind", [GaussianRing, GaussianGrid])
def test_mixture_moments_and_log_likelihood_of_draws(kind):
    dataset, n = make(kind), 50_000
    x = dataset.sample(n, np.random.default_rng(0))
    covariance = np.cov(dataset.modes.T, bias=True) + dataset.sd**2 * np.eye(2)
    assert np.abs(x.mean(axis=0)).max() < 4 * (covariance.max() / n) ** 0.5
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=4 * (x**2).std() / n**0.5)
    # Well separated modes: the entropy is that of one Gaussian plus log m, to 1e-6 and better.
    entropy = log(2 * pi) + 1 + 2 * log(dataset.sd) + log(len(dataset.modes))
    assert -dataset.log_prob(x).mean() == pytest.approx(entropy, abs=4 / n**0.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.floats(0.1, 10), st.floats(0.05, 3))
def test_ring_density_integrates_to_one(n_modes, radius, sd):
    dataset = make(GaussianRing, n_modes=n_modes, radius=radius, sd=sd)
    reach, step = radius + 8 * sd, sd / 2
    axis = np.arange(-reach, reach + step, step)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert np.exp(dataset.log_prob(grid)).sum() * step**2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("kind", ALL)
def test_log_prob_does_not_depend_on_the_chunks(kind):
    dataset = make(kind)
    x = dataset.sample(3_000, np.random.default_rng(0))
    x = np.tile(x, (30, 1))
    np.testing.assert_array_equal(dataset.log_prob(x), np.tile(dataset.log_prob(x[:3_000]), 30))


@pytest.mark.parametrize("kind", ALL)
def test_log_prob_refuses_a_wrong_shape(kind):
    with pytest.raises(ValueError, match="shape"):
        make(kind).log_prob(np.zeros(6))
    with pytest.raises(ValueError, match="shape"):
        make(kind).log_prob(np.zeros((2, 3)))


@pytest.mark.parametrize("kind", ALL)
def test_splits_are_fixed_and_independent(kind):
    dataset = make(kind, n_train=300, n_validation=200, n_test=100)
    one, same, other = dataset.splits(0), dataset.splits(0), dataset.splits(1)
    for split, n in (("train", 300), ("validation", 200), ("test", 100)):
        array = getattr(one, split)
        assert array.shape == (n, dataset.dim) and array.dtype == np.float64
        np.testing.assert_array_equal(array, getattr(same, split))
        assert not np.isin(array, getattr(other, split)).any()
    assert len(np.unique(np.concatenate([one.train, one.validation, one.test]))) == 600 * dataset.dim
    assert one.labels == {} and one.spec.classes is None and one.spec.support == "continuous"


def test_a_longer_split_changes_no_other_split():
    short, long = make(GaussianRing, n_train=100), make(GaussianRing, n_train=200)
    np.testing.assert_array_equal(short.splits(0).test, long.splits(0).test)


@pytest.mark.parametrize(
    "kind, wrong",
    [
        (SineMixture, {"variance": 0}),
        (GaussianRing, {"sd": -1}),
        (GaussianRing, {"n_modes": 0}),
        (GaussianGrid, {"spacing": 0}),
        (GaussianGrid, {"n_test": 0}),
        (GaussianGrid, {"radius": 2}),
    ],
)
def test_settings_are_bounded(kind, wrong):
    with pytest.raises(ValidationError):
        make(kind, **wrong)


def test_known_properties_are_members_of_the_dataset():
    ring, sine, digits = make(GaussianRing, n_train=30, n_validation=20, n_test=10), make(SineMixture), make(Digits)
    assert ring.expected_size() == (60, 2) and sine.expected_size() == (34_000, 1)
    x = ring.exact_sampler(5, np.random.default_rng(0))
    np.testing.assert_array_equal(x, ring.sample(5, np.random.default_rng(0)))
    np.testing.assert_array_equal(ring.exact_density(x), ring.log_prob(x))
    means, sd = ring.known_modes()
    assert (means == ring.modes).all() and sd == ring.sd and sine.known_modes() is None
    assert digits.exact_density is None and digits.exact_sampler is None and digits.known_modes() is None
