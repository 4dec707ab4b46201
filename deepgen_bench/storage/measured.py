"""The measurements of one job on disk: rows of the tidy table, the per-example values behind them, a seal on both."""

from pathlib import Path
from typing import Any

import numpy as np

from deepgen_bench.storage.files import check_digests, write_arrays, write_digests
from deepgen_bench.storage.results import write_rows


def write_measured(path: Path, rows: list[dict[str, Any]], vectors: dict[str, np.ndarray] | None = None) -> None:
    """Write the rows to `path`, which ends in .csv, vectors to an `.npz` file, and last their digests to `.json`."""
    if vectors is not None:
        write_arrays(path.with_suffix(".npz"), vectors)
    write_rows(path, rows)
    written = [path] if vectors is None else [path, path.with_suffix(".npz")]
    write_digests(path.with_suffix(".json"), written)


def check_measured(path: Path) -> None:
    """Raise `Damaged` unless the files are present and as they were written."""
    check_digests(path.with_suffix(".json"))
