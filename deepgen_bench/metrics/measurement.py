"""One number with what makes it comparable: the row of the tidy results table that a metric fills in."""

from dataclasses import dataclass, field
from typing import Literal

Bound = Literal["exact", "lower", "upper", "estimate"]
Direction = Literal["min", "max", "none"]
Status = Literal["ok", "diverged", "not_applicable", "not_converged", "suspect", "failed"]


@dataclass(frozen=True)
class Measurement:
    """What a metric returns.

    `variant` holds everything that makes two numbers incomparable when it differs (extractor and its digest, K, p,
    representation, …); `std_error` is the sampling error of this one measurement, None where it is not estimated, and
    `mc_error` the part that more draws by the estimator itself would remove, None where it draws nothing. `direction`
    "none" means that the number is shown but models are not ranked by it. A status other than `ok` comes with a reason;
    `suspect` and `not_converged` may keep their value.
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
