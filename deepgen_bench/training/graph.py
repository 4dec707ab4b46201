"""A training step as one CUDA graph: a single call launches all of its kernels, which are short and many."""

import sys
from collections.abc import Callable

import torch

# eager steps before capture, which allocate memory and choose kernels
WARM_UP = 3


def captured(update: Callable[[], None]) -> Callable[[], None]:
    """`update` as a graph, or `update` itself, with a note on stderr, if it cannot be captured because it synchronises
    with the device or uses a generator.

    The tensors that it reads and writes must keep their addresses. Capturing does not run it.
    """
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    try:
        with torch.cuda.graph(graph):
            update()
    except RuntimeError as error:
        print(f"no CUDA graph of this model's step: {str(error).splitlines()[0]}", file=sys.stderr)
        return update
    replay: Callable[[], None] = graph.replay
    return replay
