"""Run an evaluation network over stored images in batches of a fixed size, on exact float32 arithmetic."""

from collections.abc import Callable

import numpy as np
import torch


def in_batches(
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], images: np.ndarray, batch_size: int, device: str
) -> tuple[np.ndarray, ...]:
    """`forward` on uint8 batches of `images` (n, c, h, w), each of its outputs joined to a float64 array (n, …).

    The batch size is a constant of each network, not a matter of memory: it can change the last bits.
    """
    outputs = []
    # TF32, on by default for convolutions, would make features depend on the GPU's generation
    with torch.inference_mode(), torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        for start in range(0, len(images), batch_size):
            # a copy, because stored arrays are mapped read-only and torch takes no reversed ones
            batch = torch.from_numpy(images[start : start + batch_size].copy()).to(device)
            outputs.append([output.double().cpu().numpy() for output in forward(batch)])
    return tuple(np.concatenate(column) for column in zip(*outputs, strict=True))
