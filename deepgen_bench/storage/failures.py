"""Why jobs of the workflow have ended without a result, as their logs tell it."""

import re
from collections.abc import Iterator
from pathlib import Path

# the error line of the command line; what a signal or a fault in the program leaves
REASON = re.compile(r"^error: (.+)|^(\S*: stopped by SIG.+)|^((?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*)")


def reason(log: Path) -> str:
    """The line at the end of a job's log that says why it failed; empty if it does not say so."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    found = REASON.match(lines[-1]) if lines else None
    return next(filter(None, found.groups()), "") if found else ""


def failed_logs(folder: Path, since: float) -> Iterator[tuple[Path, str]]:
    """The logs in `folder` written after a time (seconds of the epoch) that tell of a failure, with the reason."""
    for log in sorted(folder.rglob("*.log")):
        if log.stat().st_mtime >= since and (why := reason(log)):
            yield log, why
