"""Quadrature of log p(x) over one or two latent dimensions."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from math import log, pi
from typing import TYPE_CHECKING

import numpy as np

from deepgen_bench.runtime.memory import evaluate_in_halves

if TYPE_CHECKING:
    from torch import Tensor, device

RADIUS = 6
"""Radius of the first lattice, whose nodes lie in |z| <= RADIUS; 2e-9 (one dimension) or 2e-8 (two) of the prior is
outside."""

STEP = {1: 1 / 256, 2: 1 / 32}
"""Distance of neighbouring nodes of the first lattice, by latent dimension."""

LEVELS = {1: 7, 2: 3}
"""Largest number of lattices per example, by latent dimension; each has twice the nodes along an axis of the one before
(half the step or twice the radius)."""

TOLERANCE = 0.01
"""Accepted mean error, in nats."""

NEGLIGIBLE = 50
"""Nats below the maximum of an example at which a block of nodes is skipped (10^7 nodes at e^-50 add 2e-15); also the
largest reported error."""

# Nodes, and pairs of an example and a node, per block. Larger blocks exceed a processor's cache, smaller ones leave a
# GPU idle.
NODES = {"cpu": 2**12, "cuda": 2**14}
PAIRS = {"cpu": 2**19, "cuda": 2**25}


def marginal_log_likelihood(
    log_likelihood: "Callable[[Tensor, Tensor], Tensor]", x: "Tensor", dims: int
) -> tuple[np.ndarray, np.ndarray]:
    """log ∫ N(z; 0, I) p(x|z) dz for every row of the tensor `x` (n, D) and z of `dims` 1 or 2, and its error: (n,).

    `log_likelihood(x, z)` is log p(x_i|z_j), (n, m) in float64, for nodes z (m, dims) in float32. The nodes are a
    square lattice with equal weights (the trapezoidal rule, as the integrand vanishes at the rim): the error falls
    exponentially with the ratio of the width of p(z|x) to the step, once that is above 0.7 (Trefethen and Weideman
    2014, theorem 5.1).

    The error is the largest change when only one of the 2^dims lattices of twice the step is used, or when the rim
    |z| > radius - 1 is left out. It is the error of these coarser rules, so for a smooth decoder far above that of the
    value. While its mean is above `TOLERANCE`, each example above it gets more nodes: half the step or twice the
    radius, whichever contributes more to its error. Memory does not grow with the number of nodes. Spikes between the
    nodes are missed. NaN where `log_likelihood` is NaN, -inf where it is -inf at every node.
    """
    import torch

    n = len(x)
    # running maximum of the log joint, and sums of exp(log joint - maximum) over each coarser lattice and over the rim
    top = torch.full((n,), -torch.inf, dtype=torch.float64, device=x.device)
    sums = torch.zeros(n, 2**dims + 1, dtype=torch.float64, device=x.device)
    values, errors = np.empty(n), np.empty((n, 2))
    # the next nodes of each example: step, inner and outer radius, and the first of the coarser lattices
    upcoming = np.tile([STEP[dims], -1.0, RADIUS, 0], (n, 1))
    unfinished = np.arange(n)
    for _ in range(LEVELS[dims]):
        grids, grid_index = np.unique(upcoming[unfinished], axis=0, return_inverse=True)
        for number, (step, inner, radius, first) in enumerate(grids.tolist()):
            members = unfinished[grid_index == number]
            index = torch.as_tensor(members, device=x.device)
            x_part, top_part, sums_part = x[index], top[index], sums[index]
            rows = max(64, min(NODES[x.device.type], PAIRS[x.device.type] // len(members)))
            for lattice, z in _nodes(dims, step, inner, radius, int(first), rows, x.device):
                add = partial(_add, log_likelihood, x_part, z, radius, lattice, top_part, sums_part)
                evaluate_in_halves(add, len(z))
            top[index], sums[index] = top_part, sums_part
            estimates = _values_and_errors(top_part.cpu().numpy(), sums_part.cpu().numpy(), step, dims)
            values[members], errors[members] = estimates
        if errors.max(axis=1).mean() <= TOLERANCE:
            break
        unfinished = np.flatnonzero(errors.max(axis=1) > TOLERANCE)
        by_radius = errors[unfinished, 1] >= errors[unfinished, 0]
        widened, refined = unfinished[by_radius], unfinished[~by_radius]
        # twice the radius: the nodes outside the old radius, on all lattices
        upcoming[widened, 1], upcoming[widened, 3] = upcoming[widened, 2], 0
        upcoming[widened, 2] *= 2
        sums[widened, -1] = 0
        # half the step: the old nodes are the first of the coarser lattices
        upcoming[refined, 0] /= 2
        upcoming[refined, 1], upcoming[refined, 3] = -1, 1
        sums[refined, 0] = sums[refined, :-1].sum(1)
        sums[refined, 1:-1] = 0
    return values, errors.max(axis=1)


def _nodes(
    dims: int, step: float, inner: float, radius: float, first: int, rows: int, device: "device"
) -> "Iterator[tuple[int, Tensor]]":
    """Every node with inner < |z| <= radius on the lattices of twice the step from number `first` on, once, in blocks:
    the number of the lattice, and float64 (<= rows, dims)."""
    import torch

    half = round(radius / step)
    for lattice, offset in enumerate(product((0, 1), repeat=dims)):
        if lattice < first:
            continue
        fast, *others = [torch.arange(-half + start, half + 1, 2, device=device) for start in offset]
        count = len(fast) * (len(others[0]) if others else 1)
        for index in torch.arange(count, device=device).split(rows):
            coordinates = [fast[index % len(fast)], *(other[index // len(fast)] for other in others)]
            z = torch.stack(coordinates, 1).double() * step
            length = z.square().sum(1).sqrt()
            if len(z := z[(length > inner) & (length <= radius)]):
                yield lattice, z


def _add(
    log_likelihood: "Callable[[Tensor, Tensor], Tensor]",
    x: "Tensor",
    z: "Tensor",
    radius: float,
    lattice: int,
    top: "Tensor",
    sums: "Tensor",
    rows: slice,
) -> None:
    """Update `top` (n,) and `sums` (n, 2^dims + 1) in place with log p(x|z) at the nodes `rows` of z (m, dims)."""
    import torch

    squares = z[rows].square().sum(1)
    log_joint = log_likelihood(x, z[rows].float()).sub_(0.5 * squares)
    highest = log_joint.amax(1)
    # most blocks are negligible for most examples, and exponentials take most of the time; NaN counts as relevant
    relevant = torch.nonzero(~(highest <= top - NEGLIGIBLE))[:, 0]
    old_top, new_top = top[relevant], torch.maximum(top[relevant], highest[relevant])
    # exponentials that underflow are five times slower
    terms = log_joint[relevant].sub_(new_top[:, None]).clamp_(min=-700).exp_()
    updated = sums[relevant] * (old_top - new_top).exp_()[:, None]
    updated[:, lattice] += terms.sum(1)
    updated[:, -1] += terms @ (squares > (radius - 1) ** 2).double()
    top[relevant], sums[relevant] = new_top, updated


def _values_and_errors(top: np.ndarray, sums: np.ndarray, step: float, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,), and the errors due to the step and to the radius, (n, 2)."""
    *lattices, rim = sums.T
    total = np.sum(lattices, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # a lattice may be empty, and rounding may put the rim above the total
        shares = np.maximum([*np.array(lattices) / total, 1 - rim / total], np.exp(-NEGLIGIBLE))
        step_error, radius_error = np.abs(np.log(2**dims * shares[:-1])).max(axis=0), np.abs(np.log(shares[-1]))
        values = top + np.log(total) + dims * (log(step) - log(2 * pi) / 2)
    return values, np.stack([step_error, radius_error], axis=1)
