"""Public image datasets: scikit-learn's digits, MNIST, Fashion-MNIST and CIFAR-10, read without torch."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import zlib
from abc import abstractmethod
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.base import Dataset, Splits, split_off
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.downloads import Download, fetch
from deepgen_bench.errors import UserError
from deepgen_bench.files import unreadable
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
    """A dataset in torchvision's layout on disk, downloaded where files are missing.

    The official test set is `test`; a seeded, stratified part of the official training set is `validation`.
    """

    Settings = PublicSettings
    settings: PublicSettings
    support = "image"
    has_labels = True
    folder: ClassVar[str]
    shape: ClassVar[tuple[int, int, int]]

    @abstractmethod
    def read_train(self) -> Labelled:
        """The official training set: uint8 (n, *shape) and int64 (n,)."""

    @abstractmethod
    def read_test(self) -> Labelled:
        """The official test set: uint8 (n, *shape) and int64 (n,)."""

    def splits(self, base_seed: int) -> Splits:
        fetch(self.name, self.downloads())
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

    def read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise unreadable(path, error) from None


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
    folder = "MNIST/raw"
    shape = (1, 28, 28)
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
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

    def downloads(self) -> list[Download]:
        return [
            Download(
                self.directory / f"{name}.gz",
                tuple(f"{mirror}{name}.gz" for mirror in self.mirrors),
                f"md5:{md5}",
                (self.directory / name,),
            )
            for name, md5 in self.archive_md5.items()
        ]

    def read_train(self) -> Labelled:
        return self._read_pair("train")

    def read_test(self) -> Labelled:
        return self._read_pair("t10k")

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
            data = self.read(plain)
            if name in self.sha256:
                check_digest(plain, data, "sha256", self.sha256[name])
            return parse_idx(data, ndim, plain), plain
        data = self.read(archive)
        check_digest(archive, data, "md5", self.archive_md5[name])
        return parse_idx(gzip.decompress(data), ndim, archive), archive


class FashionMNIST(MNIST):
    """Fashion-MNIST, 28 × 28 grey articles of clothing in 10 classes (Xiao et al., 2017, arXiv:1708.07747)."""

    name = "fashion_mnist"
    minimum_accuracy = 0.88
    folder = "FashionMNIST/raw"
    mirrors = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
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
    """CIFAR-10, 32 × 32 RGB in 10 classes (Krizhevsky, 2009): 50,000 official training and 10,000 test images.

    Its batches are read from their folder, or straight out of the archive, which is not unpacked.
    """

    name = "cifar10"
    Settings = CIFAR10Settings
    settings: CIFAR10Settings
    minimum_accuracy = 0.6
    folder = "cifar-10-batches-py"
    shape = (3, 32, 32)
    url: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    archive_md5: ClassVar[str] = "c58f30108f718f92721af3b95e74349a"
    md5: ClassVar[dict[str, str]] = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    }

    def downloads(self) -> list[Download]:
        archive, batches = self.data_dir / "cifar-10-python.tar.gz", [self.directory / name for name in self.md5]
        return [Download(archive, (self.url,), f"md5:{self.archive_md5}", tuple(batches))]

    def read_train(self) -> Labelled:
        batches = [self._batch(name) for name in self.md5 if name != "test_batch"]
        images, labels = zip(*batches, strict=True)
        return np.concatenate(images), np.concatenate(labels)

    def read_test(self) -> Labelled:
        return self._batch("test_batch")

    @cached_property
    def _files(self) -> dict[str, bytes]:
        """The batches' content by name."""
        (archive,) = self.downloads()
        if all(path.is_file() for path in archive.instead):
            return {path.name: self.read(path) for path in archive.instead}
        data = self.read(archive.path)
        check_digest(archive.path, data, "md5", self.archive_md5)
        return read_members(archive.path, data, {f"{self.folder}/{name}": name for name in self.md5})

    def _batch(self, name: str) -> Labelled:
        path, data = self.directory / name, self._files[name]
        check_digest(path, data, "md5", self.md5[name])
        batch = load_batch(path, data)
        try:
            images, labels = np.asarray(batch["data"], np.uint8), np.asarray(batch["labels"], np.int64)
            return images.reshape(len(labels), *self.shape), labels
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: no batch of CIFAR-10 ({error})") from None


def read_members(path: Path, data: bytes, wanted: dict[str, str]) -> dict[str, bytes]:
    """Contents of regular files in a tar archive, by the names that `wanted` gives them.

    Nothing is unpacked: a member's path decides only whether it is read, never where anything is written.
    """
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                if member.isreg() and member.name in wanted and (file := archive.extractfile(member)):
                    found[wanted[member.name]] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not a readable archive ({error})") from None
    if missing := sorted(set(wanted.values()) - set(found)):
        raise UserError(f"{path}: it has no file {missing[0]}")
    return found


class BatchUnpickler(pickle.Unpickler):
    """Opens what CIFAR-10's batches are made of, arrays in plain containers, and calls nothing else."""

    admitted = {
        ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"): ("numpy", "ndarray"),
        ("numpy", "dtype"): ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.admitted:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(*self.admitted[module, name])


def load_batch(path: Path, data: bytes) -> Any:
    """The content of one of CIFAR-10's batches, a pickle; though its digest is known, no code in it is run."""
    try:
        return BatchUnpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # what a pickle may raise is no closed list
        raise UserError(f"{path}: no batch of CIFAR-10 ({' '.join(str(error).split())[:200]})") from None
