"""log p(x) of a latent-variable model with one or two latent dimensions, by quadrature."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from math import log, pi
from typing import Any

import numpy as np

from deepgen_bench.runtime.memory import evaluate_in_halves

RADIUS = 6
"""Nodes lie in |z| <= RADIUS at first; 2e-9 (one dimension) or 2e-8 (two) of the prior is outside."""

STEP = {1: 1 / 256, 2: 1 / 32}
"""The distance of neighbouring nodes at first, by latent dimension."""

LEVELS = {1: 7, 2: 3}
"""How many lattices an example may need, each with twice the nodes along an axis: half the step or twice the radius."""

TOLERANCE = 0.01
"""The mean error that is good enough, in nats."""

NEGLIGIBLE = 50
"""Nats below an example's maximum at which a block of nodes adds nothing (e^-50 of 10^7 nodes are 2e-15), and the
largest error."""

# nodes, and pairs of an example and a node, at once: more leave a processor's cache, fewer leave a GPU idle
NODES = {"cpu": 2**12, "cuda": 2**14}
PAIRS = {"cpu": 2**19, "cuda": 2**25}


def marginal_log_likelihood(
    log_likelihood: Callable[[Any, Any], Any], x: Any, dims: int
) -> tuple[np.ndarray, np.ndarray]:
    """log ∫ N(z; 0, I) p(x|z) dz for every row of the tensor `x` (n, D) and z of `dims` 1 or 2, and its error: (n,).

    `log_likelihood(x, z)` is log p(x_i|z_j), (n, m) in float64, for nodes z (m, dims) in float32. Equal weights on a
    square lattice (the trapezoidal rule, as the integrand vanishes at the rim): the error falls exponentially with the
    ratio of p(z|x)'s width to the step, once that is above 0.7 (Trefethen and Weideman 2014, theorem 5.1).

    The error is the largest change when only one of the 2^dims lattices of twice the step is used, or when the rim
    |z| > radius - 1 is left out: that of the cruder rules, so for a smooth decoder far above that of the value. While
    its mean is above `TOLERANCE`, each example above it gets more nodes, at half the step or up to twice the radius,
    whichever is more to blame for its own error. Memory does not grow with the number of nodes. Spikes between the
    nodes are not seen. NaN where `log_likelihood` is NaN, -inf where it is -inf at every node.
    """
    import torch

    n = len(x)
    # running maximum of the log joint, and sums of exp(log joint - maximum) over each coarser lattice and over the rim
    top = torch.full((n,), -torch.inf, dtype=torch.float64, device=x.device)
    sums = torch.zeros(n, 2**dims + 1, dtype=torch.float64, device=x.device)
    values, errors = np.empty(n), np.empty((n, 2))
    # the nodes that come next: their step, inner and outer radius, and the first of the coarser lattices
    ahead = np.tile([STEP[dims], -1.0, RADIUS, 0], (n, 1))
    rest = np.arange(n)
    for _ in range(LEVELS[dims]):
        kinds, kind = np.unique(ahead[rest], axis=0, return_inverse=True)
        for number, (step, inner, radius, first) in enumerate(kinds.tolist()):
            some = rest[kind == number]
            index = torch.as_tensor(some, device=x.device)
            part, its_top, its_sums = x[index], top[index], sums[index]
            rows = max(64, min(NODES[x.device.type], PAIRS[x.device.type] // len(some)))
            for lattice, z in _nodes(dims, step, inner, radius, int(first), rows, x.device):
                add = partial(_add, log_likelihood, part, z, radius, lattice, its_top, its_sums)
                evaluate_in_halves(add, len(z))
            top[index], sums[index] = its_top, its_sums
            values[some], errors[some] = _value_and_errors(its_top.cpu().numpy(), its_sums.cpu().numpy(), step, dims)
        if errors.max(axis=1).mean() <= TOLERANCE:
            break
        rest = np.flatnonzero(errors.max(axis=1) > TOLERANCE)
        wide = errors[rest, 1] >= errors[rest, 0]
        far, near = rest[wide], rest[~wide]
        # twice the radius: those outside the old one, on all lattices
        ahead[far, 1], ahead[far, 3] = ahead[far, 2], 0
        ahead[far, 2] *= 2
        sums[far, -1] = 0
        # half the step: the old nodes are one of the coarser lattices, the first
        ahead[near, 0] /= 2
        ahead[near, 1], ahead[near, 3] = -1, 1
        sums[near, 0] = sums[near, :-1].sum(1)
        sums[near, 1:-1] = 0
    return values, errors.max(axis=1)


def _nodes(
    dims: int, step: float, inner: float, radius: float, first: int, rows: int, device: Any
) -> Iterator[tuple[int, Any]]:
    """Every node with inner < |z| <= radius on the lattices of twice the step from the `first` on, once: the number of
    its lattice, and float64 (<= rows, dims)."""
    import torch

    half = round(radius / step)
    for lattice, offset in enumerate(product((0, 1), repeat=dims)):
        if lattice < first:
            continue
        fast, *others = [torch.arange(-half + start, half + 1, 2, device=device) for start in offset]
        count = len(fast) * (len(others[0]) if others else 1)
        for index in torch.arange(count, device=device).split(rows):
            places = [fast[index % len(fast)], *(other[index // len(fast)] for other in others)]
            z = torch.stack(places, 1).double() * step
            length = z.square().sum(1).sqrt()
            if len(z := z[(length > inner) & (length <= radius)]):
                yield lattice, z


def _add(
    log_likelihood: Callable[[Any, Any], Any],
    x: Any,
    z: Any,
    radius: float,
    lattice: int,
    top: Any,
    sums: Any,
    rows: slice,
) -> None:
    """Bring `top` (n,) and `sums` (n, 2^dims + 1) up to date with log p(x|z) at the nodes `rows` of z (m, dims)."""
    import torch

    squares = z[rows].square().sum(1)
    log_joint = log_likelihood(x, z[rows].float()).sub_(0.5 * squares)
    highest = log_joint.amax(1)
    # most blocks are negligible for most examples, and an exponential costs more than all else; NaN is kept
    some = torch.nonzero(~(highest <= top - NEGLIGIBLE))[:, 0]
    old, above = top[some], torch.maximum(top[some], highest[some])
    # exponentials that underflow are five times slower
    terms = log_joint[some].sub_(above[:, None]).clamp_(min=-700).exp_()
    updated = sums[some] * (old - above).exp_()[:, None]
    updated[:, lattice] += terms.sum(1)
    updated[:, -1] += terms @ (squares > (radius - 1) ** 2).double()
    top[some], sums[some] = above, updated


def _value_and_errors(top: np.ndarray, sums: np.ndarray, step: float, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,), and the errors by the step and by the radius, (n, 2)."""
    *lattices, rim = sums.T
    whole = np.sum(lattices, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # a lattice may be empty, and the rim pass the whole by rounding
        shares = np.maximum([*np.array(lattices) / whole, 1 - rim / whole], np.exp(-NEGLIGIBLE))
        of_step, of_radius = np.abs(np.log(2**dims * shares[:-1])).max(axis=0), np.abs(np.log(shares[-1]))
        values = top + np.log(whole) + dims * (log(step) - log(2 * pi) / 2)
    return values, np.stack([of_step, of_radius], axis=1)
