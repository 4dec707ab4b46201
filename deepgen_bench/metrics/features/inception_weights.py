"""Location, download and verification of the published weights of the Inception network. Imports no torch."""

import os
from pathlib import Path

from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.downloads import Download, fetch
from deepgen_bench.storage.files import sha256_of, unreadable

WEIGHTS_NAME = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS_NAME}"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
WEIGHTS_SIZE = 95_628_359


def published(weights: Path | None = None, expected_sha256: str = WEIGHTS_SHA256) -> Download:
    """The file at `weights`, by default in the cache of torch and torch-fidelity."""
    cache = os.getenv("TORCH_HOME") or os.path.join(os.getenv("XDG_CACHE_HOME") or "~/.cache", "torch")
    path = weights or Path(cache, "hub", "checkpoints", WEIGHTS_NAME)
    return Download(path.expanduser(), (WEIGHTS_URL,), f"sha256:{expected_sha256}")


def check_weights(weights: Path | None = None) -> None:
    """Raise `UserError` if the file does not hold the published weights. It may be missing from the default cache."""
    if weights is not None or published().present:
        read_weights(weights)


def read_weights(weights: Path | None = None, expected_sha256: str = WEIGHTS_SHA256) -> bytes:
    """The bytes of the weights, downloaded if `weights` is None and they are missing.

    Raises `UserError` unless their SHA-256 is the expected one.
    """
    file = published(weights, expected_sha256)
    if weights is None:
        try:
            fetch("inception", [file])
        except UserError as error:
            raise UserError(f"{error}, or name it in inception_weights (score: in --weights)") from None
    elif not file.present:
        raise UserError(f"{weights}: no such file; the Inception weights are at {WEIGHTS_URL}")
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise unreadable(file.path, error) from None
    if (digest := sha256_of(data)) != expected_sha256:
        raise UserError(
            f"{file.path}: {len(data)} bytes with SHA-256 {digest}, expected {expected_sha256}"
            f" (the published weights have {WEIGHTS_SIZE} bytes)"
        )
    return data
