"""log p(x) of a latent-variable model with one or two latent dimensions, by quadrature."""

from collections.abc import Callable, Iterator
from itertools import product
from math import log, pi
from typing import Any

import numpy as np

RADIUS = 7
"""Nodes lie in |z| <= RADIUS at first; 3e-12 (one dimension) or 2e-11 (two) of the prior is outside."""

STEP = {1: 1 / 256, 2: 1 / 32}
"""The distance of neighbouring nodes at first, by latent dimension."""

LEVELS = {1: 5, 2: 3}
"""How many lattices are tried, each with twice the nodes along an axis: half the step, or twice the radius."""

TOLERANCE = 0.01
"""The mean error that is good enough, in nats."""

# pairs of an example and a node at once: more leave a processor's cache, fewer leave a GPU idle
PAIRS = {"cpu": 2**18, "cuda": 2**25}


def marginal_log_likelihood(
    log_likelihood: Callable[[Any, Any], Any], x: Any, dims: int
) -> tuple[np.ndarray, np.ndarray]:
    """log ∫ N(z; 0, I) p(x|z) dz for every row of the tensor `x` (n, D) and z of `dims` 1 or 2, and its error: (n,).

    `log_likelihood(x, z)` is log p(x_i|z_j), (n, m) in float64, for nodes z (m, dims) in float32. Equal weights on a
    square lattice (the trapezoidal rule, as the integrand vanishes at the rim): the error falls exponentially with the
    ratio of p(z|x)'s width to the step, once that is above 0.7 (Trefethen and Weideman 2014, theorem 5.1).

    The error is the largest change when only one of the 2^dims lattices of twice the step is used, or when the rim
    |z| > radius - 1 is left out: that of the cruder rules, so for a smooth decoder far above that of the value. While
    its mean is above `TOLERANCE`, the examples above it are integrated again, with half the step or twice the radius,
    whichever is more to blame. Memory does not grow with the number of nodes.
    """
    import torch

    step, radius = STEP[dims], RADIUS
    values, errors = np.empty(len(x)), np.full((len(x), 2), np.inf)
    for _ in range(LEVELS[dims]):
        rest = np.flatnonzero(~(errors.max(axis=1) <= TOLERANCE))
        some = x[torch.as_tensor(rest, device=x.device)]
        values[rest], errors[rest] = _integrate(log_likelihood, some, dims, step, radius)
        if errors.max(axis=1).mean() <= TOLERANCE:
            break
        of_step, of_radius = errors[rest].mean(axis=0)
        step, radius = (step, 2 * radius) if of_radius > of_step else (step / 2, radius)
    return values, errors.max(axis=1)


def _integrate(
    log_likelihood: Callable[[Any, Any], Any], x: Any, dims: int, step: float, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,), and the errors by the step and by the radius, (n, 2)."""
    import torch

    # running maximum of the log joint, and sums of exp(log joint - maximum) over each coarser lattice and over the rim
    top = torch.full((len(x), 1), -torch.inf, dtype=torch.float64, device=x.device)
    sums = torch.zeros(len(x), 2**dims + 1, dtype=torch.float64, device=x.device)
    rows = max(64, min(2**14, PAIRS[x.device.type] // len(x)))
    for lattice, z in _coarser_lattices(dims, step, radius, rows, x.device):
        squares = z.square().sum(1)
        log_joint = log_likelihood(x, z.float()).sub_(0.5 * squares)
        above = torch.maximum(top, log_joint.amax(1, keepdim=True))
        sums *= (top - above).exp_()
        # exponentials that underflow are five times slower
        terms, top = log_joint.sub_(above).clamp_(min=-700).exp_(), above
        sums[:, lattice] += terms.sum(1)
        sums[:, -1] += terms @ (squares > (radius - 1) ** 2).double()
    *lattices, rim = sums.T.cpu().numpy()
    whole = np.sum(lattices, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = [np.abs(np.log(2**dims * np.array(lattices) / whole)).max(axis=0), np.abs(np.log1p(-rim / whole))]
    values = top[:, 0].cpu().numpy() + np.log(whole) + dims * (log(step) - log(2 * pi) / 2)
    return values, np.stack(errors, axis=1)


def _coarser_lattices(dims: int, step: float, radius: int, rows: int, device: Any) -> Iterator[tuple[int, Any]]:
    """Every node within the radius once, float64 (<= rows, dims), and the number of the lattice of twice the step that
    it is on."""
    import torch

    half = round(radius / step)
    for lattice, offset in enumerate(product((0, 1), repeat=dims)):
        first, *others = [torch.arange(start - half, half + 1, 2, device=device) for start in offset]
        count = len(first) * (len(others[0]) if others else 1)
        for index in torch.arange(count, device=device).split(rows):
            places = [first[index % len(first)], *(other[index // len(first)] for other in others)]
            z = torch.stack(places, 1).double() * step
            if len(z := z[z.square().sum(1) <= radius**2]):
                yield lattice, z
