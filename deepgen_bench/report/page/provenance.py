"""Where the numbers of a report come from."""

import json
from dataclasses import dataclass
from typing import Any

from deepgen_bench.report.data.material import Material


@dataclass(frozen=True)
class Provenance:
    """Commits of the code that trained, platforms that it ran on, folders of the runs under `results/runs/`, and the
    digest of each dataset; `finished` is when the last run ended, empty if that is not known."""

    commits: list[str]
    platforms: list[dict[str, Any]]
    identities: list[str]
    data: dict[str, str]
    finished: str


def provenance(material: Material) -> Provenance:
    runs = [run for drawn in material.drawn.values() for info, _ in drawn.models.values() for run in info["runs"]]
    known = [run["git"] for run in runs if run["git"]["commit"]]
    commits = {f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}" for git in known}
    platforms = {json.dumps(run["platform"], sort_keys=True): run["platform"] for run in runs}
    identities = {run_id.rsplit("/", 1)[0] for run_id in material.rows["run_id"] if run_id}
    data = {dataset: drawn.info["digest"] for dataset, drawn in material.drawn.items()}
    finished = max((run["finished"] for run in runs), default="")
    return Provenance(sorted(commits), list(platforms.values()), sorted(identities), data, finished)
