"""Files of the store that are gone or not what their digest says: named, and made anew by the stage that makes them."""

import sys
from collections.abc import Callable
from typing import TypeVar

from deepgen_bench.runtime.errors import UserError

T = TypeVar("T")


class Damaged(UserError):
    """A file of the store that cannot be used; the message names it and says why."""


def or_anew(read: Callable[[], T], make: Callable[[], object]) -> T:
    """What `read` gives; if it finds something `Damaged`, that is said on stderr and `make` makes it anew first."""
    try:
        return read()
    except Damaged as found:
        print(f"{found}; it is made anew", file=sys.stderr)
    make()
    return read()
