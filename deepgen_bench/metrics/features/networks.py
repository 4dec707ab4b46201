"""Run an evaluation network over stored images in batches of a fixed size, on exact float32 arithmetic."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from deepgen_bench.runtime.memory import evaluate_in_blocks


@contextmanager
def without_onednn() -> Iterator[None]:
    """Convolutions on a CPU as matrix products. oneDNN's are faster by 1.6, but blocked by the sizes of the processor's
    caches, which a virtual machine may show differently from day to day: then sums are rounded otherwise."""
    backend: Any = torch.backends.mkldnn
    enabled, backend.enabled = backend.enabled, False
    try:
        yield
    finally:
        backend.enabled = enabled


def in_batches(
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], images: np.ndarray, batch_size: int, device: str
) -> tuple[np.ndarray, ...]:
    """`forward` on uint8 batches of `images` (n, c, h, w), each of its outputs joined to a float64 array (n, …).

    The batch size is a constant of each network, as it can change the last bits; only where memory does not suffice
    are batches smaller.
    """

    def evaluate(rows: slice) -> list[np.ndarray]:
        # a copy, because stored arrays are mapped read-only and torch takes no reversed ones
        batch = torch.from_numpy(images[rows].copy()).to(device)
        return [output.double().cpu().numpy() for output in forward(batch)]

    # TF32, on by default for convolutions, would make features depend on the GPU's generation
    with torch.inference_mode(), torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        outputs = evaluate_in_blocks(evaluate, len(images), batch_size)
    return tuple(np.concatenate(column) for column in zip(*outputs, strict=True))
