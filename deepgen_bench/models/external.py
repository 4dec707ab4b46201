"""Samples from files in the place of a model, with log-likelihoods if there are any. Imports no torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepgen_bench.datasets.images import match_spec, warn_of_binary
from deepgen_bench.datasets.spec import LARGEST, DataSpec, Support
from deepgen_bench.datasets.user.files import random_subset, read_source, single_array, source_files
from deepgen_bench.models.base import GenerativeModel, Recorded, Streams, TrainingData
from deepgen_bench.models.settings import ModelSettings, ModelSpec
from deepgen_bench.plugins import not_identity
from deepgen_bench.runtime.errors import UserError, named
from deepgen_bench.storage.files import read_arrays, read_headers, sha256_of
from deepgen_bench.training.result import State, TrainingResult

SEED = "{seed}"

AT_LEAST = 2
"""Smallest number of samples: one has no spread."""

ONE_SET = "one set of samples was given, which stands for seed 0"


class ExternalSettings(ModelSettings):
    """`samples` is a folder of images, or a `.npy` or `.npz` file; they are used in random order, as theirs may mean
    something.

    `log_likelihoods` is a file of numbers (n,): log p in nats of each of the first test examples, of images in this
    `representation`. `bound` says whether they are exact, lower bounds or estimates. `{seed}` in both paths stands for
    the replicate's seed.
    """

    samples: Path | None = not_identity(default=None)
    log_likelihoods: Path | None = not_identity(default=None)
    bound: Literal["exact", "lower", "estimate"] | None = None
    representation: Literal["dequantised", "binarised"] | None = None

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        if self.samples is None:
            raise UserError("samples: missing; valid: a folder of images, or a .npy or .npz file")
        if self.log_likelihoods is None:
            return
        if self.bound is None:
            raise UserError("bound: missing, what log_likelihoods are; valid: exact, lower, estimate")
        if self.representation is None and support == "image":
            raise UserError("representation: missing, that of log_likelihoods; valid: dequantised, binarised")
        if (SEED in str(self.samples)) != (SEED in str(self.log_likelihoods)):
            raise UserError(f"log_likelihoods: {SEED} stands in one of the paths; valid: in samples too, or in neither")

    def sources(self, seed: int) -> list[Path]:
        """Samples, and log-likelihoods if given; empty for a seed that has no samples of its own."""
        paths = [path for path in (self.samples, self.log_likelihoods) if path is not None]
        if SEED not in str(self.samples) and seed != 0:
            return []
        return [Path(str(path).replace(SEED, str(seed))).expanduser() for path in paths]

    def check_files(self, seeds: Sequence[int], support: Support) -> None:
        check_headers(self, seeds, support)

    def check_contents(self, seeds: Sequence[int], spec: DataSpec, n: int) -> None:
        check_contents(self, seeds, spec, n)


class External(GenerativeModel):
    """A model that is not trained: its state is the content of the user's files.

    What training cost is not known. Without `{seed}` in the path of the samples, replicates other than that of seed 0
    are not applicable: the same samples again would look like a spread over seeds of zero.
    """

    def __init__(self, settings: Any, spec: DataSpec, device: str = "cpu"):
        super().__init__(settings, spec, device)
        self.representation = settings.representation or "grey"  # type: ignore[misc]

    @property
    def bound(self) -> Literal["exact", "lower", "estimate"] | None:
        return self.settings.bound

    def groups(self, replicates: list[int]) -> list[list[int]]:
        # each replicate is read and written separately
        return [[replicate] for replicate in replicates]

    def fit(
        self,
        data: TrainingData,
        replicates: list[int],
        streams: Streams,
        budget: int,
        progress: Callable[[int, int, str], None],
    ) -> list[TrainingResult]:
        results = [self.read(replicate) for replicate in replicates]
        progress(len(replicates), len(replicates), "read")
        return results

    def read(self, replicate: int) -> TrainingResult:
        """Content of the files of one replicate."""
        unknown: Any = {"steps": None, "examples": None, "parameters": None}
        paths = self.settings.sources(replicate)
        if not paths:
            return TrainingResult({}, "not_applicable", ONE_SET, **unknown)
        state = {"samples": read_samples(paths[0], self.spec)}
        if len(paths) > 1:
            state["log_likelihoods"] = read_log_likelihoods(paths[1], 0)
        return TrainingResult({"final": state}, available=len(state["samples"]), **unknown)

    def load(self, state: State) -> None:
        self.samples, self.log_likelihoods = state["samples"], state.get("log_likelihoods")

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """The first `n` samples, or all if there are fewer; nothing is drawn."""
        return {"": self.samples[:n]}


def check_headers(settings: Any, seeds: Sequence[int], support: Support) -> None:
    """Raise `UserError` for files that are missing or whose headers do not fit samples of such data."""
    for paths in replicates(settings, seeds):
        named("samples", lambda path=paths[0]: check_samples_header(path, support))
        for path in paths[1:]:
            named("log_likelihoods", lambda path=path: check_values_header(path, *header(path), 0))


def check_contents(settings: Any, seeds: Sequence[int], spec: DataSpec, n: int) -> None:
    """Raise `UserError` for files that are not samples of such data, and log-likelihoods of `n` test examples."""
    seen: dict[str, Path] = {}

    def check_distinct(what: str, path: Path, content: np.ndarray) -> None:
        digest = sha256_of(content.tobytes())
        if digest in seen:
            raise UserError(f"{what}: {path} holds the same as {seen[digest]}; valid: other {what} for each seed")
        seen[digest] = path

    for paths in replicates(settings, seeds):
        check_distinct("samples", paths[0], read_samples(paths[0], spec))
        for path in paths[1:]:
            check_distinct("log_likelihoods", path, read_log_likelihoods(path, n))


def replicates(settings: Any, seeds: Sequence[int]) -> list[list[Path]]:
    """Files of each replicate that has some. Errors: `UserError` if none has."""
    files = [paths for paths in map(settings.sources, seeds) if paths]
    if not files:
        valid = "{seed} in the path, for one set of samples a seed, or seed 0 among the seeds"
        raise UserError(f"samples: {ONE_SET}, found seeds {list(seeds)}; valid: {valid}")
    return files


# samples


def check_samples_header(path: Path, support: Support) -> None:
    if not path.is_dir():
        shape, dtype = header(path)
        dtype_fits = dtype.kind == "f" if support == "continuous" else dtype == np.uint8
        if not dtype_fits or len(shape) < 2 or shape[0] < AT_LEAST:
            kind = "floating point (n, d)" if support == "continuous" else "uint8 (n, …)"
            raise UserError(f"{path}: {dtype} of shape {shape}; valid: {kind} with n of at least {AT_LEAST}")
    elif support != "image":
        raise UserError(f"{path}: a folder, and the dataset holds vectors; valid: a .npy or .npz file")
    elif (n := len(source_files(path))) < AT_LEAST:
        raise UserError(f"{path}: {n} image; valid: at least {AT_LEAST}")


def header(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of the array in a file."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    return single_array(path, read_headers(path))


def read_samples(path: Path, spec: DataSpec) -> np.ndarray:
    """The samples as stored, in random order: uint8 grey levels (n, c, h, w) or float64 (n, d). Errors: `UserError`."""

    def read() -> np.ndarray:
        check_samples_header(path, spec.support)
        x = single_array(path, read_source(path))
        samples = vectors(path, x, spec) if spec.support == "continuous" else match_spec(str(path), x, spec)
        if spec.support == "image":
            warn_of_binary(str(path), samples, spec.levels or 2)
        # a folder has been read in random order
        return samples if path.is_dir() else samples[random_subset(len(samples))]

    return named("samples", read)


def vectors(path: Path, x: np.ndarray, spec: DataSpec) -> np.ndarray:
    if x.shape[1:] != spec.shape:
        raise UserError(f"{path}: vectors of shape {x.shape}; valid here: (n, {spec.dim})")
    points = x.astype(np.float64)
    wrong = np.count_nonzero(~(np.abs(points) <= LARGEST).all(1))  # NaN is not smaller
    if wrong:
        raise UserError(f"{path}: {wrong} of {len(x)} examples hold NaN, infinity or values beyond {LARGEST:g}")
    return points


# log-likelihoods


def check_values_header(path: Path, shape: tuple[int, ...], dtype: np.dtype, n: int) -> None:
    if dtype.kind != "f" or len(shape) != 1:
        valid = "floating point (n,), nats of each test example"
        raise UserError(f"{path}: {dtype} of shape {shape}; valid: {valid}")
    if shape[0] < n:
        raise UserError(f"{path}: {shape[0]} values; valid: at least {n}, one for each test example that is measured")


def read_log_likelihoods(path: Path, n: int) -> np.ndarray:
    """log p of at least `n` test examples, float64 (m,), nats; -inf where a model excludes an example."""

    def read() -> np.ndarray:
        check_values_header(path, *header(path), n)
        values = single_array(path, read_arrays(path)).astype(np.float64)
        if wrong := np.count_nonzero(np.isnan(values) | np.isposinf(values)):
            raise UserError(f"{path}: NaN or +inf for {wrong} of {len(values)} examples")
        if len(values) > 1 and (values == values[0]).all():
            raise UserError(f"{path}: {values[0]:g} for all {len(values)} examples; valid: log p of each example")
        return values

    return named("log_likelihoods", read)


EXTERNAL = ModelSpec(ExternalSettings, Recorded, "deepgen_bench.models.external:External", samples_from_files=True)
