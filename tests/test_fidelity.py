"""Inception score, kernel distance, precision and recall against closed forms, and the family that applies them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.errors import UserError
from deepgen_bench.metrics import METRICS
from deepgen_bench.metrics.features import Context, Features
from deepgen_bench.metrics.fidelity import (
    Fidelity,
    FidelitySettings,
    inception_score,
    kernel_distance,
    precision_recall,
)


def one_hot_logits(n: int, classes: int = 10, size: float = 1000.0) -> np.ndarray:
    return size * np.eye(classes)[np.arange(n) % classes]


def unbiased_mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Squared MMD with the cubic kernel, written out."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    within = kernel(x, x).sum() - np.trace(kernel(x, x)), kernel(y, y).sum() - np.trace(kernel(y, y))
    return within[0] / (n * (n - 1)) + within[1] / (m * (m - 1)) - 2 * kernel(x, y).mean()


def test_inception_score_of_certain_and_uncertain_predictions() -> None:
    logits = one_hot_logits(10_000)
    assert inception_score(logits, splits=1) == pytest.approx(10, rel=1e-12)
    # ten parts of 1,000 shuffled examples are not balanced, which costs about 9 / 2000 in the exponent
    assert inception_score(logits, splits=10, seed=0) == pytest.approx(10 * np.exp(-9 / 2000), rel=2e-3)
    # ten parts of 100: the finite-split bias that makes scores of different n incomparable
    assert inception_score(logits[:1000], splits=10, seed=2020) == pytest.approx(9.51829, abs=1e-5)
    assert inception_score(np.zeros((50, 7)), splits=10) == pytest.approx(1, abs=1e-12)


def test_inception_score_with_extreme_logits_stays_finite() -> None:
    """A class that nobody predicts has probability exp(-10000), which is 0 in float64."""
    assert inception_score(one_hot_logits(1000, size=1e4)[:, :10] @ np.eye(10, 12), splits=1) == pytest.approx(10)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 50), classes=st.integers(2, 8), seed=st.integers(0, 2**63 - 1))
def test_inception_score_is_between_one_and_the_number_of_classes(n: int, classes: int, seed: int) -> None:
    logits = np.random.default_rng(seed).standard_normal((n, classes)) * 5
    assert 1 - 1e-12 <= inception_score(logits, splits=2, seed=seed) <= classes + 1e-12


def test_kernel_distance_is_the_u_statistic() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((80, 5)), rng.standard_normal((70, 5)) + 0.3
    assert kernel_distance(x, y) == pytest.approx(unbiased_mmd2(x, y), rel=1e-10)


def test_kernel_distance_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((1500, 16)), rng.standard_normal((1500, 16)) * 1.2 + 0.1
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_coef0": 1, "rng_seed": 0, "verbose": False}
    tensors = torch.from_numpy(y), torch.from_numpy(x)
    whole = kid_features_to_metric(*tensors, kid_subsets=1, kid_subset_size=1500, **options)
    assert kernel_distance(x, y) == pytest.approx(whole[KEY_METRIC_KID_MEAN], rel=1e-9)
    # the usual mean over random subsets estimates the same number
    subsets = kid_features_to_metric(*tensors, kid_subsets=30, kid_subset_size=300, **options)
    assert kernel_distance(x, y) == pytest.approx(subsets[KEY_METRIC_KID_MEAN], rel=0.1)


def test_kernel_distance_is_unbiased_under_the_null() -> None:
    rng = np.random.default_rng(1)
    values = [kernel_distance(*rng.standard_normal((2, 60, 8))) for _ in range(200)]
    assert np.mean(values) == pytest.approx(0, abs=3 * np.std(values) / np.sqrt(len(values)))
    assert min(values) < 0
    x = rng.standard_normal((200, 8))
    assert kernel_distance(x, x + 1) > 20 * np.std(values)


def test_precision_and_recall_of_collapsed_spread_and_equal_samples() -> None:
    rng = np.random.default_rng(0)
    real, equal = rng.standard_normal((2, 500, 4))
    precision, recall = precision_recall(real, 0.1 * equal)
    assert precision > 0.95 and recall < 0.1  # collapsed on the middle: faithful, not diverse
    precision, recall = precision_recall(real, 5 * equal)
    assert precision < 0.2 and recall > 0.9  # spread too far: diverse, not faithful
    assert min(precision_recall(real, equal)) > 0.7
    assert precision_recall(real, real[rng.permutation(500)]) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)
    assert precision_recall(real, np.tile(real[:1], (500, 1)))[1] < 0.05  # all generated examples alike


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_by_definition(k: int) -> None:
    """Far from the origin, where distances from the Gram matrix of the raw features would be rounding noise."""
    rng = np.random.default_rng(k)
    real, generated = rng.standard_normal((60, 2)) + 1e7, 1.5 * rng.standard_normal((40, 2)) + 1e7

    def covered(points: np.ndarray, manifold: np.ndarray) -> float:
        radii = np.sort(np.linalg.norm(manifold[:, None] - manifold, axis=2), axis=1)[:, k]
        return float((np.linalg.norm(points[:, None] - manifold, axis=2) <= radii).any(axis=1).mean())

    expected = covered(generated, real), covered(real, generated)
    assert precision_recall(real, generated, k) == expected


def test_precision_and_recall_agree_with_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    rng = np.random.default_rng(4)
    real, generated = rng.standard_normal((1200, 16)), 0.9 * rng.standard_normal((1100, 16)) + 0.1
    tensors = torch.from_numpy(generated), torch.from_numpy(real)
    result = prc_features_to_metric(*tensors, prc_neighborhood=3, save_cpu_ram=True, verbose=False)
    # it averages in float32
    expected = result[KEY_METRIC_PRECISION], result[KEY_METRIC_RECALL]
    assert precision_recall(real, generated) == pytest.approx(expected, abs=1e-6)


def test_metrics_ignore_the_order_of_examples() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 200, 3))
    assert precision_recall(x[::-1], y[rng.permutation(200)]) == precision_recall(x, y)
    assert kernel_distance(x[::-1], y[rng.permutation(200)]) == pytest.approx(kernel_distance(x, y), rel=1e-9)
    assert inception_score(x[::-1], splits=1) == pytest.approx(inception_score(x, splits=1))


def test_wrong_input_is_named() -> None:
    x = np.zeros((5, 2))
    with pytest.raises(UserError, match="logits: 5 examples, at least 10 are needed"):
        inception_score(x)
    with pytest.raises(UserError, match="splits: 0"):
        inception_score(x, splits=0)
    with pytest.raises(UserError, match="real: 1 examples, at least 2"):
        kernel_distance(x[:1], x)
    with pytest.raises(UserError, match="real: 3 examples, at least 4"):
        precision_recall(x[:3], x)
    with pytest.raises(UserError, match="generated: 1 of 5 examples hold NaN"):
        precision_recall(x, np.vstack([x[:4], [[np.nan, 0]]]))


class Projection:
    """A fixed linear network in place of a trained one: features of two numbers, three classes."""

    name, digest = "classifier", "0123456789abcdef"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: np.ndarray) -> Features:
        self.calls += 1
        flat = images.reshape(len(images), -1).astype(np.float64)
        weights = np.random.default_rng(0).standard_normal((flat.shape[1], 5))
        return Features(flat @ weights[:, :2], flat @ weights[:, 2:])


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 17, (60, 1, 3, 3)).astype(np.uint8)


def test_family_on_images(images: np.ndarray) -> None:
    family = METRICS["fidelity"](FidelitySettings(extractors=("data", "classifier", "inception"), n=40))
    assert isinstance(family, Fidelity)
    extractor = Projection()
    context = Context(DataSpec((1, 3, 3), "image", 17, 3), 0, "digits", np.zeros((0, 1, 3, 3)), {"classifier": extractor})
    rows = family.measure(images, images[::-1], context)
    assert [(row.variant["extractor"], row.metric, row.direction) for row in rows] == [
        ("data", "frechet_distance", "none"),
        ("data", "kernel_distance", "none"),
        ("data", "precision", "max"),
        ("data", "recall", "max"),
        ("classifier", "frechet_distance", "min"),
        ("classifier", "inception_score", "max"),
        ("classifier", "kernel_distance", "min"),
        ("classifier", "precision", "max"),
        ("classifier", "recall", "max"),
    ]  # and nothing for inception, which this context does not offer
    assert rows[5].variant == {"extractor": "classifier", "digest": "0123456789ab", "splits": 10}
    assert {(row.n_real, row.n_generated, row.status) for row in rows} == {(40, 40, "ok")}
    assert all(row.seconds is not None for row in rows)
    # the same reference again: only the generated sample passes through the network
    assert extractor.calls == 2
    again = family.measure(images, images[::-1], context)
    assert extractor.calls == 3
    assert [row.value for row in again] == [row.value for row in rows]
    family.measure(images.copy(), images, context)
    assert extractor.calls == 5


def test_family_on_small_samples_says_what_does_not_apply(images: np.ndarray) -> None:
    context = Context(DataSpec((1, 3, 3), "image", 17, 3), 0, "digits", np.zeros((0, 1, 3, 3)), {"classifier": Projection()})
    rows = {
        row.metric: row
        for row in Fidelity(FidelitySettings(extractors=("classifier",))).measure(images[:3], images, context)
    }
    assert rows["frechet_distance"].status == rows["kernel_distance"].status == "ok"
    for metric in ("inception_score", "precision", "recall"):
        assert rows[metric].status == "not_applicable" and rows[metric].value is None
    assert rows["recall"].reason == "real: 3 examples, at least 4 are needed"


def test_family_on_vectors_and_wrong_shapes() -> None:
    context = Context(DataSpec((2,), "continuous"), 0, "ring", np.zeros((0, 2)))
    x, y = np.random.default_rng(0).standard_normal((2, 50, 2))
    family = Fidelity(FidelitySettings())
    assert [row.metric for row in family.measure(x, y, context)] == [
        "frechet_distance",
        "kernel_distance",
        "precision",
        "recall",
    ]
    with pytest.raises(UserError, match="expected|dataset's are"):
        family.measure(x, y[:, :1], context)
    with pytest.raises(UserError, match="generated: 50 of 50"):
        family.measure(x, y * np.nan, context)


def test_weights_path_is_not_part_of_the_identity() -> None:
    assert "inception_weights" not in FidelitySettings().identity()


def test_settings_import_no_heavy_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from deepgen_bench.metrics import METRICS; [METRICS[name].Settings() for name in METRICS];"
        "print({'torch', 'torch_fidelity', 'ot', 'sklearn'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
