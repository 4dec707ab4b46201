"""Inception score against closed forms, torch-fidelity and replications."""

from dataclasses import astuple

import numpy as np
import pytest
from estimates import pair, values_and_errors
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgen_bench.metrics.features.inception_score import inception_score
from deepgen_bench.metrics.jackknife import jackknife_error
from deepgen_bench.runtime.errors import UserError


def one_hot(labels: np.ndarray, classes: int = 10, size: float = 1000.0) -> np.ndarray:
    return size * np.eye(classes)[labels]


def test_certain_and_uncertain_predictions() -> None:
    labels = np.arange(10_000)
    assert inception_score(one_hot(labels % 10), splits=1).value == pytest.approx(10, rel=1e-12)
    assert inception_score(one_hot(labels // 10 % 10), splits=10).value == pytest.approx(10, rel=1e-12)
    # every part of one class: no variety is seen
    assert astuple(inception_score(one_hot(labels % 10), splits=10)) == pytest.approx((1, 0, None), abs=1e-12)
    assert astuple(inception_score(np.zeros((100, 7)), splits=10)) == pytest.approx((1, 0, None), abs=1e-12)


def test_random_classes_lose_what_small_parts_cost() -> None:
    """The entropy of the class frequencies of n/splits labels is low by (C - 1)/(2 n/splits) (Miller 1955)."""
    rng = np.random.default_rng(0)
    values = [inception_score(one_hot(rng.integers(10, size=2000))).value for _ in range(50)]
    assert np.mean(values) == pytest.approx(10 * np.exp(-9 / 400), rel=2e-3)


def test_extreme_logits_stay_finite() -> None:
    """A class that nobody predicts has probability exp(-10000), which is 0 in float64."""
    logits = one_hot(np.arange(1000) % 10, size=1e4) @ np.eye(10, 12)
    assert inception_score(logits, splits=1).value == pytest.approx(10)
    assert np.isfinite(pair(inception_score(logits + 1e6, splits=10))).all()


@pytest.mark.parametrize("splits", [1, 10])
def test_agrees_with_torch_fidelity(splits: int) -> None:
    """Which takes parts in order where this takes every so manyth."""
    import torch
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    logits = 3 * np.random.default_rng(1).standard_normal((500, 12))
    in_order = np.concatenate([logits[s::splits] for s in range(splits)])
    expected = isc_features_to_metric(torch.from_numpy(in_order), splits, False)[KEY_METRIC_ISC_MEAN]
    assert inception_score(logits, splits).value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("splits", [1, 4])
def test_error_by_definition(splits: int) -> None:
    """Delete-one jackknife within each part, everything recomputed; the parts are independent."""
    logits = 2 * np.random.default_rng(2).standard_normal((62, 5))
    squares = []
    for s in range(splits):
        part = logits[s::splits]
        left_out = [inception_score(np.delete(part, i, axis=0), splits=1).value for i in range(len(part))]
        squares.append(jackknife_error(np.array(left_out)) ** 2)
    assert inception_score(logits, splits).std_error == pytest.approx(np.sqrt(sum(squares)) / splits, rel=1e-9)


@pytest.mark.parametrize(("n", "classes", "size"), [(100, 10, 2.0), (300, 3, 0.1), (400, 10, 3.0), (1000, 10, 10.0)])
def test_error_is_honest(n: int, classes: int, size: float) -> None:
    rng = np.random.default_rng(3)
    found = [inception_score(size * rng.standard_normal((n, classes))) for _ in range(400)]
    values, errors = values_and_errors(found)
    coverage = np.mean(np.abs(values - values.mean()) <= 2 * errors)
    ratio = np.sqrt(np.square(errors).mean()) / values.std(ddof=1)
    assert 0.92 <= coverage <= 0.985 and 0.9 < ratio < 1.2, (coverage, ratio)


def test_error_is_conservative_at_the_largest_score() -> None:
    """For certain predictions of equal classes the first-order term vanishes."""
    rng = np.random.default_rng(4)
    found = [inception_score(one_hot(rng.integers(10, size=1000))) for _ in range(300)]
    values, errors = values_and_errors(found)
    assert np.mean(np.abs(values - values.mean()) <= 2 * errors) > 0.97
    assert 1 < np.sqrt(np.square(errors).mean()) / values.std(ddof=1) < 1.7


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 50), classes=st.integers(1, 8), splits=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_invariants(n: int, classes: int, splits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = 5 * rng.standard_normal((n, classes))
    if n < splits:
        with pytest.raises(UserError, match=f"logits: {n} examples, at least {splits} are needed"):
            inception_score(logits, splits)
        return
    found = inception_score(logits, splits)
    assert 1 - 1e-12 <= found.value <= classes + 1e-12
    assert (found.std_error is None) == (n // splits < 10)
    moved = inception_score(logits[:, ::-1] + rng.standard_normal((n, 1)), splits)
    assert moved.value == pytest.approx(found.value, rel=1e-10)


def test_wrong_input_is_named() -> None:
    with pytest.raises(UserError, match="splits: 0, must be at least 1"):
        inception_score(np.zeros((5, 2)), splits=0)
    with pytest.raises(UserError, match="logits: 1 of 2 examples hold NaN"):
        inception_score(np.array([[0.0, np.inf], [0.0, 1.0]]), splits=1)
