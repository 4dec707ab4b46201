"""Names under which results are stored. Each kind of name is formatted and parsed by one class of this module."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ESTIMATOR, OUTPUT = "estimator", "output"
NUMBER_OF_ESTIMATOR = f"{ESTIMATOR}_"
FINAL, BEST = "final", "best"
CHECKPOINTS = (FINAL, BEST)


@dataclass(frozen=True)
class Estimator:
    """How a likelihood was computed: a code (`grid`, `laplace`, …) and its numerical parameters.

    In a variant these are the keys `estimator` and `estimator_<number>`; the text form is `laplace(draws=1000)`.
    """

    code: str
    numbers: Mapping[str, str]

    def __str__(self) -> str:
        numbers = ",".join(f"{name}={value}" for name, value in sorted(self.numbers.items()))
        return f"{self.code}({numbers})" if numbers else self.code

    @classmethod
    def parse(cls, text: str) -> "Estimator":
        """Parse the text form."""
        code, _, numbers = text.removesuffix(")").partition("(")
        return cls(code, dict(pair.split("=", 1) for pair in numbers.split(",")) if numbers else {})

    def keys(self) -> dict[str, str]:
        """The pairs of a variant that represent this estimator."""
        return {ESTIMATOR: self.code} | {NUMBER_OF_ESTIMATOR + name: value for name, value in self.numbers.items()}


@dataclass(frozen=True)
class Variant:
    """The parameters that distinguish measurements of one metric; the text form is `key=value;…` with sorted keys.

    Measurements are comparable if they differ only in `output` (which kind of sample of a model) and in the estimator's
    keys (how a likelihood was computed).
    """

    pairs: Mapping[str, str]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Variant":
        """The variant with these values, converted to text."""
        return cls({key: str(values[key]) for key in sorted(values)})

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Parse the text form. Errors: ValueError unless keys are sorted and unique."""
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
        """The part in which comparable measurements agree, without `output` and the estimator's keys."""
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
        """The part of a run id that all seeds share; a text without a seed is returned unchanged."""
        settings, _, seed = text.rpartition("/seed_")
        return settings if settings and seed.isdecimal() else text


@dataclass(frozen=True)
class VectorName:
    """The name of the per-example values behind a measurement: `<metric>[_k<K>][_<split>]`; the default split is test.

    In a replicate's archive the checkpoint is added, in an experiment's also the run: `<run_id>/<name>_<checkpoint>`.
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
        """The name in an experiment's archive for `name` in a replicate's archive."""
        return f"{run_id}/{name}"


@dataclass(frozen=True)
class InfluenceName(VectorName):
    """The name of the influences of the test examples on a measurement: `<metric>[<variant>;…]`.

    The variant is that of the tidy table, with the numbers of examples of both samples.
    """

    variant: str = ""
    n_real: int | None = None
    n_generated: int | None = None

    def __str__(self) -> str:
        return f"{self.metric}[{self.variant};n_real={self.n_real};n_generated={self.n_generated}]"


@dataclass(frozen=True)
class SampleFile:
    """The file of a checkpoint's samples of one kind of output: `samples_<checkpoint>[_<output>].npy`."""

    checkpoint: str
    output: str = ""

    def __str__(self) -> str:
        return f"samples_{self.checkpoint}{'_' + self.output if self.output else ''}.npy"

    @classmethod
    def parse(cls, name: str) -> "SampleFile":
        """Parse a file name."""
        checkpoint, _, output = name.removeprefix("samples_").removesuffix(".npy").partition("_")
        return cls(checkpoint, output)


@dataclass(frozen=True)
class RowLabel:
    """The label of a model's samples in tables and figures: `model`, or `model (output)` if it has several kinds."""

    model: str
    output: str = ""

    def __str__(self) -> str:
        return f"{self.model} ({self.output})" if self.output else self.model


@dataclass(frozen=True)
class SharedLabel:
    """A label in a report of several experiments: `label · experiment`."""

    label: str
    experiment: str

    def __str__(self) -> str:
        return f"{self.label} · {self.experiment}"
