"""Locks between processes, on shared storage too: the system frees them when their holder ends, however it ends."""

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from deepgen_bench.runtime.errors import UserError


def take(path: Path, wait: bool = False) -> IO[str] | None:
    """Lock the file `path` for as long as the returned file is open; None if another process holds it, unless `wait`.

    The file says who holds it and is never deleted: one who waits for a deleted file would not see the next one.
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
            f"{path}: cannot be locked ({error.strerror}); results must lie on a file system with locks"
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def holder(path: Path) -> str:
    """Who holds a lock, in words."""
    return path.read_text() or "another process"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path`; whom this has to wait for is said on stderr."""
    file = take(path)
    if file is None:
        print(f"waiting for {holder(path)}, which holds {path}", file=sys.stderr, flush=True)
        file = take(path, wait=True)
    assert file is not None
    with file:
        yield
