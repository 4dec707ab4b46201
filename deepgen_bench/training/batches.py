"""Training batches in the representation a model needs, drawn on the device from one tensor."""

import numpy as np
import torch
from torch import Tensor

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.training.replicate_rng import ReplicateRNG


def represent(x: Tensor, representation: str, levels: int | None, noise: Tensor | None) -> Tensor:
    """Stored examples as float32 training data; `noise` is uniform on [0, 1) in the shape of `x`.

    Images of `levels` grey levels k become k / (levels - 1) ("grey"), (k + u) / levels ("dequantised", Theis et al.
    2016, arXiv 1511.01844, section 3.1) or draws with P(1) = k / (levels - 1) ("binarised"). Vectors stay as they are.
    """
    if levels is None:
        return x
    x = x.float()
    if representation == "grey":
        return x / (levels - 1)
    assert noise is not None
    if representation == "dequantised":
        # float32 rounds (k + u) / levels to 1 for the largest u: keep it inside [0, 1)
        return ((x + noise) / levels).clamp_(max=1 - 2**-24)
    return (noise < x / (levels - 1)).float()


class Batches:
    """An endless source of batches (S, B, D), sampled with replacement, fresh noise for each."""

    def __init__(
        self,
        data: np.ndarray,
        spec: DataSpec,
        representation: str,
        size: int,
        indices: ReplicateRNG,
        noise: ReplicateRNG,
    ) -> None:
        flat = data.reshape(len(data), -1)
        # images stay uint8 on the device: a quarter of the memory, and the cast is cheap
        self.data = torch.as_tensor(flat if spec.levels else flat.astype(np.float32)).to(indices.device)
        self.levels, self.representation, self.size = spec.levels, representation, size
        self.indices, self.noise = indices, noise

    def next(self) -> Tensor:
        rows = self.indices.indices(len(self.data), self.size)
        x = self.data[rows.flatten()].view(*rows.shape, -1)
        needs_noise = self.levels is not None and self.representation != "grey"
        noise = self.noise.uniform(*x.shape[1:]) if needs_noise else None
        return represent(x, self.representation, self.levels, noise)

    def all(self, limit: int) -> Tensor:
        """The first `limit` examples (S, limit, D), with one draw of the noise."""
        x = self.data[:limit]
        noise = self.noise.uniform(*x.shape) if self.levels is not None else None
        return represent(x.expand(len(self.noise.generators), *x.shape), self.representation, self.levels, noise)
