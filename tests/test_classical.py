"""Classical density estimators: known densities, other people's implementations, and what validation data choose."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.neighbors import KernelDensity

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.models.base import Streams, TrainingData
from deepgen_bench.models.replicate import make_model
from deepgen_bench.plugins import DATASETS, MODELS
from deepgen_bench.runtime.errors import UserError

PLANE = DataSpec((2,), "continuous")


def fitted(name, train, validation, spec=PLANE, seed=0, **settings):
    model = make_model(name, MODELS[name].settings(**settings), spec, "cpu")
    data = TrainingData(train, validation)
    (fit,) = model.fit(data, [seed], Streams(0, "data", name), 1, lambda done, total, note: None)
    model.load(fit.checkpoints["final"])
    return model, fit


@pytest.fixture(scope="module")
def ring():
    made = DATASETS["gaussian_ring"](DATASETS["gaussian_ring"].Settings(n_train=3000, n_validation=1000, n_test=2000))
    return made, made.splits(0)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_a_mixture_s_density_is_that_of_its_parts(ring, covariance):
    _, splits = ring
    model, fit = fitted("gmm", splits.train, splits.validation, covariance=covariance, components=(5,))
    state = fit.checkpoints["final"]
    full = state["covariances"] if covariance == "full" else [np.diag(v) for v in state["covariances"]]
    x = splits.test[:50]
    parts = [multivariate_normal(m, c).logpdf(x) for m, c in zip(state["means"], full, strict=True)]
    expected = logsumexp(np.array(parts), axis=0, b=state["weights"][:, None])
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-10)
    drawn = model.sample(20_000, 3)[""]
    moments = state["weights"] @ state["means"]
    np.testing.assert_allclose(drawn.mean(0), moments, atol=5 * drawn.std() / np.sqrt(20_000))
    spread = sum(w * (c + np.outer(m, m)) for w, m, c in zip(state["weights"], state["means"], full, strict=True))
    np.testing.assert_allclose(np.cov(drawn.T), spread - np.outer(moments, moments), atol=0.03)


def test_a_gaussian_has_so_many_parameters(ring):
    _, splits = ring
    _, fit = fitted("gaussian", splits.train, splits.validation)
    assert (fit.steps, fit.examples, fit.parameters) == (1, 3000, 5)


def test_validation_data_choose_the_eight_modes_of_the_ring(ring):
    made, splits = ring
    model, fit = fitted("gmm", splits.train, splits.validation, components=(1, 4, 8, 24))
    assert [row["components"] for row in fit.curves] == [1, 4, 8, 24] and len(fit.checkpoints["final"]["weights"]) == 8
    assert fit.parameters == 8 * 6 - 1
    difference = model.log_prob(splits.test) - made.log_prob(splits.test)
    # n parameters cost about n / (2 n_train) nats
    assert -0.02 < difference.mean() < 3 * difference.std() / np.sqrt(len(difference))


def test_components_that_a_few_points_cannot_carry_are_not_tried(ring):
    _, splits = ring
    _, fit = fitted("gmm", splits.train[:20], splits.validation, components=(1, 4, 8, 16))
    assert [row["components"] for row in fit.curves] == [1, 4]
    with pytest.raises(UserError, match="components: 8, 16 for 20 training examples; valid here: some of at most 6"):
        fitted("gmm", splits.train[:20], splits.validation, components=(8, 16))


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_a_kernel_density_is_scikit_learn_s_wherever_the_data_lie(ring, offset):
    _, splits = ring
    train, validation, x = (part + offset for part in (splits.train, splits.validation, splits.test[:100]))
    model, fit = fitted("kde", train, validation)
    # as it is kept
    points = fit.checkpoints["final"]["points"].astype(float)
    expected = KernelDensity(bandwidth=model.bandwidth).fit(points - offset).score_samples(x - offset)
    np.testing.assert_allclose(model.log_prob(x), expected, atol=1e-6)


def test_the_bandwidth_is_the_best_for_validation_data(ring):
    _, splits = ring
    model, fit = fitted("kde", splits.train, splits.validation, step=1.05)
    scores = [row["validation_score"] for row in fit.curves]
    chosen = model.bandwidth

    def score(h):
        return KernelDensity(bandwidth=h).fit(splits.train).score_samples(splits.validation).mean()

    assert -min(scores) == pytest.approx(score(chosen), abs=1e-6)
    assert score(chosen) > max(score(0.9 * chosen), score(1.1 * chosen))
    assert 0.01 < chosen < 0.1  # modes have sd 0.1: wider would join them


@pytest.mark.parametrize("name", ["gaussian", "gmm", "kde"])
def test_densities_integrate_to_one(ring, name):
    _, splits = ring
    model, _ = fitted(name, splits.train[:500], splits.validation[:200])
    axis = np.linspace(-8, 8, 801)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    mass = np.exp(model.log_prob(grid)).sum() * (axis[1] - axis[0]) ** 2
    assert mass == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["gmm", "kde"])
def test_more_samples_begin_with_fewer_and_seeds_differ(ring, name):
    _, splits = ring
    model, _ = fitted(name, splits.train[:500], splits.validation[:200])
    few, many, other = model.sample(10, 1)[""], model.sample(1000, 1)[""], model.sample(10, 2)[""]
    np.testing.assert_allclose(few, many[:10], rtol=1e-12)
    assert not np.array_equal(few, other)


def test_images_are_modelled_dequantised_and_drawn_on_their_grid():
    splits = DATASETS["digits"](DATASETS["digits"].Settings()).splits(0)
    likelihoods = {}
    for name in ("gaussian", "gmm", "kde"):
        model, _ = fitted(name, splits.train, splits.validation, splits.spec)
        drawn = model.sample(50, 0)[""]
        assert drawn.dtype == np.uint8 and drawn.shape == (50, 1, 8, 8) and drawn.max() <= 16
        likelihoods[name] = model.log_prob(model.points(splits.test, 9)).mean()
    # so few images of so many dimensions are no ground for a mixture of narrow kernels
    assert likelihoods["gmm"] > likelihoods["gaussian"] > likelihoods["kde"]


@pytest.mark.parametrize("name", ["gaussian", "kde", "gmm"])
@pytest.mark.parametrize("shape", [(2,), (1, 2, 1)])
def test_replicates_together_are_what_each_is_alone(name, shape):
    """What draws nothing is fitted to vectors once for all replicates; images have noise of their own in each."""
    rng = np.random.default_rng(0)
    vectors = len(shape) == 1
    x = rng.standard_normal((300, 2)) if vectors else rng.integers(0, 16, (300, *shape), dtype=np.uint8)
    spec = PLANE if vectors else DataSpec(shape, "image", 16)
    model = make_model(name, MODELS[name].settings(), spec, "cpu")
    data, streams = TrainingData(x[:200], x[200:]), Streams(0, "data", name)
    together = model.fit(data, [0, 1], streams, 1, lambda done, total, note: None)
    for replicate, fit in enumerate(together):
        (alone,) = model.fit(data, [replicate], streams, 1, lambda done, total, note: None)
        assert (fit.curves, fit.steps, fit.examples) == (alone.curves, alone.steps, alone.examples)
        for key, array in alone.checkpoints["final"].items():
            np.testing.assert_array_equal(fit.checkpoints["final"][key], array)
    if not vectors or name == "gmm":
        first, second = (fit.checkpoints["final"] for fit in together)
        assert any((first[key] != second[key]).any() for key in first)
