"""Images from a folder: read exactly as they are, split with a seed, and every fault named in one line."""

import os

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from deepgen_bench.datasets.user.image_folder import ImageFolder


def pixels(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def save(folder, images, suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03}.{suffix}")
    return folder


def folder_splits(path, seed=0, **settings):
    return ImageFolder(ImageFolder.Settings(path=path, **settings)).splits(seed)


def rows(*arrays):
    return sorted(bytes(image) for array in arrays for image in array)


@pytest.mark.parametrize("shape, spec", [((5, 7), (1, 5, 7)), ((5, 7, 3), (3, 5, 7))])
@pytest.mark.parametrize("suffix", ["png", "bmp", "PNG"])
def test_lossless_files_come_back_exactly(tmp_path, shape, spec, suffix):
    images = pixels(40, *shape)
    splits = folder_splits(save(tmp_path, images, suffix))
    assert splits.spec.shape == spec and splits.spec.levels == 256 and splits.spec.classes is None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (32, 4, 4)
    expected = images[:, None] if len(shape) == 2 else images.transpose(0, 3, 1, 2)
    assert rows(splits.train, splits.validation, splits.test) == rows(np.ascontiguousarray(expected))


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_lossy_files_are_read(tmp_path, suffix):
    images = np.broadcast_to(np.arange(0, 250, 25, dtype=np.uint8)[:, None, None, None], (10, 8, 8, 3))
    splits = folder_splits(save(tmp_path, images, suffix))
    assert splits.spec.shape == (3, 8, 8)
    everything = np.concatenate([splits.train, splits.validation, splits.test]).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(np.sort(everything), np.arange(0, 250, 25), atol=6)


def test_folder_splits_are_fixed_and_follow_the_seed(tmp_path):
    save(tmp_path, pixels(50, 4, 4))
    one, same, other = (folder_splits(tmp_path, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.train, same.train)
    assert rows(one.test) != rows(other.test)
    assert not set(rows(one.train)) & set(rows(one.test, one.validation))


def test_folder_fractions(tmp_path):
    splits = folder_splits(save(tmp_path, pixels(50, 4, 4)), validation_fraction=0.2, test_fraction=0.4)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (20, 10, 20)
    with pytest.raises(ValidationError):
        ImageFolder.Settings(path=tmp_path, test_fraction=0.5)


def test_classes_from_folders(tmp_path):
    save(tmp_path / "b", np.full((40, 4, 4), 1, np.uint8))
    save(tmp_path / "a" / "deeper", np.full((20, 4, 4), 0, np.uint8))
    save(tmp_path / ".hidden", np.full((3, 9, 9), 7, np.uint8))
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    dataset = ImageFolder(ImageFolder.Settings(path=tmp_path, classes_from_folders=True))
    splits = dataset.splits(0)
    assert dataset.has_labels and splits.spec.classes == 2
    for split, labels in splits.labels.items():
        np.testing.assert_array_equal(getattr(splits, split)[:, 0, 0, 0], labels)
    assert np.bincount(splits.labels["test"]).tolist() == [2, 4]


def test_class_folders_behind_links_are_read(tmp_path):
    elsewhere = save(tmp_path / "elsewhere", pixels(12, 4, 4))
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        (tmp_path / "data" / name).symlink_to(elsewhere)
    assert len(folder_splits(tmp_path / "data", classes_from_folders=True).train) == 20


def test_image_size_that_fits(tmp_path):
    assert folder_splits(save(tmp_path, pixels(10, 4, 6)), image_size=(4, 6)).spec.shape == (1, 4, 6)


def test_the_fingerprint_follows_the_files(tmp_path):
    dataset = ImageFolder(ImageFolder.Settings(path=save(tmp_path, pixels(10, 4, 4))))
    seen = [dataset.fingerprint()]
    assert dataset.fingerprint() == seen[0]
    os.utime(tmp_path / "003.png", ns=(1, 1))
    seen.append(dataset.fingerprint())
    (tmp_path / "003.png").rename(tmp_path / "103.png")
    seen.append(dataset.fingerprint())
    (tmp_path / "103.png").unlink()
    seen.append(dataset.fingerprint())
    assert len(set(seen)) == 4


def test_the_path_is_no_part_of_the_identity():
    assert ImageFolder.Settings(path="/a").identity() == ImageFolder.Settings(path="/b").identity()
