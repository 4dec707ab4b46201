"""What every job of the workflow shares: it records why it failed, and invalidates what it found damaged."""

from collections.abc import Iterator
from contextlib import contextmanager

from deepgen_bench.experiment.store import Store
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.damage import Damaged
from deepgen_bench.storage.failures import recorded_failure


@contextmanager
def job(store: Store, rule: str, dataset: str = "", model: str = "", block: int | None = None) -> Iterator[None]:
    """Run a job of a rule.

    A job does not rebuild what another rule makes. Where it finds such a file damaged, it removes the manifest that
    stands for it and fails; the next call of Snakemake rebuilds the file, which the error says.
    """
    with recorded_failure(store.failure(rule, dataset, model, block)):
        try:
            yield
        except Damaged as error:
            if not store.invalidate(error.path):
                raise
            raise UserError(f"{error}; run snakemake again to rebuild it") from None
