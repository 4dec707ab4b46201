"""Estimators of distances where coordinates are large beside the distances that matter: shifts, scales, sentinels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.features.frechet import frechet_distance
from deepgen_bench.metrics.features.kernel import gaussian_mmd
from deepgen_bench.metrics.features.neighbours import density_coverage, precision_recall
from deepgen_bench.metrics.samples.memorisation import TrainingSet
from deepgen_bench.metrics.samples.optimal_transport import random_projections, sliced_wasserstein, wasserstein
from deepgen_bench.metrics.samples.two_sample import c2st, median_distance

N = 120


def samples(d, rng, width=1.2):
    return rng.standard_normal((N, d)), width * rng.standard_normal((N, d))


def shares(x, y):
    return np.array([e.value for e in (*precision_recall(x, y), *density_coverage(x, y))])


def shares_by_differences(x, y, k=3, k_density=5):
    def radii(points, k):
        distances = cdist(points, points)
        np.fill_diagonal(distances, np.inf)
        return np.sort(distances, axis=1)[:, k - 1, None]

    across = cdist(x, y)
    precision, recall = (across <= radii(x, k)).any(0).mean(), (radii(y, k) >= across.T).any(0).mean()
    density = (across <= radii(x, k_density)).sum() / (k_density * len(y))
    return np.array([precision, recall, density, (across.min(1, keepdims=True) <= radii(x, k_density)).mean()])


def clusters(rng, far, d=2):
    """Two samples of two clusters, `far` standard deviations apart."""
    return [width * rng.standard_normal((300, d)) + far * rng.integers(0, 2, (300, 1)) for width in (1.0, 1.2)]


@pytest.mark.parametrize("far", [1e3, 1e5, 1e7, 1e9])
@pytest.mark.parametrize("d", [2, 20])
def test_shares_of_clusters_far_from_each_other(far, d):
    x, y = clusters(np.random.default_rng(0), far, d)
    assert shares(x, y) == pytest.approx(shares_by_differences(x, y), abs=1e-12)
    # the clusters one by one, without the distance between them
    near = [np.where(points[:, :1] > far / 2, points - far, points) for points in (x, y)]
    parts = [
        [p[far_one == (q[:, 0] > far / 2)] for p, q in zip(near, (x, y), strict=True)] for far_one in (False, True)
    ]
    counts = np.array([[len(p[1]), len(p[0]), len(p[1]), len(p[0])] for p in parts])
    by_cluster = np.array([shares(*part) for part in parts])
    assert shares(x, y) == pytest.approx((by_cluster * counts).sum(0) / counts.sum(0), abs=0.01)


def estimators(rng, d):
    """By name a function of two samples, and the power of the scale by which its value grows."""
    projections = random_projections(d, 20, rng)
    return {
        "shares": (shares, 0),
        "Fréchet": (lambda x, y: frechet_distance(x, y).value, 2),
        "W1": (lambda x, y: wasserstein(x, y, 1).value, 1),
        "W2": (lambda x, y: wasserstein(x, y, 2).value, 1),
        "sliced": (lambda x, y: sliced_wasserstein(x, y, projections).value, 1),
        "MMD": (lambda x, y: gaussian_mmd(x, y, median_distance(x)).value, 0),
        "C2ST": (lambda x, y: c2st(x, y, 0).value, 0),
    }


NAMES = list(estimators(np.random.default_rng(0), 2))


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([2, 12]), st.sampled_from([-1e7, 1e4, 1e9]), st.sampled_from([1e-6, 1.0, 1e5]))
@pytest.mark.parametrize("name", NAMES)
def test_values_are_invariant_to_shifts_and_scales(name, d, shift, scale):
    rng = np.random.default_rng(d)
    x, y = samples(d, rng)
    estimate, power = estimators(rng, d)[name]
    moved = estimate(*(scale * (points + shift) for points in (x, y))) / scale**power
    # the shift itself rounds coordinates by 1e-16 of its size; trees split between rounded values
    assert moved == pytest.approx(estimate(x, y), rel=1e-5, abs=0.02 if name == "C2ST" else 1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sentinel", [-1e7, 1e9])
def test_a_column_that_never_varies_changes_nothing(name, sentinel):
    rng = np.random.default_rng(1)
    x, y = samples(12, rng)
    wide = [np.column_stack([points, np.full(N, sentinel)]) for points in (x, y)]
    estimate, _ = estimators(np.random.default_rng(2), 12)[name]
    if name == "sliced":  # directions of the plane, without the new coordinate
        projections = random_projections(12, 20, np.random.default_rng(2))
        wider = np.column_stack([projections, np.zeros(20)])
        assert sliced_wasserstein(*wide, wider).value == pytest.approx(estimate(x, y), rel=1e-7)
    else:
        assert estimate(*wide) == pytest.approx(estimate(x, y), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("sentinel", [-1e7, 1e9])
def test_missing_values_marked_by_a_sentinel_only_separate_the_examples(sentinel):
    """In a third of both samples one coordinate is the sentinel: distances within a part are those without it."""
    rng = np.random.default_rng(3)
    x, y = samples(12, rng)
    marked = [points.copy() for points in (x, y)]
    for points in marked:
        points[:40, 0] = sentinel
    assert shares(*marked) == pytest.approx(shares_by_differences(*marked), abs=1e-12)
    width = 3.0
    parts = [[points[part] for points in marked] for part in (slice(0, 40), slice(40, N))]

    # pairs of two parts have a kernel of 0, so the value is a mean of those within
    def within(a, b):
        total = (
            sum(np.exp(-cdist(a, b, "sqeuclidean") / (2 * (width * s) ** 2)) for s in (1 / 8, 1 / 4, 1 / 2, 1, 2)) / 5
        )
        return total.sum() - (len(a) if a is b else 0)

    same = sum(within(p, p) / (N * (N - 1)) for part in parts for p in part)
    expected = same - 2 * sum(within(*part) for part in parts) / N**2
    assert gaussian_mmd(*marked, width).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("far", [1.0, 1e5, 1e8])
def test_nearest_training_examples_far_from_the_others(far):
    rng = np.random.default_rng(4)
    train = rng.standard_normal((400, 20)) + far * rng.integers(0, 2, (400, 1))
    points = rng.standard_normal((50, 20)) + far * rng.integers(0, 2, (50, 1))
    expected = np.sort(cdist(points, train), axis=1)[:, :2]
    found = TrainingSet(train, DataSpec((20,), "continuous")).distances(points)
    assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_narrow_types_are_computed_in_float64(dtype):
    rng = np.random.default_rng(5)
    x, y = (rng.integers(0, 250, (N, 5)).astype(dtype) for _ in range(2))
    for estimate, _ in estimators(np.random.default_rng(6), 5).values():
        assert estimate(x, y) == pytest.approx(estimate(x.astype(float), y.astype(float)))
