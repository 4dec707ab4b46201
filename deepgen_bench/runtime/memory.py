"""Memory is kept for what comes next; when it runs out, evaluations go on with fewer rows at once, and a training says
which setting to lower."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from deepgen_bench.runtime.errors import UserError

T = TypeVar("T")

# what torch and its libraries say, on a CPU and on a GPU, where they raise no MemoryError
COMPLAINTS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc")
# bytes of freed memory that are kept, of blocks below so many
KEPT, KEPT_BLOCK = 512 << 20, 32 << 20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the host or of the device, has run out."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in COMPLAINTS)


def within_memory(evaluate: Callable[[slice], T], n: int, start: int = 0) -> list[T]:
    """`evaluate` for the rows `start` to `start + n` in one piece; where memory does not suffice, in halves, and so on.

    Nothing may be drawn in `evaluate`, so that the pieces together are what the whole is but for rounding. Errors: that
    of a single row that does not fit.
    """
    try:
        return [evaluate(slice(start, start + n))]
    except (MemoryError, RuntimeError) as error:
        if n < 2 or not is_out_of_memory(error):
            raise
    # outside the handler, whose traceback would keep what was allocated
    free_cache()
    half = n // 2
    return [*within_memory(evaluate, half, start), *within_memory(evaluate, n - half, start + half)]


def in_blocks(evaluate: Callable[[slice], T], n: int, rows: int) -> list[T]:
    """`evaluate` for 0 to `n` in blocks of so many `rows`, each `within_memory`."""
    starts = range(0, n, rows)
    return [part for start in starts for part in within_memory(evaluate, min(rows, n - start), start)]


def free_cache() -> None:
    """Give back what torch keeps of a GPU's memory for later, which may be in pieces too small."""
    import torch

    torch.cuda.empty_cache()


@contextmanager
def or_lower(settings: str, what: str) -> Iterator[None]:
    """Turn an out-of-memory error into a `UserError` that names the settings to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()
        found = f" ({reason[0]})" if reason else ""
        raise UserError(f"{what}: memory does not suffice{found}; lower {settings}") from None


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for what comes next, up to half a GiB of blocks below 32 MiB.

    By default it gives blocks of a few hundred KiB back to the system at once, which then clears every page of the next
    one: a fifth of a training's time, a twentieth of that of sample metrics. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    # M_MMAP_THRESHOLD at its largest, and M_TRIM_THRESHOLD (malloc.h)
    mallopt(-3, KEPT_BLOCK)
    mallopt(-1, KEPT)
