"""Figure data on disk: an archive of arrays and a sealed JSON file that describes them."""

from pathlib import Path
from typing import Any

import numpy as np

from deepgen_bench.storage.files import check_sha256, read_arrays, read_sealed, sha256_of, write_arrays, write_sealed


def write_figure_data(path: Path, info: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write `info` to `path`, which ends in .json, and the arrays to an .npz file of the same name."""
    write_arrays(path.with_suffix(".npz"), arrays)
    write_sealed(path, info | {"arrays": sha256_of(path.with_suffix(".npz"))})


def read_figure_data(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_figure_data` wrote. Errors: `Damaged` if a file is missing or was changed."""
    info = read_sealed(path)
    check_sha256(path.with_suffix(".npz"), info["arrays"])
    return info, read_arrays(path.with_suffix(".npz"))
