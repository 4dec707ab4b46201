"""Memorisation against brute force, replications of the null, and models that copy, blur or vary too little."""

from itertools import permutations

import numpy as np
import pytest
from estimates import pair, values_and_errors
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu, norm

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.arrays import TooFewExamples
from deepgen_bench.metrics.context import Context
from deepgen_bench.metrics.samples.memorisation import (
    Memorisation,
    MemorisationSettings,
    TrainingSet,
    nearness_auc,
    p_value_of_copies,
    share_below_quantile,
)
from deepgen_bench.plugins import METRICS
from deepgen_bench.runtime.errors import UserError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def vectors(d: int) -> DataSpec:
    return DataSpec((d,), "continuous")


# neighbours


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 8),
    train=st.integers(2, 40),
    d=st.sampled_from([1, 3, 10, 11, 30]),
    ties=st.booleans(),
    offset=st.sampled_from([0, 2.0**20]),
    seed=st.integers(0, 2**32 - 1),
)
def test_two_nearest_are_those_of_brute_force(n: int, train: int, d: int, ties: bool, offset: float, seed: int) -> None:
    """On both sides of the dimension where the method changes, with duplicates, copies and data far from the origin."""
    rng = np.random.default_rng(seed)
    examples, points = rng.standard_normal((train, d)), rng.standard_normal((n, d))
    if ties:
        examples, points = examples.round(), points.round()
    examples, points = np.concatenate([examples, examples[::3]]) + offset, points + offset
    points[0] = examples[-1]
    distinct = np.unique(examples, axis=0)
    if len(distinct) > 1:
        found = TrainingSet(examples, vectors(d)).distances(points)
        expected = np.sort(cdist(points, distinct), axis=1)[:, :2]
        assert found[0, 0] == 0
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_two_nearest_images_in_several_blocks(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels are compared in float32, yet a copy is at distance 0 and the distances are exact."""
    spec = DataSpec((1, 6, 6), "image", levels=256)
    train = rng.integers(0, 256, (700, 1, 6, 6)).astype(np.uint8)
    points = (
        np.concatenate([train[::100], rng.integers(0, 256, (2**14, 1, 6, 6)).astype(np.uint8)]).reshape(-1, 36) / 255
    )
    assert 2**22 // len(points) < 300  # rows of a block
    found = TrainingSet(train, spec).distances(points)
    np.testing.assert_allclose(found, np.sort(cdist(points, train.reshape(-1, 36) / 255), axis=1)[:, :2], rtol=1e-12)
    assert (found[:7, 0] == 0).all() and (found[:, 1] > 0).all()


def test_one_example_far_out_costs_the_others_no_digits(rng: np.random.Generator) -> None:
    """Beyond ten dimensions, where neighbours are found from products."""
    train, points = rng.standard_normal((300, 20)), rng.standard_normal((50, 20))
    train[5] = 1e12
    expected = np.sort(cdist(points, train), axis=1)[:, :2]
    np.testing.assert_allclose(TrainingSet(train, vectors(20)).distances(points), expected, rtol=1e-9)


def test_training_data_are_checked() -> None:
    with pytest.raises(TooFewExamples, match="train: 1 distinct examples, at least 2"):
        TrainingSet(np.ones((50, 3)), vectors(3))
    with pytest.raises(TooFewExamples, match="train: 1 distinct"):
        TrainingSet(np.array([[0.0], [-0.0]]), vectors(1))
    with pytest.raises(UserError, match="train: 1 of 2 examples hold NaN"):
        TrainingSet(np.array([[np.nan], [1.0]]), vectors(1))


# statistics of the distances


@settings(max_examples=50, deadline=None)
@given(m=st.integers(2, 20), n=st.integers(2, 20), levels=st.integers(1, 30), seed=st.integers(0, 2**32 - 1))
def test_auc_is_the_mann_whitney_statistic(m: int, n: int, levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    held, generated = rng.integers(0, levels, m) / 8, rng.integers(0, levels, n) / 8
    value, error = pair(nearness_auc(held, generated))
    assert value == pytest.approx(mannwhitneyu(held, generated).statistic / (m * n))
    assert error >= 0
    assert pair(nearness_auc(generated, held)) == (pytest.approx(1 - value), pytest.approx(error))


@pytest.mark.parametrize(("shift", "decimals"), [(0.0, 8), (0.0, 0), (1.0, 8)])
def test_auc_lies_within_two_errors_as_often_as_it_says(shift: float, decimals: int, rng: np.random.Generator) -> None:
    """With equal distributions, with many ties, and with a known difference: P(g < h) = Φ(shift/√2)."""
    found = [
        nearness_auc(rng.normal(shift, 1, 150).round(decimals), rng.normal(0, 1, 250).round(decimals))
        for _ in range(1000)
    ]
    values, errors = values_and_errors(found)
    assert values.mean() == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=4 * values.std() / np.sqrt(1000))
    assert 0.93 <= np.mean(np.abs(values - norm.cdf(shift / np.sqrt(2))) <= 2 * errors) <= 0.97


@pytest.mark.parametrize("m", [2, 5, 99, 100, 299])
@pytest.mark.parametrize("levels", [10**6, 300, 3])
def test_the_share_of_an_equal_distribution_is_the_level(m: int, levels: int, rng: np.random.Generator) -> None:
    """For any number of examples and any ties."""
    values = [share_below_quantile(*np.split(rng.integers(levels, size=m + 50), [m]), 0.01).value for _ in range(3000)]
    assert np.mean(values) == pytest.approx(0.01, abs=4 * np.std(values) / np.sqrt(3000))


def test_ties_count_as_if_broken_at_random() -> None:
    """The mean over all orders of equal values, at a rank of one and a half."""
    held, generated = [0, 1, 1, 2], [1, 1, 0]
    level = 1.5 / 5
    names = [*((h, "h", i) for i, h in enumerate(held)), *((g, "g", i) for i, g in enumerate(generated))]
    orders = {tuple(sorted(order, key=lambda name: name[0])) for order in permutations(names)}
    shares = []
    for order in orders:
        ranks = [i for i, name in enumerate(order) if name[1] == "h"]
        below = [sum(name[1] == "g" for name in order[:rank]) / 3 for rank in ranks]
        shares.append((below[0] + below[1]) / 2)
    assert share_below_quantile(np.array(held), np.array(generated), level).value == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(("m", "n", "slope"), [(2000, 2000, 1.0), (1000, 2000, 4.0), (2000, 500, 2.0)])
def test_share_lies_within_two_errors_as_often_as_it_says(
    m: int, n: int, slope: float, rng: np.random.Generator
) -> None:
    """U^slope lies below 0.01 with probability 0.01^(1/slope); a slope of 1 is the null."""
    found = [share_below_quantile(rng.random(m), rng.random(n) ** slope, 0.01) for _ in range(1000)]
    values, errors = values_and_errors(found)
    truth = 0.01 ** (1 / slope)
    assert values.mean() == pytest.approx(truth, rel=0.05)
    assert 0.9 <= np.mean(np.abs(values - truth) <= 2 * errors) <= 0.98
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.15)


def test_wrong_distances_are_named() -> None:
    good = np.arange(5.0)
    for statistic in (nearness_auc, lambda held, generated: share_below_quantile(held, generated, 0.01)):
        with pytest.raises(TooFewExamples, match="held_out: 0 examples"):
            statistic(np.array([]), good)
        with pytest.raises(TooFewExamples, match="generated: 0 examples"):
            statistic(good, np.array([]))
        with pytest.raises(UserError, match="generated: 1 of 2 examples hold NaN"):
            statistic(good, np.array([1.0, np.nan]))
        with pytest.raises(UserError, match=r"held_out: shape \(5, 1\), expected \(n,\)"):
            statistic(good[:, None], good)


def test_share_of_copies() -> None:
    held = np.linspace(0.5, 1, 500)
    value, error = pair(share_below_quantile(held, np.zeros(300), 0.01))
    assert value == 1 and 0 < error < 0.01
    assert share_below_quantile(held, np.ones(300), 0.01).value == 0
    # too few held-out examples to fix the quantile: the error says so
    value, error = pair(share_below_quantile(held[::10], np.zeros(300), 0.01))
    assert value == pytest.approx(0.51) and error > 0.4
    # everything is equal: nothing can be told
    assert share_below_quantile(np.zeros(200), np.zeros(300), 0.01).value == pytest.approx(0.01)


# the family


def measure(train: np.ndarray, held: np.ndarray, generated: np.ndarray, spec: DataSpec, **wanted):
    context = Context(spec, 0, "data", train)
    rows = METRICS["memorisation"](MemorisationSettings(**wanted)).measure(held, generated, context)
    return {row.metric: row for row in rows}


def mixture(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Two clusters stretched along random directions, the same for every call with this d."""
    stretch = np.random.default_rng(d).standard_normal((d, d)) / np.sqrt(d)
    return rng.choice([-1.5, 1.5], (n, 1)) + rng.standard_normal((n, d)) @ stretch


@pytest.mark.parametrize("d", [1, 2, 8, 40])
def test_a_perfect_model_is_not_suspect(d: int, rng: np.random.Generator) -> None:
    """Both statistics have their known means, and none of 60 perfect models is flagged."""
    train = mixture(1000, d, rng)
    found = [measure(train, mixture(400, d, rng), mixture(400, d, rng), vectors(d)) for _ in range(60)]
    for metric, truth in (("nn_auc", 0.5), ("copied", 0.01)):
        values = np.array([rows[metric].value for rows in found])
        assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(60))
    assert all(rows["copied"].status == rows["nn_auc"].status == "ok" for rows in found)


INNOCENT = {
    "gaussian": lambda train, held, rng: rng.multivariate_normal(
        train.mean(axis=0), np.atleast_2d(np.cov(train.T)), len(held)
    ),
    "under-dispersed": lambda train, held, rng: 0.8 * held[::-1],
    "very under-dispersed": lambda train, held, rng: 0.3 * held[::-1],
    "a single point": lambda train, held, rng: np.repeat(train.mean(axis=0, keepdims=True), len(held), axis=0),
    "noisy": lambda train, held, rng: held[::-1] + 0.3 * rng.standard_normal(held.shape),
    "means of ten": lambda train, held, rng: train[rng.integers(len(train), size=(10, len(held)))].mean(axis=0),
    "means of two": lambda train, held, rng: train[rng.integers(len(train), size=(2, len(held)))].mean(axis=0),
}


@pytest.mark.parametrize("d", [2, 16, 64])
@pytest.mark.parametrize("model", INNOCENT)
def test_blur_noise_and_too_little_variation_are_not_suspect(model: str, d: int, rng: np.random.Generator) -> None:
    train, held, other = mixture(3000, d, rng), mixture(1000, d, rng), mixture(1000, d, rng)
    rows = measure(train, held, INNOCENT[model](train, other, rng), vectors(d))
    assert rows["copied"].status == "ok" and rows["copied"].value < 0.03


@pytest.mark.parametrize("d", [2, 16, 64])
@pytest.mark.parametrize("share", [1.0, 0.2])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_copies_are_suspect_with_their_share(d: int, share: float, noise: float, rng: np.random.Generator) -> None:
    """Also with noise of a tenth of the distance between training examples (in the plane a fiftieth)."""
    train, held, generated = mixture(3000, d, rng), mixture(1000, d, rng), mixture(1000, d, rng)
    copies = rng.random(1000) < share
    spacing = np.median(TrainingSet(train, vectors(d)).distances(train)[:, 1]) / np.sqrt(d)
    scale = noise * spacing * (0.2 if d == 2 else 1)
    generated[copies] = train[rng.integers(3000, size=copies.sum())] + scale * rng.standard_normal((copies.sum(), d))
    rows = measure(train, held, generated, vectors(d))
    copied = rows["copied"]
    assert copied.status == "suspect" and copied.reason.startswith(f"{copied.value:.0%} of samples are as close")
    assert copied.value == pytest.approx(copies.mean() + 0.01 * (1 - share), abs=0.03)
    assert rows["nn_auc"].status == "ok" and rows["nn_auc"].value > 0.5 + 2 * rows["nn_auc"].std_error


@pytest.mark.parametrize(("m", "d", "share"), [(40, 2, 0.5), (40, 16, 0.5), (100, 16, 0.3), (200, 16, 0.2)])
def test_copies_are_suspect_with_few_held_out_examples(m: int, d: int, share: float, rng: np.random.Generator) -> None:
    train, held, generated = mixture(1000, d, rng), mixture(m, d, rng), mixture(m, d, rng)
    generated[: int(share * m)] = train[: int(share * m)]
    assert measure(train, held, generated, vectors(d))["copied"].status == "suspect"


def test_suspicion_is_a_level_of_one_in_a_thousand(rng: np.random.Generator) -> None:
    """At every size: how often so many of n uniform numbers lie below the r-th of m others, by replication."""
    for m, n in ((2, 50), (40, 40), (100, 100), (250, 100)):
        draws = [(np.sort(rng.random(m)), rng.random(n)) for _ in range(4000)]
        p_values = np.array([p_value_of_copies(held, generated) for held, generated in draws])
        for level in (0.5, 0.1, 0.01):
            # discrete, so at most the level, and at least what it is one outcome below
            assert np.mean(p_values <= level) <= level + 4 * np.sqrt(level / 4000)
        assert np.mean(p_values < 1e-3) <= 0.003


def test_probability_of_so_many_below() -> None:
    """All 3 below all 4: one order in C(7, 3). None below is certain; equal values do not count as below."""
    held = np.array([0.5, 0.6, 0.7, 0.8])
    assert p_value_of_copies(held, np.zeros(3)) == pytest.approx(1 / 35)
    assert p_value_of_copies(held, np.array([0.9, 0.5, 0.5])) == 1


def test_duplicates_in_discrete_data(rng: np.random.Generator) -> None:
    """Coarse images that repeat, in training and held-out data alike: a perfect model shares the 1 %, copies do not."""
    spec = DataSpec((1, 4, 4), "image", levels=3)

    def draw(n: int) -> np.ndarray:
        images = np.zeros((n, 1, 4, 4), np.uint8)  # most pixels are always 0
        images[:, 0, 0] = rng.binomial(2, 0.1, (n, 4))
        return images

    train, held = draw(2000), draw(1000)
    assert len(np.unique(train, axis=0)) < 100
    found = measure(train, held, draw(1000), spec)
    assert found["copied"].value == pytest.approx(0.01, abs=0.002) and found["copied"].status == "ok"
    assert found["nn_auc"].value == pytest.approx(0.5, abs=0.03)
    assert measure(train, held, train[:1000], spec)["copied"].value < 0.02  # as held-out data do

    # where held-out data do not repeat, noise on copies shows, though every training example is there twice
    pixels = DataSpec((1, 4, 4), "image", levels=256)
    train, held = rng.integers(0, 250, (2, 500, 1, 4, 4)).astype(np.uint8)
    noisy = train + rng.integers(0, 3, train.shape).astype(np.uint8)
    assert measure(np.concatenate([train, train]), held, noisy, pixels)["copied"].value == 1


def test_family_tells_sizes_and_what_is_too_small(rng: np.random.Generator) -> None:
    train, held, generated = rng.standard_normal((50, 2)), rng.standard_normal((40, 2)), rng.standard_normal((60, 2))
    rows = measure(train, held, generated, vectors(2), n=30)
    assert list(rows) == ["nn_auc", "copied"]
    assert {(row.n_real, row.n_generated, row.direction) for row in rows.values()} == {(30, 30, "none")}
    assert rows["nn_auc"].seconds is not None
    rows = measure(train, held, generated, vectors(2))
    assert {(row.n_real, row.n_generated) for row in rows.values()} == {(40, 40)}  # as many of both
    for few in (measure(train[:1], held, generated, vectors(2)), measure(train, held, generated[:1], vectors(2))):
        assert {(row.value, row.std_error, row.status) for row in few.values()} == {(None, None, "not_applicable")}
        assert all("at least 2 are needed" in row.reason for row in few.values())
    with pytest.raises(UserError, match="generated: 40 of 40 examples hold NaN"):
        measure(train, held, generated * np.nan, vectors(2))


def test_what_is_kept_of_one_call_belongs_to_its_arrays(rng: np.random.Generator) -> None:
    train, held, generated = (rng.standard_normal((n, 2)) for n in (50, 40, 60))
    family = Memorisation(MemorisationSettings())

    def values(train: np.ndarray, held: np.ndarray) -> list[float | None]:
        return [row.value for row in family.measure(held, generated, Context(vectors(2), 0, "data", train))]

    first = values(train, held)
    assert values(train, held) == first
    fewer = family.measure(held, generated[:30], Context(vectors(2), 0, "data", train))
    assert {(row.n_real, row.n_generated) for row in fewer} == {(30, 30)}
    assert values(train, held) == first
    for other in ((train + 1, held), (train, held + 1), (train + 1, held + 1)):
        fresh = Memorisation(MemorisationSettings()).measure(other[1], generated, Context(vectors(2), 0, "", other[0]))
        assert values(*other) == [row.value for row in fresh] != first
