"""Prepared data: what is written is what is read, sealed by digests, and nothing wrong is written."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from deepgen_bench.datasets.base import SPLITS, Dataset, Splits, stratified_split
from deepgen_bench.datasets.prepared import Prepared, prepare
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.plugins import DATASETS, Settings
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import Damaged, canonical_json


class Given(Dataset):
    """Splits as given."""

    name = "given"
    Settings = Settings
    support = "image"

    def __init__(self, splits):
        super().__init__(Settings())
        self.given = splits

    def splits(self, base_seed):
        return self.given


def images():
    def array(n):
        return np.arange(n * 4, dtype=np.uint8).reshape(n, 1, 2, 2) % 17

    labels = {split: np.arange(n) % 3 for split, n in zip(SPLITS, (9, 4, 5), strict=True)}
    return Splits(DataSpec((1, 2, 2), "image", 17, 3), array(9), array(4), array(5), labels)


def small_ring():
    return DATASETS["gaussian_ring"](DATASETS["gaussian_ring"].Settings(n_train=30, n_validation=20, n_test=10))


def test_every_dataset_is_found_under_its_name():
    for name in DATASETS:
        kind = DATASETS[name]
        assert kind.name == name and issubclass(kind, Dataset) and issubclass(kind.Settings, Settings)
        assert kind.support in ("binary", "continuous", "image")


def test_round_trip_of_images_with_labels(tmp_path):
    splits = images()
    prepare(Given(splits), 7, tmp_path)
    prepared = Prepared(tmp_path)
    assert prepared.name == "given" and prepared.spec == splits.spec
    assert prepared.sizes == {"train": 9, "validation": 4, "test": 5}
    for split in SPLITS:
        np.testing.assert_array_equal(prepared.split(split), getattr(splits, split))
        np.testing.assert_array_equal(prepared.labels(split), splits.labels[split])
        assert prepared.split(split).dtype == np.uint8 and prepared.labels(split).dtype == np.int64


def test_round_trip_of_vectors_without_labels(tmp_path):
    dataset = small_ring()
    prepare(dataset, 0, tmp_path)
    prepared = Prepared(tmp_path)
    assert prepared.spec == DataSpec((2,), "continuous")
    np.testing.assert_array_equal(prepared.split("train"), dataset.splits(0).train)
    assert prepared.labels("train") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dataset.json",
        "test.npy",
        "train.npy",
        "validation.npy",
    ]


def test_dataset_json_says_what_the_data_are(tmp_path):
    prepare(small_ring(), 3, tmp_path)
    manifest = json.loads((tmp_path / "dataset.json").read_text())
    assert manifest["base_seed"] == 3
    assert manifest["settings"]["sd"] == 0.1
    assert manifest["files"]["test.npy"] == hashlib.sha256((tmp_path / "test.npy").read_bytes()).hexdigest()
    sealed = canonical_json({"spec": manifest["spec"], "files": manifest["files"]})
    assert manifest["digest"] == hashlib.sha256(sealed.encode()).hexdigest()


def test_the_digest_follows_the_contents_and_not_the_place(tmp_path):
    def digest(splits, place):
        prepare(Given(splits), 0, tmp_path / place)
        return Prepared(tmp_path / place).digest

    splits = images()
    changed = splits.test.copy()
    changed[0, 0, 0, 0] += 1
    one = digest(splits, "a")
    assert digest(splits, "b/c") == one
    assert digest(replace(splits, test=changed), "d") != one
    assert digest(replace(splits, spec=replace(splits.spec, levels=18)), "e") != one
    transposed = np.asfortranarray(splits.train)
    assert digest(replace(splits, train=transposed), "f") == one


def test_digits_are_split_as_ever(tmp_path):
    prepare(DATASETS["digits"](DATASETS["digits"].Settings()), 0, tmp_path)
    assert Prepared(tmp_path).digest == "1a8f9b2882a86020287c1d74d4a153726ee0bd1fe0afbf48bcc71b1e7eb685fa"


@pytest.mark.parametrize("file", ["test.npy", "test_labels.npy"])
def test_an_altered_file_is_named_and_no_other_file_is_opened(tmp_path, file):
    prepare(Given(images()), 0, tmp_path)
    data = bytearray((tmp_path / file).read_bytes())
    data[-1] ^= 1
    (tmp_path / file).write_bytes(data)
    (tmp_path / "validation.npy").unlink()
    prepared = Prepared(tmp_path)
    assert len(prepared.split("train")) == 9 and len(prepared.labels("train")) == 9
    with pytest.raises(Damaged, match=f"{file}: damaged"):
        prepared.split("test")
        prepared.labels("test")
    with pytest.raises(Damaged, match="validation.npy: no such file"):
        prepared.split("validation")


def test_errors_of_prepared(tmp_path):
    with pytest.raises(Damaged, match="dataset.json: no such file"):
        Prepared(tmp_path)
    (tmp_path / "dataset.json").write_text('{"name": "x"}')
    with pytest.raises(Damaged, match="dataset.json: damaged"):
        Prepared(tmp_path)
    prepare(Given(images()), 0, tmp_path)
    with pytest.raises(UserError, match="unknown split 'valid'; valid: train, validation, test"):
        Prepared(tmp_path).split("valid")


def test_a_failed_prepare_leaves_no_dataset_json(tmp_path):
    prepare(Given(images()), 0, tmp_path)
    (tmp_path / "validation.npy").unlink()
    (tmp_path / "validation.npy").mkdir()  # cannot be replaced by a file
    with pytest.raises(UserError, match="validation.npy: cannot be written .Is a directory"):
        prepare(Given(images()), 0, tmp_path)
    assert not (tmp_path / "dataset.json").exists()


def with_label(value):
    labels = images().labels
    labels["test"][2] = value
    return {"labels": labels}


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"test": np.zeros((5, 1, 2, 2))}, "given, test: float64 .* expected uint8"),
        ({"train": np.zeros((9, 2, 2), np.uint8)}, r"given, train: uint8 \(9, 2, 2\), expected uint8 \(n, 1, 2, 2\)"),
        ({"validation": np.zeros((0, 1, 2, 2), np.uint8)}, "given, validation: no examples"),
        ({"test": np.full((5, 1, 2, 2), 17, np.uint8)}, "given, test: the value 17; valid: 0 … 16"),
        (with_label(3), "given, test: label 3, valid: 0 … 2"),
        (with_label(-1), "given, test: label -1, valid: 0 … 2"),
        ({"labels": {}}, "labels of .* but spec.classes is 3"),
        ({"labels": images().labels | {"test": np.zeros(4, np.int64)}}, r"labels int64 \(4,\), expected int64 \(5,\)"),
    ],
)
def test_wrong_arrays_are_not_written(tmp_path, wrong, message):
    with pytest.raises(UserError, match=message):
        prepare(Given(replace(images(), **wrong)), 0, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_must_be_finite(tmp_path, value):
    splits = small_ring().splits(0)
    splits.validation[3, 1] = value
    with pytest.raises(UserError, match="given, validation: not all values are finite"):
        prepare(Given(splits), 0, tmp_path)


@pytest.mark.parametrize("n", [0, 1, 100, 333, 999, 1000])
def test_stratified_split_is_stratified_disjoint_and_complete(n):
    labels = np.random.default_rng(0).choice([3, -1, 8], 1000, p=[0.6, 0.3, 0.1])
    kept, taken = stratified_split(labels, n, np.random.default_rng(1))
    assert len(taken) == n
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, taken])), np.arange(1000))
    for label in (3, -1, 8):
        assert abs((labels[taken] == label).sum() - n * (labels == label).mean()) < 1
    again = stratified_split(labels, n, np.random.default_rng(1))
    np.testing.assert_array_equal(taken, again[1])


def test_the_first_examples_of_both_parts_are_a_fair_sample():
    """Metrics take the first n; neither a sorted source nor the order in which quotas are filled may show in them."""
    labels = np.repeat(np.arange(10), 100)
    chi_squared = []
    for seed in range(200):
        for part in stratified_split(labels, 300, np.random.default_rng(seed)):
            for some in (part[:50], part[-50:]):
                drawn = np.bincount(labels[some], minlength=10)
                # 50 of 300 or 700 without replacement vary less than independent ones
                expected = 5 * (len(part) - 50) / (len(part) - 1)
                chi_squared.append(((drawn - 5) ** 2).sum() / expected)
    # mean 9 and variance 18, each from 800 samples
    assert abs(np.mean(chi_squared) - 9) < 5 * np.sqrt(18 / 800)
