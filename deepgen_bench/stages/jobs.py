"""What every job of the workflow shares: it records why it failed, and invalidates what it found damaged."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from deepgen_bench.experiment.store import Store, store_of
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.failures import recorded_failure
from deepgen_bench.storage.files import Damaged, check_digests


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


@contextmanager
def folder_job(rule: str, folders: Sequence[Path]) -> Iterator[None]:
    """Run a job of a rule that reads the tables of experiment folders, of which the first is its own.

    Errors: `Damaged` if a folder's tables are not as aggregated.
    """
    for folder in folders:
        with job(store_of(folder), rule) if (folder / "experiment.json").is_file() else nullcontext():
            if (folder / "aggregated.json").is_file():
                check_digests(folder / "aggregated.json")
    own = folders[0]
    with job(store_of(own), rule) if (own / "experiment.json").is_file() else nullcontext():
        yield
