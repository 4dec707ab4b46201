"""Check what a user hands to a metric, so that an error names the argument, not a library."""

import numpy as np

from deepgen_bench.errors import UserError


class TooFewExamples(UserError):
    """The sample is fine but too small for this estimator."""


def as_points(name: str, array: np.ndarray, at_least: int = 1) -> np.ndarray:
    """`array` as float64 of shape (n, d) with n >= `at_least`, d >= 1 and only finite entries.

    Raises `UserError` naming the argument `name`; `TooFewExamples` if only n is at fault.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise UserError(f"{name}: dtype {array.dtype}, expected real numbers")
    if array.ndim != 2 or array.shape[1] == 0:
        raise UserError(f"{name}: shape {array.shape}, expected (n, d) with d >= 1")
    if len(array) < at_least:
        raise TooFewExamples(f"{name}: {len(array)} examples, at least {at_least} are needed")
    points = array.astype(np.float64, copy=False)
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        raise UserError(f"{name}: {len(points) - finite.sum()} of {len(points)} examples hold NaN or infinity")
    return points


def as_pair(
    real: np.ndarray, generated: np.ndarray, at_least: int = 1, names: tuple[str, str] = ("real", "generated")
) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays through `as_points`, with the same d."""
    first, second = as_points(names[0], real, at_least), as_points(names[1], generated, at_least)
    if first.shape[1] != second.shape[1]:
        raise UserError(f"{names[1]}: {second.shape[1]} coordinates, but {names[0]} has {first.shape[1]}")
    return first, second
