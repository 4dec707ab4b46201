"""Latent spaces of models for figures: interpolations, codes of data, manifolds and traversals."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepgen_bench.models.base import HasLatentSpace
from deepgen_bench.training.replicate_rng import ReplicateRNG

# rows of interpolations, and steps of each: fewer if every step is an image
ROWS, STEPS = 5, {"image": 9, "vector": 50}
# nodes of the manifold's lattice along an axis
NODES = 14
# latent units of a traversal, and how far it goes to either side
UNITS, REACH = 6, 2.5
# test examples in an embedding
EXAMPLES = 1000


@torch.no_grad()
def decoded(model: HasLatentSpace, z: Tensor) -> np.ndarray:
    """Samples without noise of their own for latent variables z (m, Z) of a loaded replicate, as stored, (m, …)."""
    return model.stored(model.from_latent(z[None])[0])


def interpolations(model: HasLatentSpace, seed: int) -> np.ndarray:
    """Samples on the way between pairs of latent draws, (ROWS, STEPS, …)."""
    a, b = model.draw_latent(ReplicateRNG([seed], model.device), 2 * ROWS)[0].chunk(2)
    steps = STEPS["vector" if model.spec.levels is None else "image"]
    t = torch.linspace(0, 1, steps, device=a.device)[None, :, None]
    z = interpolate(a[:, None], b[:, None], t)
    return decoded(model, z.flatten(0, 1)).reshape(ROWS, steps, *model.spec.shape)


def interpolate(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Points at `t` in [0, 1] from a to b (…, Z), in even steps of angle and of length (White 2016, arXiv 1609.04468).

    A straight line would pass through a region where the prior has no mass. In one dimension the line is straight.
    """
    if a.shape[-1] == 1:
        return (1 - t) * a + t * b
    lengths = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    a, b = a / lengths[0], b / lengths[1]
    angle = (a * b).sum(-1, keepdim=True).clamp(-1, 1).acos()
    direction = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()
    return ((1 - t) * lengths[0] + t * lengths[1]) * direction


def codes(model: Any, x: np.ndarray) -> np.ndarray:
    """Means of q(z|x), (n, Z), for stored examples x (n, …)."""
    levels = model.spec.levels
    data = torch.as_tensor(x.reshape(len(x), -1), dtype=torch.float32, device=model.device)
    if levels is not None:
        # the centre of the values that each grey level stands for
        data = data / (levels - 1) if model.representation == "binarised" else (data + 0.5) / levels
    with torch.no_grad():
        return model.encode(data[None])[0][0].cpu().numpy()


def plane(z: np.ndarray) -> tuple[np.ndarray, float]:
    """Codes (n, Z) in the plane of their first two principal components, (n, 2), and the share of variance in it."""
    if z.shape[1] <= 2:
        return np.pad(z, ((0, 0), (0, 2 - z.shape[1]))), 1.0
    centred = z - z.mean(0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:2].T, float((values[:2] ** 2).sum() / (values**2).sum())


def manifold(model: HasLatentSpace) -> np.ndarray:
    """The decoder over a square lattice of a two-dimensional latent space, (NODES, NODES, …), z₁ to the right and z₂
    upwards; the nodes are equally spaced in the prior's probability (Kingma and Welling 2014, appendix A)."""
    quantiles = torch.special.ndtri((torch.arange(NODES) + 0.5) / NODES)
    z = torch.stack(torch.meshgrid(quantiles.flip(0), quantiles, indexing="ij")[::-1], -1).to(model.device)
    return decoded(model, z.reshape(-1, 2)).reshape(NODES, NODES, *model.spec.shape)


def traversals(model: HasLatentSpace, code: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The decoder along single units through the `code` (Z,) of an example, (units, STEPS, …), and the units' numbers.

    The units are those with the largest `spread` (Z,) of codes over data.
    """
    units = np.argsort(-spread, kind="stable")[:UNITS].tolist()
    values = torch.linspace(-REACH, REACH, STEPS["image"])
    z = torch.as_tensor(code, dtype=torch.float32).repeat(len(units), len(values), 1)
    for row, unit in enumerate(units):
        z[row, :, unit] = values
    images = decoded(model, z.flatten(0, 1).to(model.device))
    return images.reshape(len(units), len(values), *model.spec.shape), units
