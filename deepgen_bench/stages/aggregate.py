"""Join what the jobs have measured: all of it, or what there is of an experiment that did not come to its end."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from deepgen_bench.experiment.store import PROTOCOL_VERSION, Store, store_of
from deepgen_bench.report.data import summary
from deepgen_bench.report.data.paired import load_paired
from deepgen_bench.report.tables.tables import write_tables
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.measure import STAGES
from deepgen_bench.storage.damage import or_anew
from deepgen_bench.storage.failures import reason
from deepgen_bench.storage.files import Damaged, check_digests, write_digests
from deepgen_bench.storage.measured import check_measured, write_measured
from deepgen_bench.storage.results import COLUMNS, load_results

# beside metrics.csv, summary.csv and paired.csv
SEAL = "aggregated.json"
# what a model that was not measured would have had
FIRST = {"sample": ("frechet_distance", "min"), "likelihood": ("log_likelihood", "max")}


def aggregate(store: Store) -> None:
    """Write the tables of the finished experiment, and clear away those of an unfinished one."""
    for dataset, model, block, kind in store.parts():
        path = store.measurements(dataset, model, block, kind)
        if not path.is_file():
            raise UserError(f"{path}: no such file; --partial makes tables of what there is")
        or_anew(partial(check_measured, path), partial(STAGES[kind], store, dataset, model, block))
    write_digests(store.home / SEAL, summary.aggregate(store.all_measurements(), store.home))
    shutil.rmtree(store.partial, ignore_errors=True)


def mend(home: Path) -> None:
    """Have the tables in an experiment's folder as they were aggregated; what has changed since is made anew.

    Errors: `Damaged` in a folder without its experiment file.
    """
    if (home / "experiment.json").is_file() and (home / SEAL).is_file():
        or_anew(lambda: check_digests(home / SEAL), lambda: aggregate(store_of(home)))
    elif (home / SEAL).is_file():
        check_digests(home / SEAL)


def aggregate_partly(store: Store) -> str:
    """Write what there is to `partial/`, with comparison tables; what is missing has rows of status `failed`.

    Returns a text that names what is missing, and why where its log says so.
    """
    shutil.rmtree(store.partial, ignore_errors=True)
    there: list[Path] = []
    lost: dict[str, list[str]] = {}
    for part in store.parts():
        path = store.measurements(*part)
        try:
            check_measured(path)
            there.append(path)
        except Damaged as found:
            dataset, model, block, kind = part
            why = first_reason(store, *part) or (str(found) if path.is_file() else "not finished")
            lost.setdefault(f"{kind} metrics: {why}", []).append(f"{dataset}/{model} block {block}")
            stand_in = store.partial / "failed" / f"{dataset}_{model}_{kind}_{block}.csv"
            write_measured(stand_in, failed_rows(store, *part, why))
            there.append(stand_in)
    if not lost and is_newer(store.home / SEAL, there):
        # it was a later job that failed, and no other run would clear this away
        return f"{store.home}: all of it is measured, and aggregated"
    if len(list(store.partial.glob("failed/*.csv"))) == len(there):
        raise UserError(f"{store.home}: nothing has been measured yet")
    summary.aggregate(there, store.partial)
    write_tables(load_results(store.partial), store.partial / "tables", paired=load_paired(store.partial))
    whole = len(there) - sum(map(len, lost.values()))
    missing = [f"- {', '.join(blocks)}: {why}" for why, blocks in lost.items()]
    said = f"{store.partial}: tables of {whole} of {len(there)} parts{'; missing' if missing else ''}"
    return "\n".join([said, *missing])


def is_newer(path: Path, others: Sequence[Path]) -> bool:
    return path.is_file() and all(path.stat().st_mtime >= other.stat().st_mtime for other in others)


def first_reason(store: Store, dataset: str, model: str, block: int, kind: str) -> str:
    """What the log of the first job in the way of a measurement says of its failure."""
    logs = [store.log(rule, dataset) for rule in ("prepare", "extractor")]
    logs += [store.log(rule, dataset, model, block) for rule in ("train", "measure" if kind == "sample" else kind)]
    return next(filter(None, map(reason, logs)), "")


def failed_rows(store: Store, dataset: str, model: str, block: int, kind: str, why: str) -> list[dict[str, Any]]:
    """Rows without a value for what a block would have had."""
    metric, direction = FIRST[kind]
    common = dict.fromkeys(COLUMNS) | {
        **{"experiment": store.experiment.name, "dataset": dataset, "model": model, "metric": metric},
        **{
            "role": store.experiment.model_spec(model).role,
            "bound": "estimate",
            "direction": direction,
            "status": "failed",
            "reason": why,
        },
        **{"reference_split": "test", "protocol_version": str(PROTOCOL_VERSION)},
    }
    return [
        common | {"seed": seed, "checkpoint": checkpoint, "run_id": store.run_id(dataset, model, seed)}
        for seed in store.blocks()[block]
        for checkpoint in ("final", "best")
    ]
