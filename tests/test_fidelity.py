"""The fidelity family: which measurements it makes of which data."""

import numpy as np
import pytest

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.context import Context, Features
from deepgen_bench.metrics.features.fidelity import Fidelity, FidelitySettings
from deepgen_bench.plugins import METRICS
from deepgen_bench.runtime.errors import UserError


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
    context = Context(
        DataSpec((1, 3, 3), "image", 17, 3), 0, "digits", np.zeros((0, 1, 3, 3)), {"classifier": extractor}
    )
    rows = family.measure(images, images[::-1], context)
    balls = [(name, 40, "none") for name in ("precision", "recall", "density", "coverage")]
    expected = [
        (name, metric, n, direction)
        for name, rank in (("data", "none"), ("classifier", "min"))
        for metric, n, direction in [
            # of two features; with fewer than ten examples a dimension too little variation would win
            *(("frechet_distance", n, rank if n >= 20 else "none") for n in (40, 20, 10)),
            ("frechet_distance_infinity", 40, rank),
            *([("inception_score", 40, "max")] if name == "classifier" else []),
            *(("kernel_distance", n, rank) for n in (40, 20, 10)),
            *balls,
        ]
    ]  # and nothing for inception, which this context does not offer
    assert [(row.variant["extractor"], row.metric, row.n_real, row.direction) for row in rows] == expected
    features = {"extractor": "classifier", "digest": "0123456789ab"}
    variants = {row.metric: row.variant for row in rows if row.variant["extractor"] == "classifier"}
    for metric, options in (
        ("frechet_distance_infinity", {}),
        ("kernel_distance", {}),
        ("inception_score", {"splits": 10}),
        ("recall", {"k": 3}),
        ("coverage", {"k": 5}),
    ):
        assert variants[metric] == features | options
    for row in rows:
        assert row.n_generated == row.n_real and row.status == "ok" and row.seconds is not None
        assert row.value is not None and row.mc_error is None
        assert (row.std_error is None) == (row.metric == "inception_score")  # of four examples a split
    # the same reference again: only the generated sample passes through the network
    assert extractor.calls == 2
    again = family.measure(images, images[::-1], context)
    assert extractor.calls == 3
    assert [row.value for row in again] == [row.value for row in rows]
    family.measure(images.copy(), images, context)
    assert extractor.calls == 5


def test_family_on_small_samples_says_what_does_not_apply(images: np.ndarray) -> None:
    context = Context(
        DataSpec((1, 3, 3), "image", 17, 3), 0, "digits", np.zeros((0, 1, 3, 3)), {"classifier": Projection()}
    )
    rows = {
        row.metric: row
        for row in Fidelity(FidelitySettings(extractors=("classifier",))).measure(images[:5], images, context)
    }
    for metric in ("frechet_distance", "kernel_distance", "precision", "recall"):
        assert rows[metric].status == "ok" and rows[metric].n_real == 5
    for metric, reason in (
        ("frechet_distance_infinity", "5 examples, a line in 1/n needs 20 in 2 dimensions"),
        ("inception_score", "logits: 5 examples, at least 10 are needed"),
        ("density", "real: 5 examples, at least 6 are needed"),
        ("coverage", "real: 5 examples, at least 6 are needed"),
    ):
        row = rows[metric]
        assert (row.status, row.value, row.std_error, row.reason) == ("not_applicable", None, None, reason)
        assert (row.n_real, row.n_generated) == (5, 5)
    alone = Fidelity(FidelitySettings(extractors=("data",))).measure(images[:1], images, context)
    assert {row.metric for row in alone} >= {"frechet_distance", "frechet_distance_infinity", "kernel_distance"}
    assert {(row.status, row.n_real) for row in alone} == {("not_applicable", 1)}


def test_family_on_vectors_and_wrong_shapes() -> None:
    context = Context(DataSpec((2,), "continuous"), 0, "ring", np.zeros((0, 2)))
    x, y = np.random.default_rng(0).standard_normal((2, 50, 2))
    family = Fidelity(FidelitySettings())
    rows = family.measure(x, y, context)
    assert [row.metric for row in rows if row.n_real == 50] == [
        "frechet_distance",
        "frechet_distance_infinity",
        "kernel_distance",
        "precision",
        "recall",
        "density",
        "coverage",
    ]
    assert [row.n_real for row in rows if row.metric == "kernel_distance"] == [50, 25, 12]
    with pytest.raises(UserError, match="expected|dataset's are"):
        family.measure(x, y[:, :1], context)
    with pytest.raises(UserError, match="generated: 50 of 50"):
        family.measure(x, y * np.nan, context)


def test_weights_path_is_not_part_of_the_identity() -> None:
    assert "inception_weights" not in FidelitySettings().identity()


def test_no_heavy_library_is_imported() -> None:
    import subprocess
    import sys

    code = """
import sys, numpy as np
from deepgen_bench.plugins import METRICS
from deepgen_bench.metrics.context import Features
from deepgen_bench.metrics.features.fidelity import FidelitySettings, measure_features
for name in METRICS: METRICS[name].Settings()
x = Features(np.random.default_rng(0).standard_normal((40, 3)), np.eye(4)[np.arange(40) % 4])
assert all(row.status == "ok" for row in measure_features(x, x, {"extractor": "classifier"}, FidelitySettings()))
print({"torch", "torch_fidelity", "ot", "sklearn", "scipy"} & set(sys.modules))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
