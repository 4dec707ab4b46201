"""The jobs of an experiment for Snakemake: inputs, and what each job's numbers depend on. Imports no torch.

Snakemake does not see edits inside the package, and would see every touched file if it did. So each rule has a
parameter with canonical JSON of everything that decides its numbers: settings and a digest of the parsed code. A job
runs again when this text changes, and Snakemake shows the difference; nothing else makes it run again.
"""

import shutil
import time
from importlib import resources
from pathlib import Path
from typing import Any

from deepgen_bench.datasets.user.files import source_stamp
from deepgen_bench.experiment.identity import code_identity, stage_identity
from deepgen_bench.experiment.load import Experiment
from deepgen_bench.experiment.store import PROTOCOL_VERSION, Store
from deepgen_bench.plugins import METRICS, MODELS, StudyKind
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.locks import acquire, read_holder
from deepgen_bench.storage.failures import failures_since
from deepgen_bench.storage.files import canonical_json, sha256_of, write_text

# bytes of free space below which a disk counts as full; every job writes more
LITTLE_SPACE = 1_000_000


def with_seals(measurements: list[Path]) -> list[Path]:
    """Measurements, and the files that seal them: a job that finds one damaged removes its seal alone."""
    return [*measurements, *(path.with_suffix(".json") for path in measurements)]


class Plan:
    """Inputs and identities of the jobs of one experiment."""

    def __init__(self, experiment: Experiment, root: Path = Path("results")):
        self.experiment, self.store = experiment, Store(experiment, root)
        self.stamps: dict[Path, str] = {}

    @property
    def experiment_file(self) -> Path:
        """The experiment file with all defaults, which all jobs read."""
        return self.store.home / "experiment.json"

    def begin(self) -> None:
        """Lock the experiment's folder for this process and write the experiment file. Errors: `UserError`."""
        path = self.store.home / ".lock"
        self.lock = acquire(path)
        if self.lock is None:
            raise UserError(
                f"{self.store.home}: {read_holder(path)} runs this experiment here; wait for it, or stop it"
            )
        self.began, self.folder = time.time(), Path.cwd()
        self.store.claim()
        write_text(self.experiment_file, self.experiment.file.model_dump_json(indent=1) + "\n")

    def failures(self) -> list[str]:
        """One line for each job that has failed since `begin`, and one for a full disk, where jobs record nothing."""
        # with --directory Snakemake has returned to where it was called from
        home = self.store.home if Path.cwd() == self.folder else self.folder / self.store.home
        errors = [
            f"error: {reason} ({home / 'logs' / record.relative_to(home / 'failures').with_suffix('.log')})\n"
            for record, reason in failures_since(home / "failures", self.began)
        ]
        free = shutil.disk_usage(home).free
        full = f"error: {home}: no space left on device ({free / 1e6:.1f} MB free)\n"
        return [*errors, *([full] if free < LITTLE_SPACE else [])]

    def prepare(self, dataset: str) -> str:
        source = self.experiment.dataset(dataset).fingerprint()
        return canonical_json(self.store.data_identity(dataset) | {"source": source})

    def extractor(self, dataset: str) -> str:
        return canonical_json({"code": stage_identity("classifier")})

    def train(self, dataset: str, model: str, block: int) -> str:
        return canonical_json(
            self.store.run_identity(dataset, model)
            | {
                "code": self.store.model_code(model),
                "samples": self.experiment.samples,
                "seeds": self.store.blocks()[block],
            }
            | self.sources(dataset, model, block)
        )

    def sources(self, dataset: str, model: str, block: int) -> dict[str, list[str]]:
        """Stamps of the user's own files that the replicates consist of; the job itself compares their content."""
        settings = self.experiment.model_settings(model, dataset)
        paths = [path for seed in self.store.blocks()[block] for path in settings.sources(seed) or ()]
        for path in paths:
            if path not in self.stamps:
                self.stamps[path] = source_stamp(path)
        return {"sources": [self.stamps[path] for path in paths]} if paths else {}

    def sample_metrics(self, dataset: str) -> str:
        families: dict[str, Any] = {}
        for name in self.experiment.metrics:
            code = code_identity(METRICS.target(name).split(":")[0])
            families[name] = [self.experiment.metric_settings(name, dataset).identity(), code]
        # the path of the classifier's weights already depends on its code
        inception = self.experiment.uses_extractor(dataset, "inception")
        extractors = [stage_identity("inception")] if inception else []
        return canonical_json({"families": families, "extractors": extractors, "protocol": PROTOCOL_VERSION})

    def likelihood(self, block: int) -> str:
        assert self.experiment.likelihood is not None
        code = stage_identity("likelihood")
        settings = self.experiment.likelihood.identity()
        annealed = [seed for seed in self.store.blocks()[block] if seed in self.experiment.annealed_seeds]
        content = {"settings": settings, "code": code, "annealed": annealed, "protocol": PROTOCOL_VERSION}
        return canonical_json(content)

    def study(self, kind: StudyKind, label: str) -> str:
        resolved = self.experiment.studies[kind][label]
        study = resolved.study
        # models are found by name, so the imports of a study do not show their code
        specs = [MODELS[name] for name in study.trains]
        code = code_identity(study.__module__, *(spec.implementation.split(":")[0] for spec in specs))
        return canonical_json(
            {
                "entry": resolved.entry.model_dump(mode="json"),
                "code": code,
                "models": [spec.settings().identity() for spec in specs],
                "base_seed": self.experiment.base_seed,
            }
        )

    def study_inputs(self, kind: StudyKind, label: str) -> list[Path]:
        """What a study may read: measurements of replicates with their seals, the replicates, their data."""
        resolved = self.experiment.studies[kind][label]
        store, inputs = self.store, []
        for need in resolved.study.needs(resolved.settings):
            seeds = self.experiment.seeds if need.seed is None else (need.seed,)
            blocks = {store.block_of(seed) for seed in seeds}
            inputs += with_seals(store.measurements_of(need)) + [store.data_manifest(need.dataset)]
            inputs += [store.manifest(need.dataset, need.model, block) for block in sorted(blocks)]
        return list(dict.fromkeys(inputs))

    def study_table(self) -> str:
        return canonical_json({"code": stage_identity("study_table")})

    def aggregate(self) -> str:
        return canonical_json({"code": stage_identity("aggregate")})

    def tables(self) -> str:
        return canonical_json({"code": stage_identity("tables"), **self.shown()})

    def shown(self) -> dict[str, Any]:
        """What the experiment file says for tables and the report alone."""
        file = self.experiment.file.model_dump(mode="json")
        quality = {label: entry["quality"] for label, entry in file["datasets"].items()}
        return {"published": file["published"], "quality": quality}

    def figures(self, dataset: str) -> str:
        models = {model: self.store.model_code(model) for model in self.experiment.models}
        code = stage_identity("figures")
        return canonical_json({"code": code, "models": models})

    def report(self) -> str:
        templates = resources.files("deepgen_bench.report.page") / "templates"
        digests = [sha256_of(Path(str(file))) for file in sorted(templates.iterdir(), key=lambda file: file.name)]
        code = stage_identity("report")
        return canonical_json({"code": code, "templates": digests, **self.shown()})

    def manifests(self, dataset: str) -> list[Path]:
        """Manifests of all models trained on a dataset."""
        blocks = self.store.blocks()
        return [self.store.manifest(dataset, model, block) for model in self.experiment.models for block in blocks]

    def extractor_files(self, dataset: str) -> list[Path]:
        """Manifest of the classifier, if sample metrics on the dataset use it."""
        used = self.experiment.uses_extractor(dataset, "classifier")
        return [self.store.extractor_manifest(dataset)] if used else []
