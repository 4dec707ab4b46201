"""Held-out examples in the representations of a likelihood, and the rows that any kind of log p(x) becomes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deepgen_bench.datasets.representation import binarise, dequantise
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.arrays import as_points
from deepgen_bench.metrics.likelihood.likelihood_rows import Likelihoods
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.runtime.seeds import derive_rng

Density = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class HeldOut:
    """Test examples as stored, and their fixed representations: one draw of the noise for all models.

    `train` are as many training examples, to see what was memorised; without them nothing is said of that.
    `validation` examples choose what a density needs beside the model.
    """

    x: np.ndarray
    spec: DataSpec
    base_seed: int
    dataset: str
    train: np.ndarray | None = None
    validation: np.ndarray | None = None

    def without_train(self) -> "HeldOut":
        return replace(self, train=None)

    def represent(self, representation: str, split: str = "test") -> tuple[str, np.ndarray]:
        """The name of the representation and the examples of a split in it, float64 (n, D)."""
        x = {"test": self.x, "train": self.train, "validation": self.validation}[split]
        assert x is not None
        if self.spec.levels is None:
            return self.spec.support, as_points(f"{split} examples", x.reshape(len(x), -1))
        rng = derive_rng(self.base_seed, "metric", self.dataset, *self.role(representation, split))
        draw = binarise if representation == "binarised" else dequantise
        return representation, draw(x, self.spec.levels, rng)

    def role(self, role: str, split: str) -> list[str]:
        """The axes of a random stream: each split has its own."""
        return [role] if split == "test" else [role, split]


def not_applicable(metric: str, reason: str, n: int, **fields: Any) -> Measurement:
    """The row of a log-likelihood, or what is made of it, that a model cannot have."""
    fields = {"unit": "nats", "direction": "max", "bound": "exact"} | fields
    return Measurement(metric, None, n_real=n, status="not_applicable", reason=reason, **fields)


def log_likelihoods(
    evaluate: Callable[[np.ndarray, str], tuple[np.ndarray, dict[str, Any]]],
    representation: str,
    held_out: HeldOut,
    truth: Density | None,
) -> Likelihoods:
    """The rows of log p(x), from a function of x (n, D) and its split: the values (n,) and fields of their row, where
    `estimator` says how they came about."""
    found = Likelihoods()

    def row(split: str) -> tuple[np.ndarray, Measurement]:
        started = time.perf_counter()
        name, x = held_out.represent(representation, split)
        values, fields = evaluate(x, split)
        fields = {"bound": "exact", "direction": "max", "reference_split": split, "estimator": "closed form"} | fields
        fields["variant"] = {"representation": name, "estimator": fields.pop("estimator")}
        fields["seconds"] = time.perf_counter() - started
        return x, found.add("log_likelihood", values, keep=True, **fields)

    x, test = row("test")
    found.add_bits(test, held_out.spec)
    if truth is not None:
        found.against_truth(test, truth(x))
    if held_out.train is not None:
        found.add_gap(found.row("log_likelihood", "test"), row("train")[1])
    return found
