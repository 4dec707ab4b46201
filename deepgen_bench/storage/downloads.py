"""Download public files with retries; a file is placed only if it has the published digest."""

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepgen_bench.runtime.errors import UserError

ATTEMPTS = 4  # for each URL; pooch waits one second longer after each
TIMEOUT = (10, 30)  # seconds to connect, and between two parts; some firewalls drop packets without an answer


@dataclass(frozen=True)
class Download:
    """A public file: its path, URLs that are tried in order, and its digest.

    `digest` is `md5:…` or `sha256:…`. The file is not needed if all files `instead` exist.
    """

    path: Path
    urls: tuple[str, ...]
    digest: str
    instead: tuple[Path, ...] = ()

    @property
    def present(self) -> bool:
        return self.path.is_file() or bool(self.instead) and all(path.is_file() for path in self.instead)

    @property
    def state(self) -> str:
        """ "present", "altered" (by its digest) or "missing"; files `instead` are checked when they are read."""
        if not self.path.is_file():
            return "present" if self.present else "missing"
        algorithm, _, expected = self.digest.partition(":")
        with open(self.path, "rb") as file:
            return "present" if hashlib.file_digest(file, algorithm).hexdigest() == expected else "altered"


def fetch(name: str, files: Sequence[Download]) -> None:
    """Download the missing ones of `files`; each is placed complete and checked, or not at all.

    Existing files are not touched, so that without a network they can be placed manually. Errors: `UserError` with the
    reason and the list of files to place.
    """
    for file in files:
        problems = []
        for url in () if file.present else file.urls:
            if not (problem := _download(url, file)):
                break
            problems.append(f"{url}: {problem}")
        else:
            if problems:
                missing = [other for other in files if not other.present]
                raise UserError(f"{name}: cannot download {'; '.join(problems)}. Alternatively, {placement(missing)}")


def placement(files: Sequence[Download]) -> str:
    """One line that says where to place the files, grouped by folder and URL."""
    groups: dict[tuple[Path, str], list[str]] = {}
    for file in files:
        base = file.urls[0].removesuffix(file.path.name)
        groups.setdefault((file.path.parent, base), []).append(file.path.name)
    return "; ".join(f"place {', '.join(names)} from {base} in {folder}" for (folder, base), names in groups.items())


def _download(url: str, file: Download) -> str:
    """Fetch one file from one URL and return why that failed, or an empty text."""
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")
    store = pooch.create(
        file.path.parent, "", registry={file.path.name: file.digest}, urls={file.path.name: url},
        retry_if_failed=ATTEMPTS - 1,
    )  # fmt: skip
    # "identity" keeps compressed files as they are
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=2**20, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
    )
    try:
        path = store.fetch(file.path.name, downloader=downloader)
    except RequestException as error:
        return _reason(error)
    except ValueError:
        return f"the content does not have the digest {file.digest}"
    except OSError as error:
        raise UserError(f"{file.path.parent}: cannot be written to ({error.strerror or error})") from None
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(path, 0o666 & ~umask)  # pooch's temporary file is readable by its owner alone
    return ""


def _reason(error: BaseException) -> str:
    """The message of the innermost cause, as requests wraps `Connection refused` three times."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
