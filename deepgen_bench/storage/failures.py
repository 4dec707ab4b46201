"""Why jobs of the workflow failed: a small JSON file for each, written by the job itself."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import Signals

from deepgen_bench.runtime.errors import UserError, printable
from deepgen_bench.storage.files import read_json, write_json


@contextmanager
def recorded_failure(path: Path) -> Iterator[None]:
    """Run a job; if it fails, write the reason to `path`. The record of an earlier attempt is removed first."""
    with suppress(NotADirectoryError):  # a file in place of the results folder, which the job's own error names
        path.unlink(missing_ok=True)
    try:
        yield
    except BaseException as error:
        if reason := reason_of(error):
            with suppress(UserError):  # on a full disk the job's own error is what counts
                write_json(path, {"reason": reason})
        raise


def reason_of(error: BaseException) -> str:
    """One line that says why a job ended with this error; empty if it ended well."""
    if isinstance(error, SystemExit):
        # a training that a signal has stopped exits with 128 + the signal's number
        names = {str(128 + number): f"stopped by {number.name}" for number in Signals} | {"0": "", "None": ""}
        return names.get(str(error.code), f"exit status {error.code}")
    if isinstance(error, UserError):
        return str(error)
    message = printable(" ".join(str(error).split()))
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def read_failure(path: Path) -> str:
    """The reason in a record; empty if there is none."""
    try:
        return str(read_json(path)["reason"])
    except (UserError, KeyError, TypeError):
        return ""


def failures_since(folder: Path, since: float) -> Iterator[tuple[Path, str]]:
    """Records below `folder` that were written after a time (seconds since the epoch), with their reasons."""
    for path in sorted(folder.rglob("*.json")):
        if path.stat().st_mtime >= since and (reason := read_failure(path)):
            yield path, reason
