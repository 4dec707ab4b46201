"""Per-example log-likelihoods as measurements: means with their errors, and what follows from them."""

from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np

from deepgen_bench.datasets.representation import bits_per_dim
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.measurement import Measurement
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.keys import VectorName

SUSPECT = 4
"""Standard errors above the true density from which a likelihood is not believed."""

CHANCE = 1e-4
"""The largest probability with which chance alone may pass for a mistake."""

ROUNDING = 1e-5
"""What networks in float32 may add to a log-likelihood: nats per example, and the share of its magnitude above 1."""


def rounding(values: np.ndarray) -> np.ndarray:
    """What rounding may have added to log-likelihoods (n,): nats, (n,)."""
    return ROUNDING * np.maximum(1, np.abs(values))


def beyond_chance(log_ratios: np.ndarray) -> bool:
    """Whether independent log ratios (n,), each with E[ratio] <= 1, have a sum that chance does not explain.

    E[Π ratio] <= 1, so by Markov's inequality the sum exceeds log(1 / CHANCE) with probability CHANCE at most, for any
    n and however skewed they are: a few examples, or rare events that did not occur, raise no false alarm.
    """
    return bool(log_ratios.sum() > -np.log(CHANCE))


def below_bound(values: np.ndarray, errors: np.ndarray, bound: np.ndarray) -> str:
    """Why log p(x), (n,) with errors (n,), cannot be right beside a `bound` by K importance weights; empty if it can.

    The mean of the weights has expectation p(x) exactly, for any encoder and K. So the `bound` exceeds the true value
    by chance alone, which `beyond_chance` limits whatever the weights' tails: for all examples together, and, by the
    union bound, for the one with the largest excess. Quadrature that misses a spike of the decoder shows here.
    """
    with np.errstate(invalid="ignore"):  # -inf, which fails by itself
        excess = bound - values - errors - rounding(values)
    if not beyond_chance(excess) and not beyond_chance(excess.max(keepdims=True) - np.log(len(excess))):
        return ""
    above = bound - values
    return f"iw_elbo is {above.max():.2g} nats above at most and {above.mean():.2g} in the mean, which no bound can be"


@dataclass
class Likelihoods:
    """Measurements, and per-example values behind them by `vector_name`."""

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

    def add(
        self,
        metric: str,
        values: np.ndarray,
        errors: np.ndarray | None = None,
        mc_error: float | None = None,
        keep: bool = False,
        **fields: Any,
    ) -> Measurement:
        """The mean of per-example values (n,) and its standard error over examples.

        `errors` (n,) are the Monte-Carlo standard errors of single values, independent of each other: the mean's is
        their root sum of squares over n. Otherwise `mc_error` is that of the mean. Of the sampling error they are a
        part, as a value's own draws scatter it. Where an example has -inf, there is no mean: the row has failed. The
        values stay in `vectors` if `keep`. Raises `UserError` on NaN and +inf.
        """
        bad = np.isnan(values) | np.isposinf(values)
        if bad.any():
            raise UserError(f"{metric}: NaN or +inf for {bad.sum()} of {len(values)} examples")
        n, nothing = len(values), int(np.isneginf(values).sum())
        if errors is not None:
            mc_error = float(np.sqrt(np.square(errors).sum()) / n)
        row = Measurement(
            metric,
            float(values.mean()),
            std_error=float(values.std(ddof=1) / np.sqrt(n)) if n > 1 and not nothing else None,
            mc_error=mc_error if mc_error is not None and np.isfinite(mc_error) else None,
            n_real=n,
            unit="nats",
            **fields,
        )
        if nothing:
            row = replace(row, mc_error=None, reason=f"{nothing} of {n} examples have density 0: the mean is -inf")
        self.measurements.append(row)
        if keep:
            self.vectors[vector_name(row)] = values
        return row

    def add_bits(self, source: Measurement, spec: DataSpec) -> None:
        """Bits per dimension from `source` (Theis et al. 2016), where images are dequantised."""
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
        values = bits_per_dim(self.vectors[vector_name(source)], spec.dim, spec.levels)
        self.vectors[vector_name(bits)] = np.asarray(values)

    def against_truth(self, source: Measurement, truth: np.ndarray) -> None:
        """`log_density_ratio`, the mean of log p_model(x) - log p_true(x) over the examples of the kept `source`.

        It estimates -KL(true ‖ model), at most 0, with the error of the paired differences. Where it is above 0 by
        `SUSPECT` of its errors and the sum `beyond_chance`, too, there is a mistake in the likelihood, or in the
        density: then both rows are suspect.
        """
        fields = {name: getattr(source, name) for name in ("mc_error", "variant", "bound", "status", "reason")}
        values = self.vectors[vector_name(source)]
        differences = values - truth
        ratio = self.add("log_density_ratio", differences, keep=True, direction="max", **fields)
        if ratio.value is None:
            return
        error = ratio.std_error or 0.0
        # a quadrature's error is no sampling error
        slack = (ratio.mc_error or 0.0) + float(rounding(values).mean())
        if ratio.value > SUSPECT * error + slack and beyond_chance(differences - slack):
            reason = f"on average {ratio.value:.2g} ± {error:.2g} nats above the true density, which no density can be"
            for row in (source, ratio):
                place = next(i for i, m in enumerate(self.measurements) if m is row)
                self.measurements[place] = replace(row, status="suspect", reason=reason)

    def add_gap(self, test: Measurement, train: Measurement) -> None:
        """`train_test_gap`, by how much training examples are likelier than test examples in the mean."""
        pairs = [(test.std_error, train.std_error), (test.mc_error, train.mc_error)]
        std_error, mc_error = (None if a is None or b is None else float(np.hypot(a, b)) for a, b in pairs)
        # the row that is worse off says what is wrong: first one without a value, then one that is not ok
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
