"""Densities of data and of models on a line or in the plane, for figures."""

from typing import Any, Literal

import numpy as np

from deepgen_bench.models.base import DiffusionProcess, GenerativeModel, Tractable

# cells of a lattice along each axis, by dimension
POINTS = {1: 400, 2: 80}
# margin at either end, as a share of the range of the data
MARGIN = 0.15
# draws of a histogram, in all and at once
DRAWS, BLOCK = 500_000, 100_000
# steps of a diffusion model's probability flow, enough for a picture
FLOW_STEPS = 50

Kind = Literal["density", "probability flow", "histogram of 500,000 draws"]


def lattice(x: np.ndarray) -> list[np.ndarray]:
    """Centres of equal cells that cover data x (n, D <= 2) with a margin, one axis for each dimension."""
    axes = []
    for column in x.T:
        low, high = column.min(), column.max()
        edges = np.linspace(low - MARGIN * (high - low), high + MARGIN * (high - low), POINTS[x.shape[1]] + 1)
        axes.append((edges[:-1] + edges[1:]) / 2)
    return axes


def points(axes: list[np.ndarray]) -> np.ndarray:
    """All points of a lattice, (Π lengths, D), the last axis fastest."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def density(model: GenerativeModel, axes: list[np.ndarray], seed: int) -> tuple[np.ndarray, Kind]:
    """p(x) of a loaded model of vectors on a lattice, in the lattice's shape, and how it was computed."""
    shape = [len(axis) for axis in axes]
    if isinstance(model, Tractable):
        return np.exp(model.log_prob(points(axes))).reshape(shape), "density"
    if isinstance(model, DiffusionProcess):
        return _flow_density(model, points(axes)).reshape(shape), "probability flow"
    return _histogram(model, axes, seed), "histogram of 500,000 draws"


def _flow_density(model: Any, x: np.ndarray) -> np.ndarray:
    import torch

    from deepgen_bench.metrics.likelihood.diffusion import flow_log_likelihood

    return np.exp(flow_log_likelihood(model, torch.as_tensor(x[None], dtype=torch.float32), FLOW_STEPS))


def _histogram(model: GenerativeModel, axes: list[np.ndarray], seed: int) -> np.ndarray:
    """Density by counting draws, which also works for generators whose distribution has no density."""
    steps = [axis[1] - axis[0] for axis in axes]
    edges = [np.append(axis - step / 2, axis[-1] + step / 2) for axis, step in zip(axes, steps, strict=True)]
    counts = np.zeros([len(axis) for axis in axes])
    for block in range(DRAWS // BLOCK):
        samples = model.sample(BLOCK, seed + block)
        # a VAE's density is that of its draws
        counts += np.histogramdd(samples.get("draw", next(iter(samples.values()))), edges)[0]
    return counts / (DRAWS * np.prod(steps))
