"""The state of a training in one file, from which a killed job resumes. Imports no torch."""

import hashlib
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from deepgen_bench.storage.files import canonical_json, write_atomic

Arrays = dict[str, np.ndarray]


class Checkpointer:
    """Saves the state of a block of replicates during training to the file `path`, every `seconds` of wall time.

    The file is a line with the SHA-256 of what follows, a line of JSON, and arrays as safetensors; it is replaced as a
    whole. `fits` (JSON data) identifies what the state belongs to; a state of anything else is ignored.

    Inside a `with` block, SIGTERM and Ctrl-C end the process only after its state is saved, with status 128 + signal; a
    second signal ends it at once.
    """

    def __init__(self, path: Path, fits: dict[str, Any], seconds: float):
        self.path, self.seconds = path, seconds
        self.fits = json.loads(canonical_json(fits))
        self.asked: int | None = None  # the signal that has asked the process to stop
        self.began = self.kept = time.monotonic()
        self.before = 0.0  # seconds spent by earlier processes
        self.resumed_at: list[int] = []

    def __enter__(self) -> "Checkpointer":
        # a signal that the parent process ignores stays ignored
        heeded = [int(s) for s in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(s) != signal.SIG_IGN]
        self.handlers = {number: signal.signal(number, self._ask) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if self.asked is not None and kind is None:
            signal.raise_signal(self.asked)  # the signal came after the last call of `due`

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = number
        signal.signal(number, self.handlers[number])

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, in all processes."""
        return self.before + time.monotonic() - self.began

    def due(self) -> bool:
        """Whether `save` should be called now; cheap enough to call after every step."""
        return self.asked is not None or time.monotonic() - self.kept >= self.seconds

    def save(self, replicates: list[int], step: int, arrays: Arrays, data: Any) -> None:
        """Save arrays, whose leading axis is that of `replicates` if they have one, and `data` (JSON, a list over
        replicates); then end the process if a signal has asked it to stop."""
        from safetensors.numpy import save

        about = {"fits": self.fits, "replicates": replicates, "step": step, "data": data}
        about |= {"seconds": self.elapsed, "resumed_at": self.resumed_at}
        # diverged replicates have NaN in their curves, which Python's JSON preserves, as it does every bit of a float
        head = json.dumps(about).encode() + b"\n"
        body = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
        digest = digest_of(head, body)
        write_atomic(self.path, lambda file: file.writelines([digest, head, body]))
        self.kept = time.monotonic()
        if self.asked is not None:
            name = signal.Signals(self.asked).name
            print(
                f"{self.path}: stopped by {name} after step {step}; the same command goes on from here", file=sys.stderr
            )
            raise SystemExit(128 + self.asked)

    def load(self, replicates: list[int]) -> tuple[int, Arrays, Any] | None:
        """The saved step, arrays and data of these replicates, or None. An unusable file is named on stderr."""
        if not self.path.is_file():
            return None
        from safetensors.numpy import load

        digest, head, body = [*self.path.read_bytes().split(b"\n", 2), b"", b""][:3]
        about: dict[str, Any] = {}
        if digest_of(head + b"\n", body) != digest + b"\n":
            why = "damaged"
        else:
            about = json.loads(head)
            changed = [key.replace("_", " ") for key, value in self.fits.items() if about["fits"].get(key) != value]
            missing = set(replicates) - set(about["replicates"])
            why = f"{changed[0]} changed" if changed else f"of seeds {about['replicates']}" if missing else ""
        if why:
            print(f"{self.path}: {why}; training starts from the beginning", file=sys.stderr)
            return None
        self.before, self.resumed_at = about["seconds"], [*about["resumed_at"], about["step"]]
        print(f"{self.path}: training goes on after step {about['step']}", file=sys.stderr)
        # replicates are independent, so a subset of the saved ones can continue
        rows = [about["replicates"].index(replicate) for replicate in replicates]
        arrays = {name: array[rows] if array.ndim else array.copy() for name, array in load(body).items()}
        return about["step"], arrays, [about["data"][row] for row in rows]


def digest_of(head: bytes, body: bytes) -> bytes:
    digest = hashlib.sha256(head)
    digest.update(body)
    return digest.hexdigest().encode() + b"\n"
