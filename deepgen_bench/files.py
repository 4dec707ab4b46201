"""Write files so that a reader never sees half of one."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np

from deepgen_bench.damage import Damaged
from deepgen_bench.errors import UserError

SEAL = "seal"


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` on a temporary file beside `path`, then rename it; on an error nothing is left.

    Errors: `UserError` naming `path` where the system refuses, as on a full disk.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_parts(folder: Path, name: str = "*") -> None:
    """Delete what killed processes have left of writing `name`; no other process may be writing it now."""
    for part in folder.glob(f".{name}.*.part"):
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def write_sealed(path: Path, data: dict[str, Any]) -> None:
    """Write `data` as JSON with a digest of itself."""
    write_json(path, data | {SEAL: seal_of(data)})


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote. Errors: `Damaged` if the file is gone or says anything else."""
    try:
        data = read_json(path)
        whole = data.pop(SEAL) == seal_of(data)
    except UserError as error:
        raise Damaged(str(error)) from None
    except (AttributeError, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise Damaged(f"{path}: damaged (it is not what its seal says)")
    return data


def seal_of(data: dict[str, Any]) -> str:
    return sha256_of(canonical_json(data).encode())


def check_sha256(path: Path, expected: str | None) -> None:
    """Raise `Damaged` unless the file is there with this SHA-256."""
    if not path.is_file():
        raise Damaged(f"{path}: no such file")
    if sha256_of(path) != expected:
        raise Damaged(f"{path}: damaged (its sha256 is not {expected})")


def write_array(path: Path, array: np.ndarray) -> None:
    # numpy writes to a true file in a way that does not tell why it fails
    write_atomic(path, lambda file: np.save(SimpleNamespace(write=file.write), array, allow_pickle=False))


def read_array(path: Path) -> np.ndarray:
    """The array in a `.npy` file; pickled objects are refused."""
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path}: not a readable .npy file ({error})") from None


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    write_atomic(path, lambda file: np.savez(file, allow_pickle=False, **arrays))  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name; pickled objects are refused."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, TypeError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable .npz file ({error})") from None


def sha256_of(data: bytes | Path) -> str:
    """SHA-256 of bytes or of a file's content, in hexadecimal."""
    if isinstance(data, Path):
        with open(data, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(data).hexdigest()


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
