"""Measurements of log-likelihoods from per-example values: means with errors, and what is derived from them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np

from deepgen_bench.datasets.representation import bits_per_dim
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood.held_out import Density, HeldOut
from deepgen_bench.metrics.likelihood.plausibility import SUSPECT, beyond_chance, rounding_error
from deepgen_bench.metrics.measurement import Bound, Measurement, Status
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.keys import Estimator, VectorName


@dataclass
class Likelihoods:
    """Measurements, and the per-example values behind them by `VectorName`."""

    measurements: list[Measurement] = field(default_factory=list)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)

    def extend(self, other: "Likelihoods") -> None:
        self.measurements += other.measurements
        self.vectors |= other.vectors

    def row(self, metric: str, split: str, **variant: Any) -> Measurement:
        """The first row of a metric on a split with these entries in its variant."""
        return next(
            m
            for m in self.measurements
            if (m.metric, m.reference_split) == (metric, split) and variant.items() <= m.variant.items()
        )

    def values(self, row: Measurement) -> np.ndarray:
        """The per-example values (n,) of a row that was added with `keep`."""
        return self.vectors[vector_name(row)]

    def add(
        self,
        metric: str,
        values: np.ndarray,
        errors: np.ndarray | None = None,
        mc_error: float | None = None,
        keep: bool = False,
        **fields: Any,
    ) -> Measurement:
        """Add the mean of per-example values (n,) with its standard error over examples, and return the row.

        `errors` (n,) are independent Monte-Carlo standard errors of the values: the error of the mean is their root sum
        of squares over n. Without them `mc_error` is that of the mean. It is a part of the sampling error, since the
        draws of an estimator scatter the values. A value of -inf makes the mean -inf, without errors and with a
        reason. With `keep` the values go into `vectors`. Raises `UserError` on NaN and +inf.
        """
        bad = np.isnan(values) | np.isposinf(values)
        if bad.any():
            raise UserError(f"{metric}: NaN or +inf for {bad.sum()} of {len(values)} examples")
        n, zero = len(values), int(np.isneginf(values).sum())
        if errors is not None:
            mc_error = float(np.sqrt(np.square(errors).sum()) / n)
        row = Measurement(
            metric,
            float(values.mean()),
            std_error=float(values.std(ddof=1) / np.sqrt(n)) if n > 1 and not zero else None,
            mc_error=mc_error if mc_error is not None and np.isfinite(mc_error) else None,
            n_real=n,
            unit="nats",
            **fields,
        )
        if zero:
            row = replace(row, mc_error=None, reason=f"{zero} of {n} examples have density 0: the mean is -inf")
        self.measurements.append(row)
        if keep:
            self.vectors[vector_name(row)] = values
        return row

    def add_bits_per_dim(self, source: Measurement, spec: DataSpec) -> None:
        """Add bits per dimension from `source` (Theis et al. 2016) if images are dequantised."""
        if source.variant["representation"] != "dequantised":
            return
        assert spec.levels is not None
        per_bit = spec.dim * np.log(2)
        bits = replace(
            source,
            metric="bits_per_dim",
            value=None if source.value is None else float(bits_per_dim(source.value, spec.dim, spec.levels)),
            std_error=None if source.std_error is None else source.std_error / per_bit,
            mc_error=None if source.mc_error is None else source.mc_error / per_bit,
            bound="upper" if source.bound == "lower" else source.bound,
            unit="bits/dim",
            direction="min",
            seconds=None,
        )
        self.measurements.append(bits)
        self.vectors[vector_name(bits)] = np.asarray(bits_per_dim(self.values(source), spec.dim, spec.levels))

    def compare_with_truth(self, source: Measurement, truth: np.ndarray) -> None:
        """Add `log_density_ratio`, the mean of log p_model(x) - log p_true(x) over the examples of the kept `source`.

        It estimates -KL(true ‖ model), which is at most 0, with the error of the paired differences. If it is above 0
        by `SUSPECT` errors and the sum is also `beyond_chance`, the likelihood or the density is wrong, and both rows
        become suspect.
        """
        values = self.values(source)
        differences = values - truth
        ratio = self.add(
            "log_density_ratio",
            differences,
            mc_error=source.mc_error,
            keep=True,
            direction="max",
            variant=source.variant,
            bound=source.bound,
            status=source.status,
            reason=source.reason,
        )
        if ratio.value is None:
            return
        error = ratio.std_error or 0.0
        # the error of a quadrature is no sampling error, so it is allowed for in full
        slack = (ratio.mc_error or 0.0) + float(rounding_error(values).mean())
        if ratio.value > SUSPECT * error + slack and beyond_chance(differences - slack):
            reason = f"on average {ratio.value:.2g} ± {error:.2g} nats above the true density, which no density can be"
            for row in (source, ratio):
                index = next(i for i, m in enumerate(self.measurements) if m is row)
                self.measurements[index] = replace(row, status="suspect", reason=reason)

    def add_train_test_gap(self, test: Measurement, train: Measurement) -> None:
        """Add `train_test_gap`, the mean log-likelihood of training examples minus that of test examples."""
        pairs = [(test.std_error, train.std_error), (test.mc_error, train.mc_error)]
        std_error, mc_error = (None if a is None or b is None else float(np.hypot(a, b)) for a, b in pairs)
        # status and reason are those of the worse row: first one without a finite value, then one that is not ok
        worse = sorted((train, test), key=lambda row: (_is_finite(row), row.status == "ok"))[0]
        known = _is_finite(worse)
        gap = replace(
            train,
            metric="train_test_gap",
            variant=train.variant | ({"of": "elbo"} if train.metric == "elbo" else {}),
            value=float(train.value) - float(test.value) if known else None,  # type: ignore[arg-type]
            std_error=std_error if known else None,
            mc_error=mc_error if known else None,
            bound="estimate",
            direction="none",
            status="not_applicable" if worse.status == "ok" and not known else worse.status,
            reason=worse.reason,
            seconds=None,
        )
        self.measurements.append(gap)


def _is_finite(row: Measurement) -> bool:
    return row.value is not None and isfinite(row.value)


def vector_name(row: Measurement) -> str:
    """The name of the per-example values behind a row."""
    return str(VectorName(row.metric, str(row.variant.get("K", "")), row.reference_split))


def not_applicable(metric: str, reason: str, n: int, **fields: Any) -> Measurement:
    """A row without a value: a log-likelihood, or a number derived from it, that a model does not have."""
    fields = {"unit": "nats", "direction": "max", "bound": "exact"} | fields
    return Measurement(metric, None, n_real=n, status="not_applicable", reason=reason, **fields)


@dataclass(frozen=True)
class Evaluation:
    """log p(x) of examples, `values` (n,), with the estimator that computed it and fields of its row.

    `seconds` is time spent before the function that returns this was called.
    """

    values: np.ndarray
    estimator: Estimator
    bound: Bound = "exact"
    mc_error: float | None = None
    status: Status = "ok"
    reason: str = ""
    seconds: float = 0.0


def log_likelihood_rows(
    evaluate: Callable[[np.ndarray, str], Evaluation],
    representation: str,
    held_out: HeldOut,
    truth: Density | None,
) -> Likelihoods:
    """Rows of log p(x) on test data, with bits per dimension and the comparison with the `truth`, and of training data.

    `evaluate` maps the examples x (n, D) of a split and its name to their log-likelihoods.
    """
    rows = Likelihoods()

    def add(split: str) -> tuple[np.ndarray, Measurement]:
        started = time.perf_counter()
        name, x = held_out.represent(representation, split)
        evaluation = evaluate(x, split)
        row = rows.add(
            "log_likelihood",
            evaluation.values,
            mc_error=evaluation.mc_error,
            keep=True,
            variant={"representation": name, **evaluation.estimator.keys()},
            bound=evaluation.bound,
            direction="max",
            reference_split=split,
            status=evaluation.status,
            reason=evaluation.reason,
            seconds=evaluation.seconds + time.perf_counter() - started,
        )
        return x, row

    x, test = add("test")
    rows.add_bits_per_dim(test, held_out.spec)
    if truth is not None:
        rows.compare_with_truth(test, truth(x))
    if held_out.train is not None:
        rows.add_train_test_gap(rows.row("log_likelihood", "test"), add("train")[1])
    return rows
