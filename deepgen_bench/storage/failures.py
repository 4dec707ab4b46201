"""Reasons for which jobs of the workflow failed, read from their logs."""

import re
from collections.abc import Iterator
from pathlib import Path

# the command line's error message, the message after a signal, and the last line of a traceback
REASON = re.compile(r"^error: (.+)|^(\S*: stopped by SIG.+)|^((?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*)")


def reason(log: Path) -> str:
    """The last line of a job's log if it says why the job failed; empty otherwise."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    match = REASON.match(lines[-1]) if lines else None
    return next(filter(None, match.groups()), "") if match else ""


def failed_logs(folder: Path, since: float) -> Iterator[tuple[Path, str]]:
    """Yield the logs in `folder` of failed jobs, with the reason, written since a time in seconds of the epoch."""
    for log in sorted(folder.rglob("*.log")):
        if log.stat().st_mtime >= since and (text := reason(log)):
            yield log, text
