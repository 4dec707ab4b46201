"""The result of a metric: a number with the fields of its row in the tidy results table."""

from dataclasses import dataclass, field
from typing import Literal

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
