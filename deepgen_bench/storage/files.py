"""Atomic writing of files, and reading of them with checks of digests and content."""

import fcntl
import glob
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, BinaryIO, TypeVar

import numpy as np

from deepgen_bench.runtime.errors import UserError

SEAL = "seal"
T = TypeVar("T")


class Damaged(UserError):
    """A file or folder of the store is missing or does not match its recorded digest; `path` names it."""

    def __init__(self, path: Path, why: str):
        super().__init__(f"{path}: {why}")
        self.path = path


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` on a temporary file in the folder of `path`, then rename it; on an error nothing is left.

    Temporary files of killed processes are removed as well. Errors: `UserError` naming `path` if the system cannot
    write, as on a full disk.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            # The lock is held until the file is renamed, so that `remove_parts` of another process does not delete it.
            with suppress(OSError):  # raised on a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            write(file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
        remove_parts(path.parent, glob.escape(path.name))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_parts(folder: Path, name: str = "*") -> None:
    """Delete temporary files that killed processes left when writing `name`, but none that is being written."""
    for part in folder.glob(f".{name}.*.part"):
        # The file may have been renamed meanwhile, or be locked by its writer.
        with suppress(OSError), open(part, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def write_sealed(path: Path, data: dict[str, Any]) -> None:
    """Write `data` as JSON with a digest of itself."""
    write_json(path, data | {SEAL: seal_of(data)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote. Errors: `Damaged` if the file is missing or was changed."""
    if not path.is_file():
        raise Damaged(path, "no such file")
    try:
        data = read_json(path)
        intact = data.pop(SEAL) == seal_of(data)
    except (UserError, AttributeError, KeyError, TypeError, ValueError):
        intact = False
    if not intact:
        raise Damaged(path, "damaged (it does not match its seal)")
    return data


def seal_of(data: dict[str, Any]) -> str:
    return sha256_of(canonical_json(data).encode())


def check_sha256(path: Path, expected: str | None) -> None:
    """Raise `Damaged` unless the file exists and has this SHA-256."""
    if not path.is_file():
        raise Damaged(path, "no such file")
    if sha256_of(path) != expected:
        raise Damaged(path, f"damaged (its sha256 is not {expected})")


def unreadable(path: Path, error: OSError) -> UserError:
    """The `UserError` for a file that cannot be read because of `error`."""
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    return UserError(f"{path}: {'no such file' if missing else f'cannot be read ({error.strerror or error})'}")


def write_digests(path: Path, files: Iterable[Path]) -> None:
    """Write the sealed JSON file `path` with the SHA-256 of `files`, which are in the same folder."""
    write_sealed(path, {file.name: sha256_of(file) for file in files})


def check_digests(path: Path) -> None:
    """Raise `Damaged` unless the files named in `path` have the digests that `write_digests` recorded."""
    for name, digest in read_sealed(path).items():
        check_sha256(path.with_name(name), digest)


def write_bytes(path: Path, data: bytes) -> None:
    write_atomic(path, lambda file: file.write(data))


def write_array(path: Path, array: np.ndarray) -> None:
    # numpy's way of writing to a real file does not report why it fails
    write_atomic(path, lambda file: np.save(SimpleNamespace(write=file.write), array, allow_pickle=False))


def read_array(path: Path) -> np.ndarray:
    """Read the array in a `.npy` file; pickled objects are refused."""
    arrays = read_arrays(path)
    if list(arrays) != [""]:
        raise UserError(f"{path}: an .npz archive; valid: a .npy file")
    return arrays[""]


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    write_atomic(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))  # type: ignore[arg-type]


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of an `.npz` file by name (all, or those in `names`), or that of a `.npy` file by the name "".

    Files from untrusted sources are safe to read: pickled objects are refused, and so is an array whose header promises
    more data than the file has, before memory is allocated. Errors: `UserError` naming the file, also for a missing
    array.
    """
    return _read_members(path, names, _parse_array)


def read_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Read shape and dtype of each array, with the errors of `read_arrays` except for damage after the headers."""
    return _read_members(path, None, _parse_header)


def _read_members(path: Path, names: Collection[str] | None, parse: Callable[[IO[bytes], int], T]) -> dict[str, T]:
    try:
        with open(path, "rb") as file:
            if file.read(4) not in (b"PK\3\4", b"PK\5\6"):
                file.seek(0)
                return {"": parse(file, path.stat().st_size)}
            with zipfile.ZipFile(file) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                arrays = {}
                for name in members if names is None else names:
                    if name not in members:
                        available = ", ".join(sorted(members)) or "none"
                        raise UserError(f"{path}: no array {name!r}; found: {available}")
                    with archive.open(members[name]) as member:
                        arrays[name] = parse(member, members[name].file_size)
                return arrays
    except OSError as error:
        raise unreadable(path, error) from None
    except (MemoryError, UserError):
        raise
    except Exception as error:  # zipfile, zlib and numpy may raise any exception on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not a .npz or .npy file of plain arrays ({reason[:200]})") from None


def _parse_array(file: IO[bytes], size: int) -> np.ndarray:
    """Read the array in `.npy` format from `file`, which has `size` bytes."""
    _parse_header(file, size)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _parse_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    # version 3.0 differs from 2.0 only in the encoding of field names
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it contains pickled objects, which are never loaded")
    if min(shape, default=0) < 0:
        raise ValueError(f"its header promises the shape {shape}")
    promised, available = prod(shape) * dtype.itemsize, size - file.tell()
    if promised > available:
        raise ValueError(f"its header promises {promised} bytes of shape {shape}, but there are {available}")
    return shape, dtype


def stamp(files: Iterable[Path], folder: Path) -> str:
    """A digest of the files' paths relative to `folder`, sizes and modification times."""
    lines = []
    for file in files:
        try:
            stat = file.stat()
        except OSError as error:  # for example a broken link
            raise unreadable(file, error) from None
        lines.append(f"{os.path.relpath(file, folder)} {stat.st_size} {stat.st_mtime_ns}")
    return sha256_of("\n".join(lines).encode(errors="surrogateescape"))


def sha256_of(data: bytes | Path) -> str:
    """SHA-256 of bytes or of a file's content, in hexadecimal."""
    if isinstance(data, Path):
        with open(data, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(data).hexdigest()


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal data give equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
