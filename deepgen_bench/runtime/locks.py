"""File locks between processes, also on shared storage. The system releases them when the process ends in any way."""

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from deepgen_bench.runtime.errors import UserError


def acquire(path: Path, wait: bool = False) -> IO[str] | None:
    """Lock the file `path` for as long as the returned file is open.

    If another process holds the lock, wait for it, or return None without `wait`. The file names the process that
    holds the lock. It is never deleted, as a process waiting for a deleted file would not see the lock on a new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:
        file.close()
        raise UserError(
            f"{path}: cannot be locked ({error.strerror}); results must be on a file system with locks"
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def read_holder(path: Path) -> str:
    """Describe the process that holds a lock."""
    return path.read_text() or "another process"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path`; if another process holds it, report that on stderr and wait."""
    file = acquire(path)
    if file is None:
        print(f"waiting for {read_holder(path)}, which holds {path}", file=sys.stderr, flush=True)
        file = acquire(path, wait=True)
    assert file is not None
    with file:
        yield
