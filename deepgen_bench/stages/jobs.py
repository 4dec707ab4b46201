"""What every job of the workflow shares: it records why it failed, and invalidates what it found damaged."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from deepgen_bench.experiment.store import Store
from deepgen_bench.storage.failures import recorded_failure
from deepgen_bench.storage.files import Damaged


@contextmanager
def job(store: Store, rule: str, dataset: str = "", model: str = "", block: int | None = None) -> Iterator[None]:
    """Run a job of a rule.

    A job does not rebuild what another rule makes. Where it finds such a file damaged, it removes the manifest that
    stands for it and fails; the next call of Snakemake rebuilds the file.
    """
    with recorded_failure(store.failure(rule, dataset, model, block)):
        try:
            yield
        except Damaged as error:
            store.invalidate(error.path)
            print(f"{error.path}: damaged or missing; the same snakemake command rebuilds it", file=sys.stderr)
            raise
