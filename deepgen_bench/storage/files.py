"""Write files so that a reader never sees half of one."""

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
    """Call `write` on a temporary file beside `path`, then rename it; on an error nothing is left.

    Nor is what processes killed at it have left. Errors: `UserError` naming `path` where the system refuses, as on
    a full disk.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            # held until it has its name, so that `remove_parts` of another process leaves it alone
            with suppress(OSError):  # on a file system without locks
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
    """Delete what killed processes have left of writing `name`, and nothing that another one is writing now."""
    for part in folder.glob(f".{name}.*.part"):
        # gone meanwhile, or held by its writer
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
    """What `write_sealed` wrote. Errors: `Damaged` if the file is gone or says anything else."""
    if not path.is_file():
        raise Damaged(path, "no such file")
    try:
        data = read_json(path)
        whole = data.pop(SEAL) == seal_of(data)
    except (UserError, AttributeError, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise Damaged(path, "damaged (it is not what its seal says)")
    return data


def seal_of(data: dict[str, Any]) -> str:
    return sha256_of(canonical_json(data).encode())


def check_sha256(path: Path, expected: str | None) -> None:
    """Raise `Damaged` unless the file is there with this SHA-256."""
    if not path.is_file():
        raise Damaged(path, "no such file")
    if sha256_of(path) != expected:
        raise Damaged(path, f"damaged (its sha256 is not {expected})")


def unreadable(path: Path, error: OSError) -> UserError:
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    return UserError(f"{path}: {'no such file' if missing else f'cannot be read ({error.strerror or error})'}")


def write_digests(path: Path, files: Iterable[Path]) -> None:
    """Write the sealed JSON file `path` with the SHA-256 of `files`, which lie beside it."""
    write_sealed(path, {file.name: sha256_of(file) for file in files})


def check_digests(path: Path) -> None:
    """Raise `Damaged` unless the files named in `path` are there as they were when `write_digests` wrote it."""
    for name, digest in read_sealed(path).items():
        check_sha256(path.with_name(name), digest)


def write_bytes(path: Path, data: bytes) -> None:
    write_atomic(path, lambda file: file.write(data))


def write_array(path: Path, array: np.ndarray) -> None:
    # numpy writes to a true file in a way that does not tell why it fails
    write_atomic(path, lambda file: np.save(SimpleNamespace(write=file.write), array, allow_pickle=False))


def read_array(path: Path) -> np.ndarray:
    """The array in a `.npy` file; pickled objects are refused."""
    arrays = read_arrays(path)
    if list(arrays) != [""]:
        raise UserError(f"{path}: an .npz archive; valid: a .npy file")
    return arrays[""]


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    write_atomic(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))  # type: ignore[arg-type]


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name (of them those in `names`), or that of a `.npy` file by the name "".

    Whoever wrote the file: pickled objects are refused, and so is an array whose header promises more than is there,
    before memory is taken for it. Errors: `UserError` naming the file, also for a name that it lacks.
    """
    return _read_members(path, names, _parse_array)


def read_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of what `read_arrays` would read, with its errors but for damage behind the headers."""
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
                        found = ", ".join(sorted(members)) or "none"
                        raise UserError(f"{path}: no array {name!r}; found: {found}")
                    with archive.open(members[name]) as member:
                        arrays[name] = parse(member, members[name].file_size)
                return arrays
    except OSError as error:
        raise unreadable(path, error) from None
    except (MemoryError, UserError):
        raise
    except Exception as error:  # what zipfile, zlib and numpy raise on damaged files is no closed list
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not a .npz or .npy file of plain arrays ({why[:200]})") from None


def _parse_array(file: IO[bytes], size: int) -> np.ndarray:
    """The array in the `.npy` format in `file`, which has `size` bytes."""
    _parse_header(file, size)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _parse_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    # version 3.0 differs from 2.0 in the encoding of field names alone
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never loaded")
    if min(shape, default=0) < 0:
        raise ValueError(f"its header promises the shape {shape}")
    promised, there = prod(shape) * dtype.itemsize, size - file.tell()
    if promised > there:
        raise ValueError(f"its header promises {promised} bytes of shape {shape}, but there are {there}")
    return shape, dtype


def stamp(files: Iterable[Path], folder: Path) -> str:
    """Text that changes when the files do: a digest of their names as seen from `folder`, sizes and times of change."""
    lines = []
    for file in files:
        try:
            stat = file.stat()
        except OSError as error:  # a link to nowhere, say
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
    """JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
