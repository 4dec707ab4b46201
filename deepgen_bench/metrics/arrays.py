"""Validation of the arrays that users pass to metrics, with error messages that name the argument."""

import numpy as np

from deepgen_bench.datasets.spec import LARGEST
from deepgen_bench.runtime.errors import UserError


class TooFewExamples(UserError):
    """A valid sample that is too small for an estimator."""


def as_points(name: str, array: np.ndarray, at_least: int = 1) -> np.ndarray:
    """`array` as float64 of shape (n, d) with n >= `at_least`, d >= 1 and finite entries of at most 1e150.

    Raises `UserError` naming the argument `name`; `TooFewExamples` if n is too small.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise UserError(f"{name}: dtype {array.dtype}, expected real numbers")
    if array.ndim != 2 or array.shape[1] == 0:
        raise UserError(f"{name}: shape {array.shape}, expected (n, d) with d >= 1")
    if len(array) < at_least:
        raise TooFewExamples(f"{name}: {len(array)} examples, at least {at_least} are needed")
    points = array.astype(np.float64, copy=False)
    if not (points.min() >= -LARGEST and points.max() <= LARGEST):  # both comparisons are false for NaN
        finite = bool(np.isfinite(points).all())
        valid = np.abs(points) <= LARGEST if finite else np.isfinite(points)
        problem = "values beyond 1e150" if finite else "NaN or infinity"
        count = np.count_nonzero(~valid.all(axis=1))
        raise UserError(f"{name}: {count} of {len(points)} examples hold {problem}")
    return points


def as_values(name: str, values: np.ndarray, at_least: int = 1) -> np.ndarray:
    """One number per example, (n,), as float64, under the conditions of `as_points` and with its errors."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise UserError(f"{name}: shape {values.shape}, expected (n,)")
    return as_points(name, values[:, None], at_least)[:, 0]


def as_pair(
    real: np.ndarray, generated: np.ndarray, at_least: int = 1, names: tuple[str, str] = ("real", "generated")
) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays as `as_points` returns them, with the same d. Raises `UserError` if d differs."""
    first, second = as_points(names[0], real, at_least), as_points(names[1], generated, at_least)
    if first.shape[1] != second.shape[1]:
        raise UserError(f"{names[1]}: {second.shape[1]} coordinates, but {names[0]} has {first.shape[1]}")
    return first, second
