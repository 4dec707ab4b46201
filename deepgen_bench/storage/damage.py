"""Read a file of the store, rebuilding it first if it is damaged."""

import sys
from collections.abc import Callable
from typing import TypeVar

from deepgen_bench.storage.files import Damaged

T = TypeVar("T")


def or_anew(read: Callable[[], T], make: Callable[[], object]) -> T:
    """Return `read()`; if it raises `Damaged`, report that on stderr, call `make()` and read again."""
    try:
        return read()
    except Damaged as error:
        print(f"{error}; it is made anew", file=sys.stderr)
    make()
    return read()
