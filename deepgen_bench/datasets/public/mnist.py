"""MNIST and Fashion-MNIST."""

import gzip
from math import prod
from pathlib import Path
from typing import ClassVar

import numpy as np

from deepgen_bench.datasets.public.base import Labelled, PublicImages, check_digest, read_file
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.downloads import Download


def parse_idx(data: bytes, ndim: int, path: Path) -> np.ndarray:
    """Parse an IDX file of bytes (magic 0, 0, 8, ndim, big-endian sizes, data) into a uint8 array of `ndim` axes."""
    header = 4 + 4 * ndim
    if len(data) < header or data[:4] != bytes([0, 0, 8, ndim]):
        raise UserError(f"{path}: not an IDX file of bytes with {ndim} dimensions (starts with {data[:4].hex()})")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", ndim, 4))
    if len(data) != header + prod(shape):
        raise UserError(f"{path}: {len(data)} bytes, but its header {shape} asks for {header + prod(shape)}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


class MNIST(PublicImages):
    """Handwritten digits, 28 × 28 grey (LeCun et al., 1998): 60,000 official training and 10,000 test images.

    Files are read uncompressed or as `.gz`; every file with a known digest is checked against it.
    """

    name = "mnist"
    minimum_accuracy = 0.985
    folder = "MNIST/raw"
    shape = (1, 28, 28)
    n_images = 70_000
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
        # The digest of the archive is always known, that of the uncompressed file not always; a file that can be
        # checked is preferred.
        if not archive.is_file() or (name in self.sha256 and plain.is_file()):
            data = read_file(plain)
            if name in self.sha256:
                check_digest(plain, data, "sha256", self.sha256[name])
            return parse_idx(data, ndim, plain), plain
        data = read_file(archive)
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
