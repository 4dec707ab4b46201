"""Real data in the place of a model: the reference point of every metric. Imports no torch."""

from collections.abc import Callable

import numpy as np

from deepgen_bench.models.base import GenerativeModel, Streams, TrainingData
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.training.result import Fit, State


class Oracle(GenerativeModel):
    """Learns nothing; its samples are held-out data, taken in the measure stage, the only one that may open them."""

    def fit(
        self,
        data: TrainingData,
        replicates: list[int],
        streams: Streams,
        budget: int,
        progress: Callable[[int, int, str], None],
    ) -> list[Fit]:
        progress(len(replicates), len(replicates), "nothing to train")
        return [Fit({"final": {"parameters": np.zeros(0)}}) for _ in replicates]

    def load(self, state: State) -> None:
        pass

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        raise UserError("oracle: it has no sampler of its own, its samples are held-out data")


def oracle_pair(
    sample: Callable[[int, np.random.Generator], np.ndarray] | None,
    validation: np.ndarray,
    test: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """What plays the model and what it is held against, each of at most `n` examples.

    With an exact sampler: fresh draws against the test split. Otherwise two disjoint halves of validation and test data
    together, drawn anew for each seed: the spread over seeds is that of resampling one held-out set.
    """
    if sample is not None:
        n = min(n, len(test))
        return sample(n, rng), test[:n]
    pool = np.concatenate([validation, test])
    n = min(n, len(test), len(pool) // 2)
    order = rng.permutation(len(pool))
    return pool[order[:n]], pool[order[n : 2 * n]]
