"""What one job has measured, on disk: rows of the tidy table, the per-example values behind them, a seal on both."""

from pathlib import Path
from typing import Any

import numpy as np

from deepgen_bench.files import check_sha256, read_sealed, remove_parts, sha256_of, write_arrays, write_sealed
from deepgen_bench.results import write_rows

SUFFIXES = (".csv", ".npz", ".json")


def write_measured(path: Path, rows: list[dict[str, Any]], vectors: dict[str, np.ndarray] | None = None) -> None:
    """Write `<path>.csv`, `.npz` where there are vectors, and last `.json` with their digests; `path` ends in .csv."""
    if vectors is not None:
        write_arrays(path.with_suffix(".npz"), vectors)
    write_rows(path, rows)
    written = [path] if vectors is None else [path, path.with_suffix(".npz")]
    write_sealed(path.with_suffix(".json"), {file.name: sha256_of(file) for file in written})
    # of jobs that were killed
    for suffix in SUFFIXES:
        remove_parts(path.parent, path.with_suffix(suffix).name)


def check_measured(path: Path) -> None:
    """Raise `Damaged` unless the files are there as they were written."""
    for name, digest in read_sealed(path.with_suffix(".json")).items():
        check_sha256(path.with_name(name), digest)
