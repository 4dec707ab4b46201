"""The result of a metric: a number with the fields of its row in the tidy results table."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Bound = Literal["exact", "lower", "upper", "estimate"]
Direction = Literal["min", "max", "none"]
Status = Literal["ok", "diverged", "not_applicable", "not_converged", "suspect", "failed"]


@dataclass(frozen=True)
class Measurement:
    """One number that a metric returns.

    `variant` holds everything that makes two numbers incomparable if it differs (extractor and its digest, K, p,
    representation, …). `std_error` is the sampling error of this measurement, None if it is not estimated; `mc_error`
    is the part of it that more draws by the estimator would remove, None if it draws nothing. With `direction` "none"
    the number is shown but models are not ranked by it. A status other than `ok` has a reason; measurements that are
    `suspect` or `not_converged` may have a value.

    `influence` (units,) float64 are the contributions of the real examples to the value, centred to mean 0: the part of
    `std_error` that is due to the real sample, which all models share, is influence.std(ddof=1)/sqrt(units). Models
    measured on the same real examples have the same units, so the error of a difference of two values over real samples
    is that of the difference of their influences. None if the value does not depend on a real sample, or where the
    influence is not computed.
    """

    metric: str
    value: float | None
    variant: dict[str, str | int | float] = field(default_factory=dict)
    std_error: float | None = None
    mc_error: float | None = None
    bound: Bound = "estimate"
    unit: str = ""
    direction: Direction = "none"
    n_real: int | None = None
    n_generated: int | None = None
    reference_split: str = "test"
    status: Status = "ok"
    reason: str = ""
    seconds: float | None = None
    influence: np.ndarray | None = field(default=None, compare=False, repr=False)
