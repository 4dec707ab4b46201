"""Check what a user hands to a metric, so that an error names the argument, not a library."""

import numpy as np

from deepgen_bench.runtime.errors import UserError

LARGEST = 1e150
"""Absolute values beyond it have squares, or sums of squares, that float64 does not hold."""


class TooFewExamples(UserError):
    """The sample is fine but too small for this estimator."""


def as_points(name: str, array: np.ndarray, at_least: int = 1) -> np.ndarray:
    """`array` as float64 of shape (n, d) with n >= `at_least`, d >= 1 and only finite entries up to 1e150.

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
    if not (points.min() >= -LARGEST and points.max() <= LARGEST):  # neither holds of NaN
        finite = bool(np.isfinite(points).all())
        fine = np.abs(points) <= LARGEST if finite else np.isfinite(points)
        what = "values beyond 1e150" if finite else "NaN or infinity"
        wrong = np.count_nonzero(~fine.all(axis=1))
        raise UserError(f"{name}: {wrong} of {len(points)} examples hold {what}")
    return points


def as_values(name: str, values: np.ndarray, at_least: int = 1) -> np.ndarray:
    """One number for each example, (n,), under the conditions of `as_points` and with its errors."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise UserError(f"{name}: shape {values.shape}, expected (n,)")
    return as_points(name, values[:, None], at_least)[:, 0]


def as_pair(
    real: np.ndarray, generated: np.ndarray, at_least: int = 1, names: tuple[str, str] = ("real", "generated")
) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays through `as_points`, with the same d."""
    first, second = as_points(names[0], real, at_least), as_points(names[1], generated, at_least)
    if first.shape[1] != second.shape[1]:
        raise UserError(f"{names[1]}: {second.shape[1]} coordinates, but {names[0]} has {first.shape[1]}")
    return first, second
