"""Parzen-window estimates: sums of Gaussians, the width from validation data, and the misranking they are known for."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.context import Context
from deepgen_bench.metrics.samples.parzen import Parzen, ParzenSettings
from deepgen_bench.models.classical.kernel_density import best_bandwidth, choose_bandwidth, kernel_log_density


def gaussian(n, d, seed):
    return np.random.default_rng(seed).standard_normal((n, d))


def measured(real, generated, train, validation, n=10_000):
    context = Context(DataSpec((real.shape[1],), "continuous"), 0, "data", train, validation=validation)
    return {row.metric: row for row in Parzen(ParzenSettings(n=n)).measure(real, generated, context)}


def test_kernels_are_sums_of_gaussians():
    points, x = gaussian(300, 3, 0), gaussian(40, 3, 1)
    for width in (0.05, 0.7):
        each = multivariate_normal(np.zeros(3), width**2 * np.eye(3)).logpdf(x[:, None] - points)
        expected = logsumexp(each, axis=1) - np.log(300)
        np.testing.assert_allclose(kernel_log_density(x, points, width), expected, rtol=1e-9)


def test_the_width_is_the_best_for_held_out_points():
    points, held_out = gaussian(500, 2, 0), gaussian(400, 2, 1)
    width = best_bandwidth(choose_bandwidth(points, held_out, 0.001, 2, 1.1))
    means = {w: kernel_log_density(held_out, points, w).mean() for w in np.geomspace(0.02, 2, 100)}
    assert kernel_log_density(held_out, points, width).mean() >= max(means.values()) - 1e-3


def test_both_rows_and_what_they_are_of():
    real, generated, train, validation = (gaussian(200, 2, seed) for seed in range(4))
    rows = measured(real, generated, train, validation, n=150)
    assert list(rows) == ["parzen", "parzen_of_train"]
    for row, points in zip(rows.values(), (generated, train), strict=True):
        width = best_bandwidth(choose_bandwidth(points[:150], validation[:150], 0.001, 2, 1.1))
        values = kernel_log_density(real[:150], points[:150], width)
        assert row.value == values.mean() and row.std_error == pytest.approx(values.std(ddof=1) / np.sqrt(150))
        assert (row.direction, row.unit, row.n_real, row.n_generated) == ("none", "nats", 150, 150)


def test_in_many_dimensions_it_is_far_from_the_truth_and_prefers_the_worse_model():
    """The data's own law scores less than its mean, k-means' fame (Theis et al. 2016): samples that vary too little."""
    d = 64
    real, train, validation = gaussian(500, d, 0), gaussian(1000, d, 1), gaussian(500, d, 2)
    truth = multivariate_normal(np.zeros(d), np.eye(d)).logpdf(real).mean()
    shrunk = multivariate_normal(np.zeros(d), 0.36 * np.eye(d)).logpdf(real).mean()
    right = measured(real, gaussian(1000, d, 3), train, validation)["parzen"]
    wrong = measured(real, 0.6 * gaussian(1000, d, 3), train, validation)["parzen"]
    assert shrunk < truth - 20 and right.value < truth - 2
    assert wrong.value > right.value + 1
