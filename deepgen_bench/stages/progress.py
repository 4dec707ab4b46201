"""Progress of a long stage: a bar on a terminal, plain lines in a log."""

import sys
import time
from types import TracebackType

from tqdm import tqdm


class Progress:
    """Progress of `label`, reported by calls with (done, total, note). Lines are written at most every `seconds`, and
    at the end."""

    def __init__(self, label: str, seconds: float = 10.0):
        self.label, self.seconds = label, seconds
        self.bar = tqdm(desc=label, dynamic_ncols=True) if sys.stderr.isatty() else None
        self.last = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, done: int, total: int, note: str) -> None:
        if self.bar is not None:
            self.bar.total = total
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(done - self.bar.n)
        elif done == total or time.monotonic() - self.last >= self.seconds:
            self.last = time.monotonic()
            print(f"{self.label}: {done}/{total}, {note}", file=sys.stderr, flush=True)
