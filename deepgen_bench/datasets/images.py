"""Public image datasets: scikit-learn's digits, MNIST, Fashion-MNIST and CIFAR-10, read without torch."""

import gzip
import hashlib
import os
import pickle
import socket
from abc import abstractmethod
from http.client import HTTPException
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.base import Dataset, Splits, split_off
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.errors import UserError
from deepgen_bench.seeds import derive_rng
from deepgen_bench.settings import Settings, not_identity

Labelled = tuple[np.ndarray, np.ndarray]


class DigitsSettings(Settings):
    pass


class Digits(Dataset):
    """scikit-learn's 1,797 handwritten digits, 8 × 8 with 17 levels: a stratified 1077 / 360 / 360 split."""

    name = "digits"
    Settings = DigitsSettings
    support = "image"
    has_labels = True
    minimum_accuracy = 0.95

    def splits(self, base_seed: int) -> Splits:
        from sklearn.datasets import load_digits

        source = load_digits()
        images, labels = source.images.astype(np.uint8)[:, None], source.target.astype(np.int64)
        rng = derive_rng(base_seed, "split", self.name)
        rest, test = split_off(labels, 360, rng)
        kept, taken = split_off(labels[rest], 360, rng)
        index = {"train": rest[kept], "validation": rest[taken], "test": test}
        return Splits(
            DataSpec((1, 8, 8), self.support, levels=17, classes=10),
            **{split: images[i] for split, i in index.items()},
            labels={split: labels[i] for split, i in index.items()},
        )


class PublicSettings(Settings):
    data_dir: Path | None = not_identity(
        default=None, description="torchvision's root folder; else $DEEPGEN_DATA, else ~/.cache/deepgen_bench"
    )
    n_validation: int = Field(10_000, ge=10, le=40_000, description="taken from the official training set")


class PublicImages(Dataset):
    """A dataset in torchvision's layout on disk, downloaded through torchvision where files are missing.

    The official test set is `test`; a seeded, stratified part of the official training set is `validation`.
    """

    Settings = PublicSettings
    settings: PublicSettings
    support = "image"
    has_labels = True
    torchvision_class: ClassVar[str]
    folder: ClassVar[str]
    shape: ClassVar[tuple[int, int, int]]
    files: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read_train(self) -> Labelled:
        """The official training set: uint8 (n, *shape) and int64 (n,)."""

    @abstractmethod
    def read_test(self) -> Labelled:
        """The official test set: uint8 (n, *shape) and int64 (n,)."""

    def splits(self, base_seed: int) -> Splits:
        self._download_missing()
        (images, labels), (test, test_labels) = self.read_train(), self.read_test()
        if self.settings.n_validation >= len(images):
            raise UserError(f"{self.name}: n_validation {self.settings.n_validation} of {len(images)} training images")
        rng = derive_rng(base_seed, "split", self.name)
        kept, taken = split_off(labels, self.settings.n_validation, rng)
        # the first half of MNIST's test file is easier than the second, and metrics take the first n examples
        order = rng.permutation(len(test))
        return Splits(
            DataSpec(self.shape, self.support, levels=256, classes=10),
            images[kept],
            images[taken],
            test[order],
            {"train": labels[kept], "validation": labels[taken], "test": test_labels[order]},
        )

    @property
    def data_dir(self) -> Path:
        chosen = self.settings.data_dir or os.environ.get("DEEPGEN_DATA") or "~/.cache/deepgen_bench"
        return Path(chosen).expanduser()

    @property
    def directory(self) -> Path:
        return self.data_dir / self.folder

    def _exists(self, name: str) -> bool:
        return (self.directory / name).is_file()

    def _download_missing(self) -> None:
        missing = [name for name in self.files if not self._exists(name)]
        if not missing:
            return
        timeout = socket.getdefaulttimeout()
        try:
            import torchvision.datasets

            socket.setdefaulttimeout(30)  # torchvision sets none, and some firewalls drop packets without an answer
            self.data_dir.mkdir(parents=True, exist_ok=True)
            # Into a folder of its own, then renamed: a killed or a concurrent download leaves no half file.
            with TemporaryDirectory(dir=self.data_dir, prefix=".download-") as temporary:
                getattr(torchvision.datasets, self.torchvision_class)(temporary, download=True)
                for source in (Path(temporary) / self.folder).iterdir():
                    if not self._exists(source.name):
                        self.directory.mkdir(parents=True, exist_ok=True)
                        os.replace(source, self.directory / source.name)
        except (ImportError, OSError, RuntimeError, HTTPException) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{self.name}: cannot download ({reason}); place {', '.join(missing)} in {self.directory}"
            ) from None
        finally:
            socket.setdefaulttimeout(timeout)


def check_digest(path: Path, data: bytes, algorithm: str, expected: str) -> None:
    """Raise a UserError naming `path` unless the digest of `data` is the expected one."""
    if hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() != expected:
        raise UserError(f"{path}: altered or incomplete ({algorithm} is not {expected}); remove it to download it anew")


def parse_idx(data: bytes, ndim: int, path: Path) -> np.ndarray:
    """The uint8 array of `ndim` dimensions in an IDX file: magic 0, 0, 8, ndim, then big-endian sizes, then bytes."""
    header = 4 + 4 * ndim
    if len(data) < header or data[:4] != bytes([0, 0, 8, ndim]):
        raise UserError(f"{path}: not an IDX file of bytes with {ndim} dimensions (starts with {data[:4].hex()})")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", ndim, 4))
    if len(data) != header + prod(shape):
        raise UserError(f"{path}: {len(data)} bytes, but its header {shape} asks for {header + prod(shape)}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


class MNIST(PublicImages):
    """Handwritten digits, 28 × 28 grey (LeCun et al., 1998): 60,000 official training and 10,000 test images.

    Files are read plain or as `.gz`; every file whose digest is known is checked against it.
    """

    name = "mnist"
    minimum_accuracy = 0.985
    torchvision_class = "MNIST"
    folder = "MNIST/raw"
    shape = (1, 28, 28)
    files = (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )
    sha256: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    archive_md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    def read_train(self) -> Labelled:
        return self._read_pair("train")

    def read_test(self) -> Labelled:
        return self._read_pair("t10k")

    def _exists(self, name: str) -> bool:
        return super()._exists(name) or super()._exists(f"{name}.gz")

    def _read_pair(self, part: str) -> Labelled:
        images, image_path = self._read_idx(f"{part}-images-idx3-ubyte", 3)
        labels, label_path = self._read_idx(f"{part}-labels-idx1-ubyte", 1)
        if images.shape[1:] != self.shape[1:]:
            raise UserError(f"{image_path}: images of {images.shape[1:]}, expected {self.shape[1:]}")
        if len(images) != len(labels):
            raise UserError(f"{label_path}: {len(labels)} labels for {len(images)} images in {image_path}")
        if labels.max(initial=0) > 9:
            raise UserError(f"{label_path}: label {labels.max()}, valid: 0 … 9")
        return images[:, None], labels.astype(np.int64)

    def _read_idx(self, name: str, ndim: int) -> tuple[np.ndarray, Path]:
        plain, archive = self.directory / name, self.directory / f"{name}.gz"
        # The archive's digest is always known, that of the plain file not: read the one that can be checked.
        if not archive.is_file() or (name in self.sha256 and plain.is_file()):
            data = plain.read_bytes()
            if name in self.sha256:
                check_digest(plain, data, "sha256", self.sha256[name])
            return parse_idx(data, ndim, plain), plain
        data = archive.read_bytes()
        check_digest(archive, data, "md5", self.archive_md5[name])
        return parse_idx(gzip.decompress(data), ndim, archive), archive


class FashionMNIST(MNIST):
    """Fashion-MNIST, 28 × 28 grey articles of clothing in 10 classes (Xiao et al., 2017, arXiv:1708.07747)."""

    name = "fashion_mnist"
    minimum_accuracy = 0.88
    torchvision_class = "FashionMNIST"
    folder = "FashionMNIST/raw"
    sha256: ClassVar[dict[str, str]] = {}
    archive_md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    }


class CIFAR10Settings(PublicSettings):
    n_validation: int = Field(5_000, ge=10, le=40_000, description="taken from the official training set")


class CIFAR10(PublicImages):
    """CIFAR-10, 32 × 32 RGB in 10 classes (Krizhevsky, 2009): 50,000 official training and 10,000 test images."""

    name = "cifar10"
    Settings = CIFAR10Settings
    settings: CIFAR10Settings
    minimum_accuracy = 0.6
    torchvision_class = "CIFAR10"
    folder = "cifar-10-batches-py"
    shape = (3, 32, 32)
    md5: ClassVar[dict[str, str]] = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    }
    files = tuple(md5)

    def read_train(self) -> Labelled:
        batches = [self._read_batch(name) for name in self.files if name != "test_batch"]
        images, labels = zip(*batches, strict=True)
        return np.concatenate(images), np.concatenate(labels)

    def read_test(self) -> Labelled:
        return self._read_batch("test_batch")

    def _read_batch(self, name: str) -> Labelled:
        path = self.directory / name
        data = path.read_bytes()
        check_digest(path, data, "md5", self.md5[name])
        batch = pickle.loads(data, encoding="latin1")  # a pickle, but of known content: its digest was just checked
        return np.asarray(batch["data"], np.uint8).reshape(-1, *self.shape), np.asarray(batch["labels"], np.int64)
