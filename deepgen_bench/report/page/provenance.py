"""Where the numbers of a report come from: code, platforms, settings and data."""

import json
from dataclasses import dataclass
from typing import Any

from deepgen_bench.report.data.experiments import Results
from deepgen_bench.storage.keys import RunId


@dataclass(frozen=True)
class Provenance:
    """Commits of the code that trained, platforms that it ran on, folders of the replicates' settings under
    `results/runs/`, and digests of the datasets; `finished` is when the last replicate ended, "" if unknown."""

    commits: list[str]
    platforms: list[dict[str, Any]]
    run_ids: list[str]
    data: dict[str, str]
    finished: str


def provenance(results: Results) -> Provenance:
    replicates = [
        replicate
        for figures in results.figures.values()
        for of_model in figures.models.values()
        for replicate in of_model.replicates
    ]
    known = [replicate["git"] for replicate in replicates if replicate["git"]["commit"]]
    commits = {f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}" for git in known}
    platforms = {json.dumps(each["platform"], sort_keys=True): each["platform"] for each in replicates}
    run_ids = {RunId.without_seed(run_id) for run_id in results.rows["run_id"] if run_id}
    data = {dataset: figures.info["digest"] for dataset, figures in results.figures.items()}
    finished = max((replicate["finished"] for replicate in replicates), default="")
    return Provenance(sorted(commits), list(platforms.values()), sorted(run_ids), data, finished)
