"""Evaluation of feature networks on stored images, in batches of a fixed size and in exact float32 arithmetic."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.memory import evaluate_in_blocks


def check_images(images: np.ndarray, levels: int, channels: tuple[int, ...]) -> None:
    """Raise `UserError` unless `images` is uint8 (n, c, h, w), not empty, c in `channels`, all below `levels`."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in channels:
        expected = " or ".join(map(str, channels))
        raise UserError(
            f"images: {images.dtype} of shape {images.shape}, expected uint8 (n, c, h, w) with c = {expected}"
        )
    if images.size == 0:
        raise UserError(f"images: empty, shape {images.shape}")
    if images.max() >= levels:
        raise UserError(f"images: the value {images.max()}; valid: 0 … {levels - 1}")


@contextmanager
def without_onednn() -> Iterator[None]:
    """Context in which CPU convolutions are matrix products.

    Those of oneDNN are faster by a factor of 1.6, but their blocks depend on the sizes of the processor's caches, which
    a virtual machine may report differently from day to day, and so does the rounding of their sums.
    """
    backend: Any = torch.backends.mkldnn
    enabled, backend.enabled = backend.enabled, False
    try:
        yield
    finally:
        backend.enabled = enabled


def in_batches(
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], images: np.ndarray, batch_size: int, device: str
) -> tuple[np.ndarray, ...]:
    """The outputs of `forward` on uint8 batches of `images` (n, c, h, w), each joined to a float64 array (n, …).

    The batch size is a constant of each network, because it can change the last bits. Batches are smaller only if a
    batch is out of memory.
    """

    def evaluate(rows: slice) -> list[np.ndarray]:
        # a copy, because stored arrays are read-only memory maps, and torch accepts no negative strides
        batch = torch.from_numpy(images[rows].copy()).to(device)
        return [output.double().cpu().numpy() for output in forward(batch)]

    # TF32, which is on by default for convolutions, would make features depend on the generation of the GPU
    with torch.inference_mode(), torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        outputs = evaluate_in_blocks(evaluate, len(images), batch_size)
    return tuple(np.concatenate(column) for column in zip(*outputs, strict=True))
