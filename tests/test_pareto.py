"""The Pareto shape of importance weights: known tails, and the ends where no tail can be fitted."""

import numpy as np
import pytest
from scipy.stats import genpareto

from deepgen_bench.metrics.likelihood.pareto import generalised_pareto_shape, pareto_k, tail_length
from deepgen_bench.runtime.errors import UserError


@pytest.mark.parametrize("shape", [-0.5, 0.0, 0.2, 0.5, 0.7, 1.0])
def test_known_shapes_are_recovered(shape: float) -> None:
    draws = genpareto.rvs(shape, size=(400, 5000), random_state=1)
    found = pareto_k(np.log(draws))
    # ten pseudo-observations at 0.5 beside 212; the error of one k is about (1 + k) / sqrt(212)
    expected = (212 * shape + 5) / 222
    assert found.mean() == pytest.approx(expected, abs=0.03)
    assert 0.6 < found.std() / ((1 + max(shape, 0)) / np.sqrt(212)) < 1.5


def test_the_fit_is_as_good_as_maximum_likelihood() -> None:
    rng = np.random.default_rng(0)
    for shape in (0.1, 0.4, 0.8):
        x = np.sort(3.7 * genpareto.rvs(shape, size=(3, 2000), random_state=rng), axis=1)
        fitted = [genpareto.fit(row, floc=0)[0] for row in x]
        np.testing.assert_allclose(generalised_pareto_shape(x), fitted, atol=0.02)


def test_only_the_ratios_of_the_weights_count() -> None:
    log_weights = np.random.default_rng(0).standard_normal((5, 1000)) * 2
    found = pareto_k(log_weights)
    np.testing.assert_allclose(pareto_k(log_weights - 1e5), found, rtol=1e-6)
    np.testing.assert_allclose(pareto_k(log_weights[:, ::-1]), found, rtol=1e-12)
    np.testing.assert_allclose(pareto_k(log_weights[3:4]), found[3:4], rtol=1e-12)


def test_the_ends_where_no_tail_can_be_fitted() -> None:
    rng = np.random.default_rng(0)
    assert pareto_k(np.full((2, 100), -1234.5)).tolist() == [-np.inf, -np.inf]
    assert pareto_k(np.full((1, 100), -np.inf)).tolist() == [np.inf]
    few = np.full((1, 1000), -np.inf)  # all weight on three of a thousand
    few[0, :3] = rng.standard_normal(3)
    assert pareto_k(few) > 0.7
    one = rng.standard_normal((1, 1000)) * 0.1
    one[0, 7] = 50
    assert pareto_k(one) > 0.7
    spread = rng.standard_normal((3, 1000)) * 1000  # all but the largest few underflow
    assert (pareto_k(spread) > 0.7).all()
    ties = np.full((2, 1000), -500.0)  # one dominant weight, then four, over equal ones
    ties[0, 0] = ties[1, :4] = 0
    assert (pareto_k(ties) >= 1).all()
    # ties at the cutoff are a light tail: bounded weights on a lattice
    assert (pareto_k(np.log(rng.integers(1, 100, (5, 1000)))) < 0.3).all()
    assert (pareto_k(rng.integers(0, 2, (5, 1000)).astype(float)) == -np.inf).all()


def test_weights_that_cannot_be_used_are_named() -> None:
    assert [tail_length(k) for k in (5, 99, 100, 225, 1000, 5000)] == [1, 19, 20, 45, 94, 212]
    with pytest.raises(UserError, match="log_weights: 90 per example, at least 100"):
        pareto_k(np.zeros((3, 90)))
    bad = np.zeros((4, 100))
    bad[1, 3] = np.nan
    with pytest.raises(UserError, match="log_weights: 1 of 4 examples hold NaN"):
        pareto_k(bad)
    with pytest.raises(UserError, match="log_weights: shape"):
        pareto_k(np.zeros(100))
