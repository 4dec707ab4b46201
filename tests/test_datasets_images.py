"""Digits, MNIST, Fashion-MNIST and CIFAR-10: read as they are, checked, split with a seed, fetched when missing."""

import gzip
import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from deepgen_bench.datasets.digits import Digits
from deepgen_bench.datasets.public.cifar10 import CIFAR10, load_batch
from deepgen_bench.datasets.public.mnist import MNIST, FashionMNIST, parse_idx
from deepgen_bench.datasets.user.image_folder import ImageFolder
from deepgen_bench.runtime.errors import UserError


class TinyMNIST(MNIST):
    """The layout of MNIST with other content, hence without its digests."""

    sha256 = {}


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def tiny_pair(n, seed):
    """Random images, each with its number in the first two pixels, and labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(n) // 256, np.arange(n) % 256
    return images, np.arange(n) % 10


def tiny_files():
    files = {}
    for part, n, seed in (("train", 300, 0), ("t10k", 50, 1)):
        images, labels = tiny_pair(n, seed)
        files |= {f"{part}-images-idx3-ubyte": idx(images), f"{part}-labels-idx1-ubyte": idx(labels)}
    return files


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, data in tiny_files().items():
        (folder / name).write_bytes(data)
    return folder


def tiny(raw, kind=TinyMNIST, n_validation=100):
    return kind(kind.Settings(data_dir=raw.parent.parent, n_validation=n_validation))


def numbers(images):
    return images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 0, 1]


def test_digits():
    splits = Digits(Digits.Settings()).splits(0)
    assert splits.spec.shape == (1, 8, 8) and splits.spec.levels == 17 and splits.spec.classes == 10
    assert [len(getattr(splits, split)) for split in splits.labels] == [1077, 360, 360]
    everything = np.concatenate([splits.train, splits.validation, splits.test])
    assert everything.dtype == np.uint8 and everything.min() == 0 and everything.max() == 16
    from sklearn.datasets import load_digits

    source = load_digits()
    assert sorted(map(bytes, everything)) == sorted(map(bytes, source.images.astype(np.uint8)))
    by_image = {bytes(image): label for image, label in zip(source.images.astype(np.uint8), source.target, strict=True)}
    for split, labels in splits.labels.items():
        assert [by_image[bytes(image)] for image in getattr(splits, split)] == labels.tolist()
        shares = np.bincount(labels) / len(labels) - np.bincount(source.target) / 1797
        assert np.abs(shares).max() < 2 / len(labels)
    assert not np.array_equal(splits.test, Digits(Digits.Settings()).splits(1).test)


def test_mnist_layout_is_read_and_split(raw):
    splits = tiny(raw).splits(0)
    images, labels = tiny_pair(300, 0)
    assert splits.spec.shape == (1, 28, 28) and splits.spec.levels == 256
    assert len(splits.train) == 200 and len(splits.validation) == 100
    assert np.bincount(splits.labels["validation"]).tolist() == [10] * 10
    chosen = np.concatenate([numbers(splits.train), numbers(splits.validation)])
    assert sorted(chosen) == list(range(300))
    for split in ("train", "validation"):
        index = numbers(getattr(splits, split))
        np.testing.assert_array_equal(getattr(splits, split)[:, 0], images[index])
        np.testing.assert_array_equal(splits.labels[split], labels[index])
    held_out, held_out_labels = tiny_pair(50, 1)
    order = numbers(splits.test)
    assert sorted(order) == list(range(50)) and list(order) != sorted(order)
    np.testing.assert_array_equal(splits.test[:, 0], held_out[order])
    np.testing.assert_array_equal(splits.labels["test"], held_out_labels[order])


def test_splits_are_fixed_by_the_base_seed(raw):
    one, same, other = (tiny(raw).splits(seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(numbers(one.validation), numbers(same.validation))
    assert set(numbers(one.validation)) != set(numbers(other.validation))
    np.testing.assert_array_equal(one.test, same.test)
    assert sorted(numbers(one.test)) == sorted(numbers(other.test))


@pytest.mark.parametrize(
    ("kind", "size"),
    [(Digits, (1_797, 64)), (MNIST, (70_000, 784)), (FashionMNIST, (70_000, 784)), (CIFAR10, (60_000, 3072))],
)
def test_sizes_are_known_before_data_are_read(kind, size, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPGEN_DATA", str(tmp_path))
    assert kind(kind.Settings()).expected_size() == size
    assert ImageFolder(ImageFolder.Settings(path=tmp_path)).expected_size() is None


def test_validation_must_leave_something_to_train_on(raw):
    with pytest.raises(UserError, match="mnist: n_validation 300 of 300 training images"):
        tiny(raw, n_validation=300).splits(0)


def test_an_altered_mnist_file_is_named(raw):
    with pytest.raises(UserError, match="train-images-idx3-ubyte: altered or incomplete"):
        tiny(raw, MNIST).splits(0)


def test_archives_are_read_and_checked_where_plain_files_have_no_known_digest(raw):
    expected = tiny(raw).splits(0)
    md5 = {}
    for path in list(raw.iterdir()):
        data = gzip.compress(path.read_bytes())
        path.with_name(f"{path.name}.gz").write_bytes(data)
        md5[path.name] = hashlib.md5(data).hexdigest()
        path.unlink()

    class Archived(TinyMNIST):
        archive_md5 = md5

    np.testing.assert_array_equal(tiny(raw, Archived).splits(0).train, expected.train)
    with pytest.raises(UserError, match="train-images-idx3-ubyte.gz: altered or incomplete"):
        tiny(raw).splits(0)


@pytest.mark.parametrize(
    "file, change, message",
    [
        ("train-images-idx3-ubyte", lambda d: d[:-1], "bytes, but its header"),
        ("t10k-images-idx3-ubyte", lambda d: d + b"x", "bytes, but its header"),
        ("t10k-labels-idx1-ubyte", lambda d: b"\1" + d[1:], "not an IDX file of bytes with 1 dimensions"),
        ("t10k-labels-idx1-ubyte", lambda d: b"", "not an IDX file"),
        ("train-labels-idx1-ubyte", lambda d: d[:-1] + b"\x0a", "label 10, valid: 0 … 9"),
        ("train-labels-idx1-ubyte", lambda d: idx(np.zeros(299)), "299 labels for 300 images"),
        ("t10k-images-idx3-ubyte", lambda d: idx(np.zeros((50, 28, 27))), r"images of \(28, 27\), expected \(28, 28\)"),
    ],
)
def test_a_broken_file_is_named(raw, file, change, message):
    (raw / file).write_bytes(change((raw / file).read_bytes()))
    with pytest.raises(UserError, match=f"{file}: .*{message}"):
        tiny(raw).splits(0)


def test_parse_idx_inverts_the_format():
    array = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    np.testing.assert_array_equal(parse_idx(idx(array), 3, Path("x")), array)


def test_data_dir_is_the_setting_or_the_environment_or_a_cache(raw, monkeypatch):
    monkeypatch.setenv("DEEPGEN_DATA", "/some/where")
    assert tiny(raw).data_dir == raw.parent.parent
    assert MNIST(MNIST.Settings()).directory == Path("/some/where/MNIST/raw")
    monkeypatch.delenv("DEEPGEN_DATA")
    assert FashionMNIST(FashionMNIST.Settings()).data_dir == Path.home() / ".cache" / "deepgen_bench"
    assert "data_dir" not in MNIST.Settings(data_dir="/x").identity()


def test_reading_files_that_are_there_imports_no_torch(raw):
    code = f"""
import sys
from deepgen_bench.datasets.public.mnist import MNIST
MNIST.sha256 = {{}}
MNIST(MNIST.Settings(data_dir={str(raw.parent.parent)!r}, n_validation=100)).splits(0)
assert not {{"torch", "torchvision", "sklearn", "PIL", "pooch", "requests"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})


@pytest.fixture
def batches(tmp_path):
    """A dataset in CIFAR-10's layout with 60 images a batch."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    digests = {}
    for name in CIFAR10.md5:
        batch = {"data": rng.integers(0, 256, (60, 3072), dtype=np.uint8), "labels": [i % 10 for i in range(60)]}
        (folder / name).write_bytes(pickle.dumps(batch))
        digests[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()

    class Tiny(CIFAR10):
        md5 = digests

    return Tiny(Tiny.Settings(data_dir=tmp_path, n_validation=50))


def test_cifar10_layout_is_read_and_split(batches):
    splits = batches.splits(0)
    assert splits.train.shape == (250, 3, 32, 32) and splits.validation.shape == (50, 3, 32, 32)
    test = pickle.loads((batches.directory / "test_batch").read_bytes())
    given = dict(zip(map(bytes, test["data"]), test["labels"], strict=True))  # rows are red, green, blue planes
    assert [given.pop(bytes(image)) for image in splits.test.reshape(60, -1)] == splits.labels["test"].tolist()
    assert np.bincount(splits.labels["validation"]).tolist() == [5] * 10


def test_an_altered_cifar10_batch_is_named_and_not_unpickled(batches):
    (batches.directory / "data_batch_3").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(UserError, match="data_batch_3: altered or incomplete"):
        batches.splits(0)


def test_the_batches_real_form_is_read():
    """Python 2's protocol and numpy's old module names, as in the published files."""
    pixels = bytes(range(256)) * 24
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x02M\x00\x0ct"
    array += b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array += b"\x89T" + len(pixels).to_bytes(4, "little") + pixels + b"tb"
    batch = load_batch(Path("x"), b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x03K\x07eu.")
    assert batch["labels"] == [3, 7]
    np.testing.assert_array_equal(batch["data"], np.frombuffer(pixels, np.uint8).reshape(2, 3072))


def archived(batches, change=lambda archive: None):
    """The same batches in the archive that CIFAR-10 comes in, and no longer beside it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        change(archive)
        archive.add(batches.directory, "cifar-10-batches-py")
    for path in batches.directory.iterdir():
        path.unlink()
    batches.directory.rmdir()
    (batches.data_dir / "cifar-10-python.tar.gz").write_bytes(data.getvalue())
    type(batches).archive_md5 = hashlib.md5(data.getvalue()).hexdigest()
    return type(batches)(batches.settings)


def test_cifar10_is_read_out_of_its_archive(batches):
    expected = batches.splits(0)
    found = archived(batches).splits(0)
    np.testing.assert_array_equal(found.train, expected.train)
    np.testing.assert_array_equal(found.labels["test"], expected.labels["test"])


def test_an_altered_cifar10_archive_is_not_opened(batches):
    again = archived(batches)
    type(again).archive_md5 = CIFAR10.archive_md5
    with pytest.raises(UserError, match="cifar-10-python.tar.gz: altered or incomplete"):
        again.splits(0)


def test_an_archive_cannot_write_anywhere(batches, tmp_path):
    def hostile(archive):
        for name in ("../escaped", "/escaped", "cifar-10-batches-py/../../escaped"):
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"hi"))
        for kind, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.FIFOTYPE, "pipe")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "../../outside"
            archive.addfile(member)

    again = archived(batches, hostile)
    assert len(again.splits(0).train) == 250
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]
    assert not (tmp_path.parent / "escaped").exists()


def test_a_batch_that_is_a_link_in_the_archive_is_not_followed(batches):
    (batches.directory / "data_batch_2").unlink()
    (batches.directory / "data_batch_2").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="cifar-10-python.tar.gz: no file data_batch_2 in the archive"):
        archived(batches).splits(0)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Hostile()), "data_batch_3: not a batch of CIFAR-10 .*refers to posix.mkdir"),
        (b"cos\nsystem\n(S'false'\ntR.", "refers to os.system"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "refers to builtins.eval"),
        (b"cnumpy\nload\n(S'x'\ntR.", "refers to numpy.load"),
        (pickle.dumps({"data": [1]}), "data_batch_3: not a batch of CIFAR-10 .*labels"),
        (pickle.dumps(3), "data_batch_3: not a batch of CIFAR-10"),
        (b"", "data_batch_3: not a batch of CIFAR-10"),
    ],
)
def test_a_hostile_batch_runs_nothing_though_its_digest_is_known(batches, content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (batches.directory / "data_batch_3").write_bytes(content)
    monkeypatch.setitem(batches.md5, "data_batch_3", hashlib.md5(content).hexdigest())
    with pytest.raises(UserError, match=message):
        batches.splits(0)
    assert not (tmp_path / "unpickled").exists()


def test_addresses_and_digests_are_torchvisions():
    from torchvision import datasets

    for ours, theirs in ((MNIST, datasets.MNIST), (FashionMNIST, datasets.FashionMNIST)):
        assert list(ours.mirrors) == theirs.mirrors
        assert {f"{name}.gz": md5 for name, md5 in ours.archive_md5.items()} == dict(theirs.resources)
        assert f"{theirs.__name__}/raw" == ours.folder
    cifar = datasets.CIFAR10
    assert (CIFAR10.url, CIFAR10.archive_md5, CIFAR10.folder) == (cifar.url, cifar.tgz_md5, cifar.base_folder)
    assert CIFAR10.md5 == dict([*cifar.train_list, *cifar.test_list])


@pytest.mark.skipif(
    not (Path(os.environ.get("DEEPGEN_DATA", "/nonexistent")) / "MNIST" / "raw").is_dir(),
    reason="needs the MNIST files in $DEEPGEN_DATA/MNIST/raw",
)
def test_real_mnist():
    splits = MNIST(MNIST.Settings()).splits(0)
    assert splits.train.shape == (50_000, 1, 28, 28) and len(splits.validation) == len(splits.test) == 10_000
    assert np.bincount(splits.labels["test"]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    official = np.concatenate([splits.labels["train"], splits.labels["validation"]])
    assert np.bincount(official).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    mean = (splits.train.sum() + splits.validation.sum()) / (60_000 * 784 * 255)
    assert mean == pytest.approx(0.1307, abs=5e-5)  # the constant that every MNIST example normalises with
