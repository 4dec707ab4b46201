"""A training step as one CUDA graph: a single call launches all of its kernels, which are short and many."""

import sys
from collections.abc import Callable

import torch

# steps taken one kernel at a time before, which allocate and choose what a graph must find
WARM_UP = 3


def captured(update: Callable[[], None]) -> Callable[[], None]:
    """`update` as a graph; or `update` itself where it cannot be captured, because it waits for the device or uses a
    generator, which is said on stderr.

    What it reads and writes must stay where it is in memory. Capturing does not run it.
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
