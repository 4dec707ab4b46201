"""What the workflow needs of an experiment: targets, inputs, and what each job's numbers depend on. Imports no torch.

Snakemake does not see edits inside the package, and would see every touched file if it did. So each rule has the
canonical JSON of what decides its numbers as a parameter: settings and a digest of the parsed code. What can change
numbers reruns, and Snakemake shows the difference; nothing else does.
"""

import shutil
import time
from importlib import resources
from pathlib import Path
from typing import Any

from deepgen_bench.datasets.user.files import source_stamp
from deepgen_bench.experiment.identity import code_identity
from deepgen_bench.experiment.schema import Experiment
from deepgen_bench.experiment.store import PROTOCOL_VERSION, Store
from deepgen_bench.plugins import METRICS, MODELS
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.locks import acquire, read_holder
from deepgen_bench.storage.failures import failed_logs
from deepgen_bench.storage.files import canonical_json, sha256_of, write_text

# bytes: less than any job writes
LITTLE_SPACE = 1_000_000


class Plan:
    """Paths and identities of the jobs of one experiment."""

    def __init__(self, experiment: Experiment, root: Path = Path("results")):
        self.experiment, self.store = experiment, Store(experiment, root)
        self.stamps: dict[Path, str] = {}

    @property
    def experiment_file(self) -> Path:
        """The resolved experiment, which all jobs read."""
        return self.store.home / "experiment.json"

    def begin(self) -> None:
        """Lock the experiment's folder for this process and write the experiment file, which the jobs read."""
        path = self.store.home / ".lock"
        self.lock = acquire(path)
        if self.lock is None:
            raise UserError(
                f"{self.store.home}: {read_holder(path)} runs this experiment here; wait for it, or stop it"
            )
        self.began = time.time()
        self.store.claim()
        write_text(self.experiment_file, self.experiment.model_dump_json(indent=1) + "\n")

    def failures(self) -> list[str]:
        """One line for each job that has failed since the beginning, and for a full disk, which jobs cannot log."""
        found = [f"error: {why} ({log})\n" for log, why in failed_logs(self.store.home / "logs", self.began)]
        free = shutil.disk_usage(self.store.home).free
        full = f"error: {self.store.home}: no space left on device ({free / 1e6:.1f} MB free)\n"
        return [*found, *([full] if free < LITTLE_SPACE else [])]

    def prepare(self, dataset: str) -> str:
        made = self.experiment.dataset(dataset)
        return canonical_json(self.store.data_identity(dataset) | {"source": made.fingerprint()})

    def extractor(self, dataset: str) -> str:
        return canonical_json({"code": code_identity("deepgen_bench.metrics.features.classifier")})

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
        """Stamps of the user's own files that the replicates are made of; the job looks at what is in them."""
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
        # the classifier's code is in the path of its weights
        inception = self.experiment.uses_extractor(dataset, "inception")
        extractors = [code_identity("deepgen_bench.metrics.features.inception")] if inception else []
        return canonical_json({"families": families, "extractors": extractors, "protocol": PROTOCOL_VERSION})

    def likelihood(self, block: int) -> str:
        assert self.experiment.likelihood is not None
        code = code_identity("deepgen_bench.metrics.likelihood.model_likelihood")
        settings = self.experiment.likelihood.identity()
        annealed = [seed for seed in self.store.blocks()[block] if seed in self.experiment.annealed_seeds]
        content = {"settings": settings, "code": code, "annealed": annealed, "protocol": PROTOCOL_VERSION}
        return canonical_json(content)

    def calibration(self, check: str) -> str:
        entry = self.experiment.calibration[check].model_dump(mode="json")
        code = code_identity(self.experiment.check(check).__module__)
        return canonical_json({"entry": entry, "code": code, "base_seed": self.experiment.base_seed})

    def calibration_inputs(self, check: str) -> list[Path]:
        """The likelihoods of the run that a check looks at."""
        if not self.experiment.check(check).needs_runs:
            return []
        settings = self.experiment.check_settings(check)
        block = self.store.block_of(settings.seed)
        return [self.store.measurements(settings.dataset, settings.model, block, "likelihood")]

    def claim(self, label: str) -> str:
        entry = self.experiment.theory[label].model_dump(mode="json")
        claim = self.experiment.claim(label)
        # models are found by name, which the code of the claim does not show
        specs = [MODELS[name] for name in claim.trains]
        code = code_identity(claim.__module__, *(spec.implementation.split(":")[0] for spec in specs))
        defaults = [spec.settings().identity() for spec in specs]
        return canonical_json(
            {"entry": entry, "code": code, "models": defaults, "base_seed": self.experiment.base_seed}
        )

    def claim_inputs(self, label: str) -> list[Path]:
        """The measurements of runs that a claim looks at."""
        needs = self.experiment.claim(label).needs(self.experiment.claim_settings(label))
        blocks = self.store.blocks()
        return [
            self.store.measurements(dataset, model, block, "sample") for dataset, model in needs for block in blocks
        ]

    def theory_table(self) -> str:
        return canonical_json({"code": code_identity("deepgen_bench.report.tables.theory")})

    def aggregate(self) -> str:
        return canonical_json({"code": code_identity("deepgen_bench.report.data.summary")})

    def calibration_table(self) -> str:
        return canonical_json({"code": code_identity("deepgen_bench.report.tables.calibration")})

    def tables(self) -> str:
        return canonical_json(
            {"code": code_identity("deepgen_bench.report.tables.tables"), "published": self.published()}
        )

    def published(self) -> dict[str, Any]:
        return self.experiment.model_dump(mode="json")["published"]

    def figures(self, dataset: str) -> str:
        models = {model: self.store.model_code(model) for model in self.experiment.models}
        code = code_identity("deepgen_bench.stages.figures", "deepgen_bench.stages.figure_latent")
        return canonical_json({"code": code, "models": models})

    def report(self) -> str:
        templates = resources.files("deepgen_bench.report.page") / "templates"
        digests = [sha256_of(Path(str(file))) for file in sorted(templates.iterdir(), key=lambda file: file.name)]
        code = code_identity("deepgen_bench.report.page.page")
        return canonical_json({"code": code, "templates": digests, "published": self.published()})

    def manifests(self, dataset: str) -> list[Path]:
        """What says that all models have been trained on a dataset."""
        blocks = self.store.blocks()
        return [self.store.manifest(dataset, model, block) for model in self.experiment.models for block in blocks]

    def extractor_files(self, dataset: str) -> list[Path]:
        """The classifier, where the experiment's metrics use it."""
        used = self.experiment.uses_extractor(dataset, "classifier")
        return [self.store.extractor_manifest(dataset)] if used else []
