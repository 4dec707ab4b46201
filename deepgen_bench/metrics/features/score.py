"""Fidelity metrics of samples in files, without an experiment."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from deepgen_bench.datasets.images import VALID_SHAPES, channels_first, check_levels, layouts_of_images
from deepgen_bench.datasets.spec import LARGEST, DataSpec
from deepgen_bench.datasets.user.files import read_source, single_array
from deepgen_bench.metrics.context import Extractor, Features, as_vectors
from deepgen_bench.metrics.features.fidelity import FidelitySettings, measure_features
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
    extractor: Literal["data", "classifier", "inception"] = "inception",
    weights: Path | None = None,
    n: int | None = None,
    device: str = "cpu",
) -> list[Measurement]:
    """The fidelity metrics of the first `n` (default: all) examples of `generated` against those of `real`.

    Each is a folder of images; a `.npy` or `.npz` file with uint8 images (n, h, w), (n, h, w, c) or (n, c, h, w), or
    with vectors (n, d); or an `.npz` file with moments `mu` and `sigma`, which allow the Fréchet distance only.
    `weights` is a saved classifier, or the Inception weights if they are not in torch's cache. With `data` vectors are
    compared without features. The two samples may differ in size, on which most metrics depend; every measurement
    states both sizes.
    """
    if n is not None and n < 2:
        raise UserError(f"n: {n}, at least 2 are needed")
    x, y = (sample if isinstance(sample, Moments) else sample[:n] for sample in (_read(real), _read(generated)))
    if not isinstance(x, Moments) and not isinstance(y, Moments) and x.shape[1:] != y.shape[1:]:
        raise UserError(f"{generated}: examples of shape {y.shape[1:]}, but {real} has {x.shape[1:]}")
    network = None if extractor == "data" else _network(extractor, weights, device)
    variant: dict[str, str | int | float] = {"extractor": extractor}
    if network is not None:
        variant["digest"] = network.digest[:12]
    start = perf_counter()
    first, second = _features(x, real, network), _features(y, generated, network)
    seconds = perf_counter() - start
    if isinstance(first, Features) and isinstance(second, Features):
        return measure_features(
            first,
            second,
            variant=variant,
            settings=FidelitySettings(),
            extraction_seconds=seconds,
        )
    a, b = _moments(first), _moments(second)
    value = frechet_distance_from_moments(
        a.mean, a.covariance, b.mean, b.covariance, names1=_names(real), names2=_names(generated)
    )
    return [
        Measurement(
            metric="frechet_distance",
            value=value,
            variant=variant,
            direction="none" if extractor == "data" else "min",
            n_real=len(first.features) if isinstance(first, Features) else None,
            n_generated=len(second.features) if isinstance(second, Features) else None,
            seconds=perf_counter() - start,
        )
    ]


def _network(name: Literal["classifier", "inception"], weights: Path | None, device: str) -> Extractor:
    if name == "classifier":
        from deepgen_bench.metrics.features.classifier import Classifier

        if weights is None:
            raise UserError("weights: the classifier needs the file that it was saved to")
        return Classifier.load(weights, device)
    from deepgen_bench.metrics.features.inception import load_inception

    return load_inception(weights, device)


def _features(sample: np.ndarray | Moments, path: Path, network: Extractor | None) -> Features | Moments:
    if isinstance(sample, Moments):
        return sample
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


def _read(path: Path) -> np.ndarray | Moments:
    """uint8 images (n, c, h, w), vectors (n, d), or moments."""
    arrays = read_source(path)
    if {"mu", "sigma"} <= set(arrays):
        return Moments(arrays["mu"], arrays["sigma"])
    return _examples(path, single_array(path, arrays, "mu and sigma, "))


def _examples(path: Path, array: np.ndarray) -> np.ndarray:
    if array.ndim >= 1 and len(array) < 2:
        raise UserError(f"{path}: {len(array)} examples, at least 2 are needed")
    if array.ndim == 2:
        if array.dtype.kind not in "fiu":
            raise UserError(f"{path}: {array.dtype} of shape {array.shape}; vectors (n, d) must be real numbers")
        if array.size == 0:
            raise UserError(f"{path}: empty, shape {array.shape}")
        if not (np.abs(array.astype(np.float64)) < LARGEST).all():  # the comparison is false for NaN
            raise UserError(f"{path}: not all values are finite and below {LARGEST:g}")
        return array
    check_levels(str(path), array, 256)
    layouts = layouts_of_images(array.shape)
    if not layouts:
        raise UserError(f"{path}: shape {array.shape}; valid: (n, d), {VALID_SHAPES}")
    return channels_first(array, layouts[0])
