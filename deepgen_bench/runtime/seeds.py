"""Independent random streams, derived from one base seed and the role that uses them.

Nothing in the package uses a global generator. Each role has axes: `split` and `metric` depend on the dataset alone, so
that every model is given the same split, subsets, projections and dequantisation noise; `init`, `batches`, `noise` and
`sample` depend on (dataset, model, replicate), so that a replicate does not depend on the others of its block.
"""

import hashlib

import numpy as np


def seed_sequence(base_seed: int, role: str, *axes: str | int) -> np.random.SeedSequence:
    """The `SeedSequence` of `role` along `axes` (names or integers); unrelated roles give unrelated streams."""
    words = [int.from_bytes(hashlib.sha256(str(part).encode()).digest()[:4], "little") for part in (role, *axes)]
    return np.random.SeedSequence(base_seed, spawn_key=tuple(words))


def derive_seed(base_seed: int, role: str, *axes: str | int) -> int:
    """A 63-bit seed for libraries that are seeded by an integer (torch, scikit-learn)."""
    return int(seed_sequence(base_seed, role, *axes).generate_state(1, np.uint64)[0] >> np.uint64(1))


def derive_rng(base_seed: int, role: str, *axes: str | int) -> np.random.Generator:
    """A numpy generator for `role` along `axes`."""
    return np.random.default_rng(seed_sequence(base_seed, role, *axes))
