"""Fidelity metrics of samples in files, without an experiment."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from deepgen_bench.datasets.images import VALID_SHAPES, channels_first, check_levels, only_layout, warn_of_binary
from deepgen_bench.datasets.spec import LARGEST, DataSpec
from deepgen_bench.datasets.user.files import random_subset, read_source, single_array
from deepgen_bench.metrics.context import Extractor, Features, as_vectors
from deepgen_bench.metrics.features.fidelity import ExtractorName, FidelitySettings, measure_features
from deepgen_bench.metrics.features.frechet import frechet_distance_from_moments, moments
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.runtime.errors import UserError


@dataclass(frozen=True)
class Moments:
    """Stored mean (d,) and covariance (d, d) of features, as published with many papers."""

    mean: np.ndarray
    covariance: np.ndarray


def score(
    real: Path,
    generated: Path,
    extractor: ExtractorName = "inception",
    weights: Path | None = None,
    n: int | None = None,
    device: str = "cpu",
) -> list[Measurement]:
    """The fidelity metrics of `generated` against `real`, of a random subset of at most `n` examples each.

    Each is a folder of images; a `.npy` or `.npz` file with uint8 images (n, h, w), (n, h, w, c) or (n, c, h, w), or
    with vectors (n, d); or an `.npz` file with moments `mu` and `sigma`, which allow the Fréchet distance only.
    `weights` is a saved classifier, or the Inception weights if they are not in torch's cache. With `data` vectors are
    compared without features. The two samples may differ in size, on which most metrics depend; every measurement
    states both sizes. Subsets are those of `random_subset`.
    """
    if n is not None and n < 2:
        raise UserError(f"n: {n}, at least 2 are needed")
    start = perf_counter()
    # one file after the other, so that pixels of one alone are in memory
    first = _load(real, extractor, weights, n, device)
    second = _load(generated, extractor, weights, n, device)
    if first.shape and second.shape and first.shape != second.shape:
        raise UserError(f"{generated}: examples of shape {second.shape}, but {real} has {first.shape}")
    seconds = perf_counter() - start
    variant: dict[str, str | int | float] = {"extractor": extractor}
    if digest := first.digest or second.digest:
        variant["digest"] = digest[:12]
    if isinstance(first.content, Features) and isinstance(second.content, Features):
        return measure_features(
            first.content, second.content, variant=variant, settings=FidelitySettings(), extraction_seconds=seconds
        )
    a, b = _moments(first.content), _moments(second.content)
    value = frechet_distance_from_moments(
        a.mean, a.covariance, b.mean, b.covariance, names1=_names(real), names2=_names(generated)
    )
    sizes = [
        len(sample.content.features) if isinstance(sample.content, Features) else None for sample in (first, second)
    ]
    return [
        Measurement(
            metric="frechet_distance",
            value=value,
            variant=variant,
            direction="none" if extractor == "data" else "min",
            n_real=sizes[0],
            n_generated=sizes[1],
            seconds=perf_counter() - start,
        )
    ]


@dataclass(frozen=True)
class _Sample:
    """Features or moments of a file; the shape of its examples and the digest of the network, if there are such."""

    content: Features | Moments
    shape: tuple[int, ...] = ()
    digest: str = ""


def _load(path: Path, extractor: ExtractorName, weights: Path | None, n: int | None, device: str) -> _Sample:
    sample = _read(path, n)
    if isinstance(sample, Moments):
        return _Sample(sample)
    shape = sample.shape[1:]
    if len(shape) == 1 and extractor != "data":
        raise UserError(f"{path}: vectors, of which {extractor} has no features; valid: --extractor data")
    network = None if extractor == "data" else _network(extractor, weights, device)
    return _Sample(_features(sample, path, network), shape, network.digest if network else "")


@lru_cache(maxsize=1)
def _network(name: Literal["classifier", "inception"], weights: Path | None, device: str) -> Extractor:
    if name == "classifier":
        from deepgen_bench.metrics.features.classifier import Classifier

        if weights is None:
            raise UserError("weights: the classifier needs the file that it was saved to")
        return Classifier.load(weights, device)
    from deepgen_bench.metrics.features.inception import load_inception

    return load_inception(weights, device)


def _features(sample: np.ndarray, path: Path, network: Extractor | None) -> Features:
    try:
        if network is not None:
            return network(sample)
        shape = sample.shape[1:]
        spec = DataSpec(shape, "image", levels=256) if len(shape) == 3 else DataSpec(shape, "continuous")
        return Features(as_vectors(sample, spec))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _moments(sample: Features | Moments) -> Moments:
    return sample if isinstance(sample, Moments) else Moments(*moments(sample.features))


def _names(path: Path) -> tuple[str, str]:
    """The names of moments from a file in error messages."""
    return f"{path}: mu", f"{path}: sigma"


def _read(path: Path, n: int | None) -> np.ndarray | Moments:
    """uint8 images (n, c, h, w), vectors (n, d), or moments."""
    arrays = read_source(path, n)
    if {"mu", "sigma"} <= set(arrays):
        return Moments(arrays["mu"], arrays["sigma"])
    examples = _examples(path, single_array(path, arrays, "mu and sigma, "))
    return examples if n is None or len(examples) <= n else examples[random_subset(len(examples), n)]


def _examples(path: Path, array: np.ndarray) -> np.ndarray:
    if array.ndim >= 1 and len(array) < 2:
        raise UserError(f"{path}: {len(array)} examples, at least 2 are needed")
    if array.ndim == 2 and array.dtype == np.uint8:
        raise UserError(f"{path}: uint8 of shape {array.shape}; valid: floating point for vectors, or {VALID_SHAPES}")
    if array.ndim == 2:
        if array.dtype.kind not in "fiu":
            raise UserError(f"{path}: {array.dtype} of shape {array.shape}; vectors (n, d) must be real numbers")
        if array.size == 0:
            raise UserError(f"{path}: empty, shape {array.shape}")
        if not (np.abs(array.astype(np.float64)) < LARGEST).all():  # the comparison is false for NaN
            raise UserError(f"{path}: not all values are finite and below {LARGEST:g}")
        return array
    check_levels(str(path), array, 256)
    layout = only_layout(str(path), array.shape)
    warn_of_binary(str(path), array, 256)
    return channels_first(array, layout)
