"""Real data in the place of a model: the reference point of every metric. Imports no torch."""

from collections.abc import Callable

import numpy as np

from deepgen_bench.models.base import GenerativeModel, Streams, TrainingData
from deepgen_bench.models.settings import ModelSettings, ModelSpec
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.training.result import State, TrainingResult


class OracleSettings(ModelSettings):
    """Real data have no settings."""


class Oracle(GenerativeModel):
    """A model that is not trained. Its samples are held-out data, which only the measuring stage reads."""

    def fit(
        self,
        data: TrainingData,
        replicates: list[int],
        streams: Streams,
        budget: int,
        progress: Callable[[int, int, str], None],
    ) -> list[TrainingResult]:
        progress(len(replicates), len(replicates), "nothing to train")
        return [TrainingResult({"final": {"parameters": np.zeros(0)}}) for _ in replicates]

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
    """Samples of the oracle and the real data that they are compared with, each of at most `n` examples.

    With an exact sampler: new draws and the test split. Otherwise two disjoint halves of the validation and test
    splits together, drawn again for each seed, so that the spread over seeds is that of resampling one held-out set.
    """
    if sample is not None:
        n = min(n, len(test))
        return sample(n, rng), test[:n]
    pool = np.concatenate([validation, test])
    n = min(n, len(test), len(pool) // 2)
    order = rng.permutation(len(pool))
    return pool[order[:n]], pool[order[n : 2 * n]]


ORACLE = ModelSpec(OracleSettings, None, "deepgen_bench.models.oracle:Oracle", role="oracle")
