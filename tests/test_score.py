"""Scoring files that a user brings."""

from pathlib import Path

import numpy as np
import pytest
from estimates import pair
from PIL import Image

from deepgen_bench.metrics.features.frechet import frechet_distance, moments
from deepgen_bench.metrics.features.score import score
from deepgen_bench.runtime.errors import UserError


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 3, 6, 5)).astype(np.uint8)


def test_the_same_images_in_every_form(images: np.ndarray, tmp_path: Path) -> None:
    for i, image in enumerate(images):
        (tmp_path / "folder").mkdir(exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "folder" / f"{i:03d}.png")
    np.save(tmp_path / "channels_first.npy", images)
    np.savez(tmp_path / "channels_last.npz", images.transpose(0, 2, 3, 1))
    for generated in ("folder", "channels_first.npy", "channels_last.npz"):
        found = score(tmp_path / "folder", tmp_path / generated, extractor="data")
        rows = {row.metric: row for row in found if row.n_real == 30}
        assert set(rows) == {
            "frechet_distance",
            "frechet_distance_infinity",
            "kernel_distance",
            "precision",
            "recall",
            "density",
            "coverage",
        }
        assert rows["frechet_distance"].value == pytest.approx(0, abs=1e-9)
        assert rows["precision"].value == 1


def test_vectors_in_different_numbers_and_stored_moments(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((25, 3)).astype(np.float32) + 1
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    mean, covariance = moments(x)
    np.savez(tmp_path / "moments.npz", mu=mean, sigma=covariance)
    rows = score(tmp_path / "x.npy", tmp_path / "y.npy", extractor="data")
    assert {(row.n_real, row.n_generated) for row in rows} == {(40, 25), (20, 12), (10, 6)}
    expected = frechet_distance(x, y)
    assert (rows[0].value, rows[0].std_error) == pytest.approx(pair(expected), rel=1e-9)
    assert all(row.std_error is not None for row in rows)
    (row,) = score(tmp_path / "moments.npz", tmp_path / "y.npy", extractor="data")
    assert row.value == pytest.approx(rows[0].value, rel=1e-9)
    assert (row.metric, row.n_real, row.n_generated, row.std_error) == ("frechet_distance", None, 25, None)
    assert score(tmp_path / "x.npy", tmp_path / "y.npy", extractor="data", n=10)[0].n_real == 10
    again = score(tmp_path / "x.npy", tmp_path / "y.npy", extractor="data")
    assert [row.value for row in again] == [row.value for row in rows]


def test_a_saved_classifier_as_extractor(images: np.ndarray, tmp_path: Path) -> None:
    from deepgen_bench.datasets.spec import DataSpec
    from deepgen_bench.metrics.features.classifier import train_classifier

    labels = np.arange(30) % 3
    classifier = train_classifier(images, labels, images, labels, DataSpec((3, 6, 5), "image", 256, 3), seed=0)
    classifier.save(tmp_path / "classifier.safetensors")
    np.save(tmp_path / "images.npy", images)
    path = tmp_path / "images.npy"
    rows = score(path, path, extractor="classifier", weights=tmp_path / "classifier.safetensors")
    assert rows[0].variant == {"extractor": "classifier", "digest": classifier.digest[:12]}
    assert "inception_score" in {row.metric for row in rows}
    with pytest.raises(UserError, match="the classifier needs the file"):
        score(path, path, extractor="classifier")


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((5, 4), np.float32), "generated.npy: examples of shape"),
        (np.zeros((5, 3, 6, 5)), "generated.npy: float64 .*valid: uint8"),
        (np.zeros((5, 6, 5, 4), np.uint8), "generated.npy: shape"),
        (np.zeros((5, 1, 6, 5), np.uint8), "generated.npy: examples of shape"),
    ],
)
def test_wrong_files_are_named(array: np.ndarray, message: str, images: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "real.npy", images)
    np.save(tmp_path / "generated.npy", array)
    with pytest.raises(UserError, match=message):
        score(tmp_path / "real.npy", tmp_path / "generated.npy", extractor="data")
