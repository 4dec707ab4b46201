"""Two-sample statistics: calibration where nothing differs, known accuracies, and what the family tells."""

import numpy as np
import pytest
from estimates import pair, values_and_errors
from scipy.spatial.distance import pdist
from scipy.stats import norm

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.arrays import TooFewExamples
from deepgen_bench.metrics.context import Context, Features
from deepgen_bench.metrics.features.kernel import gaussian_mmd
from deepgen_bench.metrics.samples.two_sample import TwoSample, TwoSampleSettings, c2st, median_distance
from deepgen_bench.plugins import METRICS
from deepgen_bench.runtime.errors import UserError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("d", [1, 8])
def test_equal_distributions_are_told_apart_by_chance_alone(d: int, rng: np.random.Generator) -> None:
    """The accuracy is 0.5 in the mean, and ± 2 errors hold it in 95 % of 300 replications."""
    values, errors = values_and_errors([c2st(*rng.standard_normal((2, 300, d)), seed=i) for i in range(300)])
    assert values.mean() == pytest.approx(0.5, abs=4 * values.std() / np.sqrt(300))
    assert 0.92 <= np.mean(np.abs(values - 0.5) <= 2 * errors) <= 0.98
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.15)


def test_accuracy_of_a_known_difference(rng: np.random.Generator) -> None:
    """No classifier beats Φ(shift/2) on two unit normals; on 2,000 examples the trees come within 2 %."""
    value, error = pair(c2st(rng.standard_normal((4000, 1)), rng.standard_normal((4000, 1)) + 2, seed=0))
    assert norm.cdf(1) - 0.02 - 2 * error < value < norm.cdf(1) + 3 * error
    assert error == pytest.approx(np.sqrt(value * (1 - value) / 4000), rel=0.05)


def test_error_of_an_accuracy_is_the_spread_over_held_out_examples(rng: np.random.Generator) -> None:
    """The classifier sees the even-numbered examples; with others in the odd places it is the same classifier."""
    learn = rng.standard_normal((2, 200, 2)) + np.array([0, 0.7])[:, None, None]
    found = []
    for _ in range(200):
        samples = rng.standard_normal((2, 400, 2)) + np.array([0, 0.7])[:, None, None]
        samples[:, ::2] = learn
        found.append(c2st(*samples, seed=0))
    values, errors = values_and_errors(found)
    assert 0.92 <= np.mean(np.abs(values - values.mean()) <= 2 * errors) <= 0.98


def test_disjoint_samples_are_told_apart_with_an_error(rng: np.random.Generator) -> None:
    value, error = pair(c2st(rng.standard_normal((200, 3)), rng.standard_normal((200, 3)) + 100, seed=0))
    assert value == 1 and 0 < error < 0.01


@pytest.mark.parametrize("n", [50, 51, 60])
def test_the_fewest_examples_are_enough_to_learn_from(n: int, rng: np.random.Generator) -> None:
    """What early stopping takes leaves enough for two leaves."""
    value, error = pair(c2st(rng.standard_normal((n, 2)), rng.standard_normal((n, 2)) + 10, seed=0))
    assert value > 0.9 and 0 < error < 0.1


def test_of_samples_of_unequal_size_the_first_of_the_larger_count(rng: np.random.Generator) -> None:
    """Otherwise a classifier would learn which label is the commoner."""
    x, y = rng.standard_normal((90, 2)), rng.standard_normal((400, 2)) + 1
    assert c2st(x, y, 0) == c2st(x, y[:90], 0)
    assert c2st(y, x, 0) == c2st(y[:90], x, 0)


def test_duplicates_among_the_generated_are_found_again(rng: np.random.Generator) -> None:
    """Each example twice, in an even and in an odd place: equal distributions, but the classifier meets its own."""
    scores = []
    for seed in range(20):
        x, y = rng.standard_normal((400, 2)), rng.standard_normal((20, 2))
        scores.append(c2st(x, np.repeat(y, 20, axis=0), seed).value)
    assert np.mean(scores) > 0.6


def test_features_that_do_not_depend_on_scale_or_offset(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 400, 3)) * np.array([[[1.0]], [[1.5]]])
    value = c2st(x, y, seed=3).value
    assert c2st(x * 1024 + 2.0**20, y * 1024 + 2.0**20, seed=3).value == pytest.approx(value, abs=0.01)
    assert c2st(x, y, seed=3).value == value


def test_copied_and_constant_examples_do_no_harm(rng: np.random.Generator) -> None:
    x = rng.standard_normal((400, 3))
    assert c2st(x, x, seed=0).value == 0.5  # each pair is answered alike, once right and once wrong
    assert c2st(x, x[rng.permutation(400)], seed=0).value < 0.6
    assert c2st(np.ones((50, 2)), np.ones((50, 2)), seed=0).value == 0.5
    assert c2st(np.ones((50, 1)), np.zeros((50, 1)), seed=0).value > 0.9
    # a model that draws from twenty examples, with a constant coordinate
    few = np.pad(x[:20], ((0, 0), (0, 1)))
    value, error = pair(c2st(np.pad(x, ((0, 0), (0, 1))), few[rng.integers(20, size=400)], seed=0))
    assert value > 0.6 > 0.1 > error


def test_wrong_input_is_named(rng: np.random.Generator) -> None:
    x = rng.standard_normal((60, 2))
    with pytest.raises(UserError, match="generated: 60 of 60 examples hold NaN"):
        c2st(x, x * np.nan, 0)
    with pytest.raises(TooFewExamples, match="real: 49 examples, at least 50 are needed"):
        c2st(x[:49], x, 0)
    with pytest.raises(TooFewExamples, match="train: 60 examples, all equal"):
        median_distance(np.ones((60, 2)))
    with pytest.raises(TooFewExamples, match="train: 0 examples"):
        median_distance(np.ones((0, 2)))


def test_median_distance_is_of_points_that_differ() -> None:
    assert median_distance(np.array([[0.0], [3.0], [4.0]])) == 3
    assert median_distance(np.array([[0.0]] * 10 + [[3.0]])) == 3


def vectors(train: np.ndarray) -> Context:
    return Context(DataSpec((2,), "continuous"), 1, "ring", train)


def test_family_on_vectors(rng: np.random.Generator) -> None:
    family = METRICS["two_sample"](TwoSampleSettings(n=200))
    assert isinstance(family, TwoSample)
    train, real = 3 * rng.standard_normal((1500, 2)), rng.standard_normal((300, 2))
    generated = rng.standard_normal((250, 2)) + 1
    mmd, accuracy = family.measure(real, generated, vectors(train))
    width = np.median(pdist(train[:1000]))
    assert (mmd.value, mmd.std_error) == pair(gaussian_mmd(real[:200], generated[:200], width))
    assert mmd.variant == {"kernel": "gaussian", "extractor": "data"} and accuracy.variant == {"extractor": "data"}
    assert (mmd.metric, accuracy.metric) == ("mmd", "c2st")
    for row in (mmd, accuracy):
        assert (row.direction, row.n_real, row.n_generated, row.status) == ("min", 200, 200, "ok")
        assert row.seconds is not None
    assert 0.6 < accuracy.value < 0.9
    same = vectors(train)
    for _ in range(2):
        assert [row.value for row in family.measure(real, generated, same)] == [mmd.value, accuracy.value]
    # what is kept of one call is not used where another sample, size or training set is given
    for other in (
        family.measure(real[::-1], generated, same),
        family.measure(real, generated[:100], same),
        family.measure(real, generated, vectors(train + rng.standard_normal((1500, 2)))),
    ):
        assert other[0].value != mmd.value


def test_family_says_what_is_too_small(rng: np.random.Generator) -> None:
    family, x = TwoSample(TwoSampleSettings()), rng.standard_normal((30, 2))
    mmd, accuracy = family.measure(x, x + 1, vectors(x))
    assert mmd.status == "ok"
    assert (accuracy.value, accuracy.status) == (None, "not_applicable") and "at least 50" in accuracy.reason
    mmd, _ = family.measure(x, x + 1, vectors(np.ones((9, 2))))
    assert (mmd.value, mmd.status) == (None, "not_applicable") and "all equal" in mmd.reason


class Brightness:
    """An extractor whose features can be computed by hand."""

    name, digest = "classifier", "0123456789abcdef"

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, images: np.ndarray) -> Features:
        self.images += len(images)
        return Features(images.reshape(len(images), -1).mean(axis=1, keepdims=True).astype(np.float64))


def test_images_are_seen_by_the_classifier_where_there_is_one(rng: np.random.Generator) -> None:
    spec = DataSpec((1, 4, 4), "image", levels=17, classes=10)
    train, real, generated = rng.integers(0, 17, (3, 100, 1, 4, 4)).astype(np.uint8)
    extractor, family = Brightness(), TwoSample(TwoSampleSettings())
    seen = Context(spec, 1, "digits", train, {"classifier": extractor})
    mmd, accuracy = family.measure(real, generated, seen)
    assert accuracy.variant == {"extractor": "classifier", "digest": "0123456789ab"}
    features = [extractor(images).features for images in (real, generated, train)]
    assert mmd.value == gaussian_mmd(*features[:2], np.median(pdist(features[2]))).value
    extractor.images = 0
    family.measure(real, generated, seen)
    assert extractor.images == 100  # the reference and the training data are looked at once

    mmd, accuracy = family.measure(real, generated, Context(spec, 1, "digits", train))
    assert accuracy.variant == {"extractor": "data"}
    flat = [images.reshape(100, 16) / 16 for images in (real, generated, train)]
    assert mmd.value == gaussian_mmd(*flat[:2], np.median(pdist(flat[2]))).value
