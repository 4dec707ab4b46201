"""What models and metrics need to know about data, without the data."""

from dataclasses import asdict, dataclass
from math import prod
from typing import Literal

Support = Literal["binary", "continuous", "image"]

LARGEST = 1e150
"""Largest absolute value of a coordinate: squares of larger ones, or their sums, overflow float64."""


@dataclass(frozen=True)
class DataSpec:
    """Shape and meaning of one example.

    `shape` is (d,) for vectors and (channels, height, width) for images; images are integers 0 … `levels` - 1
    (256 for 8-bit files, 17 for scikit-learn's digits); `classes` is the number of labels, None without labels.
    """

    shape: tuple[int, ...]
    support: Support
    levels: int | None = None
    classes: int | None = None

    @property
    def dim(self) -> int:
        """Number of coordinates of one example, flattened."""
        return prod(self.shape)

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict) -> "DataSpec":
        return cls(**{**data, "shape": tuple(data["shape"])})
