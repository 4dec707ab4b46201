"""Precision of matrix products and convolutions in a training step."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


def products_in(precision: str, device: str) -> AbstractContextManager[None]:
    """A block whose products are in "float32", in "tf32" (operands of 11 bits, sums in float32; float32 on a CPU) or in
    "bf16" (operands and results of 8 bits: torch's autocast). Parameters stay in float32."""
    if precision == "bf16":
        # cached casts would be memory that a CUDA graph does not own
        return torch.autocast(device, torch.bfloat16, cache_enabled=False)
    return tensor_float() if precision == "tf32" else nullcontext()


@contextmanager
def tensor_float() -> Iterator[None]:
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = True
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
