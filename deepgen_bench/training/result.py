"""Result of a training. Imports no torch."""

from dataclasses import dataclass, field

import numpy as np

# a model's parameters by name
State = dict[str, np.ndarray]


@dataclass
class TrainingResult:
    """Result of training one replicate.

    `checkpoints` holds the states "final" and, where the model chooses one on validation data, "best"; `curves` one row
    for each evaluation during training; a diverged replicate has the reason and no checkpoints. Costs are None
    where unknown; `available` is the number of samples of a model that has only so many.
    """

    checkpoints: dict[str, State]
    status: str = "ok"
    reason: str = ""
    curves: list[dict[str, float]] = field(default_factory=list)
    steps: int | None = 0
    examples: int | None = 0
    parameters: int | None = 0
    best_step: int | None = None
    available: int | None = None
