"""Names under which results are kept. Each kind of name is written and parsed by one class here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ESTIMATOR, OUTPUT = "estimator", "output"
NUMBER_OF_ESTIMATOR = f"{ESTIMATOR}_"
FINAL, BEST = "final", "best"
CHECKPOINTS = (FINAL, BEST)


@dataclass(frozen=True)
class Estimator:
    """How a likelihood was computed: a code (`grid`, `laplace`, …) and the numbers that belong to it.

    In a variant these are the keys `estimator` and `estimator_<number>`; by itself it is written `laplace(draws=1000)`.
    """

    code: str
    numbers: Mapping[str, str]

    def __str__(self) -> str:
        numbers = ",".join(f"{name}={value}" for name, value in sorted(self.numbers.items()))
        return f"{self.code}({numbers})" if numbers else self.code

    @classmethod
    def parse(cls, text: str) -> "Estimator":
        """The estimator that `str` wrote as `text`."""
        code, _, numbers = text.removesuffix(")").partition("(")
        return cls(code, dict(pair.split("=", 1) for pair in numbers.split(",")) if numbers else {})

    def keys(self) -> dict[str, str]:
        """The keys of a variant that stand for this estimator."""
        return {ESTIMATOR: self.code} | {NUMBER_OF_ESTIMATOR + name: value for name, value in self.numbers.items()}


@dataclass(frozen=True)
class Variant:
    """What distinguishes two measurements of one metric, as `key=value;…` with sorted keys.

    `output` (which sample of a model) and the estimator's keys say what a model's sample is and how a number was
    computed; numbers that differ in those alone are comparable.
    """

    pairs: Mapping[str, str]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Variant":
        """The variant with these values, each as text."""
        return cls({key: str(values[key]) for key in sorted(values)})

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """The variant that `str` wrote as `text`. Errors: ValueError unless keys are sorted and unique."""
        pairs = dict(part.split("=", 1) for part in text.split(";")) if text else {}
        variant = cls(pairs)
        if str(variant) != text or "" in pairs:
            raise ValueError(text)
        return variant

    def __str__(self) -> str:
        return ";".join(f"{key}={self.pairs[key]}" for key in sorted(self.pairs))

    def get(self, key: str, default: str = "") -> str:
        return self.pairs.get(key, default)

    def without(self, *keys: str) -> "Variant":
        return Variant({key: value for key, value in self.pairs.items() if key not in keys})

    def includes(self, other: "Variant") -> bool:
        """Whether every pair of `other` is one of this variant."""
        return other.pairs.items() <= self.pairs.items()

    @property
    def output(self) -> str:
        return self.get(OUTPUT)

    @property
    def estimator(self) -> Estimator | None:
        if ESTIMATOR not in self.pairs:
            return None
        numbers = {
            key.removeprefix(NUMBER_OF_ESTIMATOR): value
            for key, value in self.pairs.items()
            if key.startswith(NUMBER_OF_ESTIMATOR)
        }
        return Estimator(self.pairs[ESTIMATOR], numbers)

    @property
    def comparable(self) -> "Variant":
        """The part that two numbers must share to be compared: without `output` and the estimator's keys."""
        estimator = self.estimator.keys() if self.estimator else ()
        return self.without(OUTPUT, *estimator)


@dataclass(frozen=True)
class RunId:
    """A replicate of a (dataset, model) pair trained with some settings: `dataset/model/hash/seed_<k>`.

    It is also the replicate's folder below `runs/`.
    """

    dataset: str
    model: str
    settings: str
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}/{self.model}/{self.settings}/seed_{self.seed}"

    @staticmethod
    def without_seed(text: str) -> str:
        """The part of a run id that all seeds share; a text that names no seed as it is."""
        settings, _, seed = text.rpartition("/seed_")
        return settings if settings and seed.isdecimal() else text


@dataclass(frozen=True)
class VectorName:
    """The per-example values behind a measurement: `<metric>[_k<K>][_<split>]`, of the test split unless it is named.

    In an experiment's archive the replicate and its checkpoint are added: `<run_id>/<name>_<checkpoint>`.
    """

    metric: str
    k: str | int = ""
    split: str = "test"

    def __str__(self) -> str:
        k = f"_k{self.k}" if self.k else ""
        return f"{self.metric}{k}{'' if self.split == 'test' else f'_{self.split}'}"

    def at(self, checkpoint: str, run_id: "RunId | str" = "") -> str:
        """The name in a replicate's archive, or with a `run_id` in that of an experiment."""
        name = self.at_checkpoint(str(self), checkpoint)
        return self.of_run(name, run_id) if run_id else name

    @staticmethod
    def at_checkpoint(name: str, checkpoint: str) -> str:
        """The name in a replicate's archive of the values that are called `name` at a checkpoint."""
        return f"{name}_{checkpoint}"

    @staticmethod
    def of_run(name: str, run_id: "RunId | str") -> str:
        """The name in an experiment's archive of what a replicate's own calls `name`."""
        return f"{run_id}/{name}"


@dataclass(frozen=True)
class SampleFile:
    """The samples that a checkpoint has drawn, of one kind of output: `samples_<checkpoint>[_<output>].npy`."""

    checkpoint: str
    output: str = ""

    def __str__(self) -> str:
        return f"samples_{self.checkpoint}{'_' + self.output if self.output else ''}.npy"

    @classmethod
    def parse(cls, name: str) -> "SampleFile":
        """The file that `str` wrote as `name`."""
        checkpoint, _, output = name.removeprefix("samples_").removesuffix(".npy").partition("_")
        return cls(checkpoint, output)


@dataclass(frozen=True)
class RowLabel:
    """How tables and figures label a model's samples: `model`, or `model (output)` where it has several kinds."""

    model: str
    output: str = ""

    def __str__(self) -> str:
        return f"{self.model} ({self.output})" if self.output else self.model


@dataclass(frozen=True)
class SharedLabel:
    """A label of one experiment beside those of others in a common report: `label · experiment`."""

    label: str
    experiment: str

    def __str__(self) -> str:
        return f"{self.label} · {self.experiment}"
