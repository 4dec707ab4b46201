"""The error of a file in the store that cannot be used."""

from pathlib import Path

from deepgen_bench.runtime.errors import UserError


class Damaged(UserError):
    """A file or folder of the store is missing or not what its digest says. `path` names it."""

    def __init__(self, path: Path, why: str):
        super().__init__(f"{path}: {why}")
        self.path = path
