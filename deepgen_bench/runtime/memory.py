"""Handling of exhausted memory: smaller evaluations, or an error that names the settings to lower; malloc settings."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from deepgen_bench.runtime.errors import UserError

T = TypeVar("T")

# Parts of the messages of RuntimeErrors by which torch and its libraries report exhausted memory on CPU and GPU.
OUT_OF_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc")
# Bytes of freed memory that glibc keeps, and the size below which blocks are kept.
KEPT_BYTES, KEPT_BLOCK_BYTES = 512 << 20, 32 << 20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that the memory of the host or the device is exhausted."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)


def evaluate_in_halves(evaluate: Callable[[slice], T], n: int, start: int = 0) -> list[T]:
    """Call `evaluate` on the rows `start` to `start + n`, recursively on halves of them if it runs out of memory.

    `evaluate` must not draw random numbers, so that the parts agree with the whole up to rounding. The error of a
    single row that does not fit is raised.
    """
    try:
        return [evaluate(slice(start, start + n))]
    except (MemoryError, RuntimeError) as error:
        if n < 2 or not is_out_of_memory(error):
            raise
    # This is outside the handler, whose traceback would keep the allocated tensors alive.
    free_cache()
    half = n // 2
    return [*evaluate_in_halves(evaluate, half, start), *evaluate_in_halves(evaluate, n - half, start + half)]


def evaluate_in_blocks(evaluate: Callable[[slice], T], n: int, rows: int) -> list[T]:
    """Call `evaluate` on the rows 0 to `n` in blocks of `rows`, each by `evaluate_in_halves`."""
    starts = range(0, n, rows)
    return [part for start in starts for part in evaluate_in_halves(evaluate, min(rows, n - start), start)]


def free_cache() -> None:
    """Release the GPU memory that torch caches, whose blocks may be too small to be reused."""
    import torch

    torch.cuda.empty_cache()


@contextmanager
def suggest_on_out_of_memory(settings: str, task: str) -> Iterator[None]:
    """Turn an out-of-memory error into a `UserError` that names the task and the settings to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        lines = str(error).strip().splitlines()
        reason = f" ({lines[0]})" if lines else ""
        raise UserError(f"{task}: out of memory{reason}; lower {settings}") from None


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for later allocations, up to 512 MiB in blocks below 32 MiB.

    By default it returns blocks of a few hundred KiB to the system at once, which then clears every page of the next
    one; that takes a fifth of the time of training and a twentieth of that of sample metrics. Other C libraries are not
    changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    # M_MMAP_THRESHOLD, at its largest value, and M_TRIM_THRESHOLD (malloc.h)
    mallopt(-3, KEPT_BLOCK_BYTES)
    mallopt(-1, KEPT_BYTES)
