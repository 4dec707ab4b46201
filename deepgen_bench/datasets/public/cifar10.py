"""CIFAR-10, whose files are pickles of known digest, opened without running what is in them."""

import io
import pickle
import tarfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.public.base import Labelled, PublicImages, PublicSettings, check_digest
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.downloads import Download


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
