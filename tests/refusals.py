"""What tests of bad input share: how the command line refuses it, and files to be wrong."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Command = Callable[..., tuple[int, str, str]]


def refused(command: Command, folder: Path, arguments: list[Any], *expected: str) -> None:
    """The command line refuses the arguments in one line that has every `expected` part, and leaves no result."""
    before = files_below(folder)
    code, out, err = command(*arguments)
    assert "Traceback" not in err
    assert (code, out) == (2, ""), (out, err)
    assert err.startswith("error: ") and err.endswith("\n") and err[:-1].isprintable(), err
    assert len(err) < 1000, err
    for part in expected:
        assert part in err, err
    assert files_below(folder) == before


def files_below(folder: Path) -> list[str]:
    """All files but the format of a results folder, locks, and the records of failed jobs."""
    paths = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    paths = [path for path in paths if path.name != "format.json" and path.suffix != ".lock"]
    return sorted(str(path) for path in paths if "failures" not in path.relative_to(folder).parts)


def images(folder: Path, n: int = 15, *shape: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (n, *(shape or (6, 6))), dtype=np.uint8)):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return folder


def npy_header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()
