"""Join what the jobs have measured: all of it, or the finished part of an experiment that failed."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepgen_bench.experiment.store import PROTOCOL_VERSION, Store
from deepgen_bench.report.data import summary
from deepgen_bench.report.data.paired import load_paired
from deepgen_bench.report.tables.write import write_tables
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.failures import read_failure
from deepgen_bench.storage.files import Damaged, write_digests
from deepgen_bench.storage.keys import CHECKPOINTS
from deepgen_bench.storage.measured import check_measured, write_measured
from deepgen_bench.storage.results import COLUMNS, load_results

# metric and direction of the row that stands for a measurement which failed
FIRST = {"sample": ("frechet_distance", "min"), "likelihood": ("log_likelihood", "max")}
# rule that writes each kind of measurement
RULES = {"sample": "measure", "likelihood": "likelihood"}


def aggregate(store: Store) -> None:
    """Write the tables of the finished experiment, and delete those of the unfinished one.

    Errors: `UserError` for a measurement that is missing, `Damaged` for one that is altered.
    """
    for part in store.parts():
        path = store.measurements(*part)
        if not path.is_file():
            raise UserError(f"{path}: no such file; --partial writes tables of the finished measurements")
        check_measured(path)
    write_digests(store.aggregated, summary.aggregate(store.all_measurements(), store.home))
    shutil.rmtree(store.partial, ignore_errors=True)


def aggregate_partially(store: Store) -> str:
    """Write the tables of the finished measurements to `partial/`; the others have rows of status `failed`.

    Returns a text that names the missing measurements and the reasons that their jobs have recorded.
    """
    shutil.rmtree(store.partial, ignore_errors=True)
    finished: list[Path] = []
    missing: dict[str, list[str]] = {}
    for part in store.parts():
        path = store.measurements(*part)
        try:
            check_measured(path)
            finished.append(path)
        except Damaged as error:
            dataset, model, block, kind = part
            reason = first_failure(store, *part) or (str(error) if path.is_file() else "not finished")
            missing.setdefault(f"{kind} metrics: {reason}", []).append(f"{dataset}/{model} block {block}")
            stand_in = store.partial / "failed" / f"{dataset}_{model}_{kind}_{block}.csv"
            write_measured(stand_in, failed_rows(store, *part, reason))
            finished.append(stand_in)
    if not missing and is_newer(store.aggregated, finished):
        # a later job failed; the tables in the experiment's folder are complete
        return f"{store.home}: everything is measured and aggregated"
    if len(list(store.partial.glob("failed/*.csv"))) == len(finished):
        raise UserError(f"{store.home}: nothing has been measured yet")
    summary.aggregate(finished, store.partial)
    write_tables(load_results(store.partial), store.partial / "tables", paired=load_paired(store.partial))
    complete = len(finished) - sum(map(len, missing.values()))
    lines = [f"- {', '.join(blocks)}: {reason}" for reason, blocks in missing.items()]
    first = f"{store.partial}: tables of {complete} of {len(finished)} parts{'; missing' if lines else ''}"
    return "\n".join([first, *lines])


def is_newer(path: Path, others: Sequence[Path]) -> bool:
    return path.is_file() and all(path.stat().st_mtime >= other.stat().st_mtime for other in others)


def first_failure(store: Store, dataset: str, model: str, block: int, kind: str) -> str:
    """Reason of the first failed job that a measurement depends on; empty if none has recorded one."""
    records = [store.failure(rule, dataset) for rule in ("prepare", "extractor")]
    records += [store.failure(rule, dataset, model, block) for rule in ("train", RULES[kind])]
    return next(filter(None, map(read_failure, records)), "")


def failed_rows(store: Store, dataset: str, model: str, block: int, kind: str, reason: str) -> list[dict[str, Any]]:
    """Rows without a value for the replicates of a block whose measurement failed."""
    metric, direction = FIRST[kind]
    common = dict.fromkeys(COLUMNS) | {
        **{"experiment": store.experiment.name, "dataset": dataset, "model": model, "metric": metric},
        **{"role": store.experiment.model_spec(model).role, "bound": "estimate", "direction": direction},
        **{"status": "failed", "reason": reason},
        **{"reference_split": "test", "protocol_version": str(PROTOCOL_VERSION)},
    }
    return [
        common | {"seed": seed, "checkpoint": checkpoint, "run_id": store.run_id(dataset, model, seed)}
        for seed in store.blocks()[block]
        for checkpoint in CHECKPOINTS
    ]
