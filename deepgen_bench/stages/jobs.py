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

    The experiments are loaded only where a file is damaged, because they may be of a machine with other plug-ins.
    Errors: `UserError` if a folder's tables are not as aggregated.
    """
    homes = [folder for folder in folders if (folder / "experiment.json").is_file()]
    record = folders[0] / "failures" / f"{rule}.json"
    with recorded_failure(record) if folders[0] in homes else nullcontext():
        try:
            for folder in folders:
                if (folder / "aggregated.json").is_file():
                    check_digests(folder / "aggregated.json")
            yield
        except Damaged as error:
            home = next((home for home in homes if error.path.is_relative_to(home)), None)
            if home is None or not store_of(home).invalidate(error.path):
                raise
            raise UserError(f"{error}; run snakemake again to rebuild it") from None
