"""CIFAR-10, whose pickled files are read without running code in them."""

import io
import pickle
import tarfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.public.base import Labelled, PublicImages, PublicSettings, check_digest, read_file
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.downloads import Download


class CIFAR10Settings(PublicSettings):
    n_validation: int = Field(5_000, ge=10, le=40_000, description="taken from the official training set")


class CIFAR10(PublicImages):
    """CIFAR-10, 32 × 32 RGB in 10 classes (Krizhevsky, 2009): 50,000 official training and 10,000 test images.

    The batches are read from their folder, or directly from the archive, which is not unpacked.
    """

    name = "cifar10"
    Settings = CIFAR10Settings
    settings: CIFAR10Settings
    minimum_accuracy = 0.6
    folder = "cifar-10-batches-py"
    shape = (3, 32, 32)
    n_images = 60_000
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
        """Contents of the batches by name."""
        (archive,) = self.downloads()
        if all(path.is_file() for path in archive.instead):
            return {path.name: read_file(path) for path in archive.instead}
        data = read_file(archive.path)
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
            raise UserError(f"{path}: not a batch of CIFAR-10 ({error})") from None


def read_members(path: Path, data: bytes, names: dict[str, str]) -> dict[str, bytes]:
    """Read regular files from a tar archive; `names` maps their paths in it to the keys of the result.

    Nothing is unpacked: the path of a member decides only whether it is read, never where anything is written.
    """
    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                if member.isreg() and member.name in names and (file := archive.extractfile(member)):
                    contents[names[member.name]] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not a readable archive ({error})") from None
    if missing := sorted(set(names.values()) - set(contents)):
        raise UserError(f"{path}: no file {missing[0]} in the archive")
    return contents


class BatchUnpickler(pickle.Unpickler):
    """Unpickler of arrays in plain containers, as in CIFAR-10's batches; it refuses every other global."""

    allowed = {
        ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"): ("numpy", "ndarray"),
        ("numpy", "dtype"): ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(*self.allowed[module, name])


def load_batch(path: Path, data: bytes) -> Any:
    """Load a pickled batch of CIFAR-10. Although its digest has been checked, no code in it is run."""
    try:
        return BatchUnpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # unpickling may raise any exception
        raise UserError(f"{path}: not a batch of CIFAR-10 ({' '.join(str(error).split())[:200]})") from None
