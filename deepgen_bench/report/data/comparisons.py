"""Which models of a table can be told apart, by tests over seeds."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import hypot, isfinite

import numpy as np

from deepgen_bench.report.data.confidence_set import LEVEL, confidence_set
from deepgen_bench.report.data.groups import Spread
from deepgen_bench.report.data.metrics import LIKELIHOODS
from deepgen_bench.report.data.paired import PairedErrors, pair_key


@dataclass
class Comparisons:
    """The results of the tests of a table.

    By column, `best` holds the groups that are not told from the best one, without bounds that do not lead (`leads`),
    and `left_out` those without a spread over seeds or of status `suspect`. `tested` is the number of columns tested,
    `paired` that of columns whose tests know how much differences vary with the shared test set, and `unpaired` that of
    likelihoods of which they know less (`test_variances`). `ranked` says whether any column has a direction, `repeated`
    whether some columns keep the result of another table.
    """

    best: list[list[Spread]] = field(default_factory=list)
    left_out: list[list[Spread]] = field(default_factory=list)
    tested: int = 0
    paired: int = 0
    unpaired: int = 0
    ranked: bool = False
    repeated: bool = False


def compare(columns: Sequence[Sequence[Spread]], errors: PairedErrors) -> Comparisons:
    """Find the models of every ranked column that are not told from its best one.

    A column holds the groups that compete in it: those of models with a value, without real data. Each column is tested
    by itself: in at most 5 % of columns a model that is as good as the best one is called worse.
    """
    result = Comparisons()
    for groups in columns:
        tested = _tested(groups)
        ranked = direction_of(groups) in ("min", "max")
        several = ranked and len({group.group.model for group in groups}) > 1
        result.ranked |= ranked
        result.left_out.append([group for group in groups if several and not _is_testable(group)])
        result.best.append([group for group in _not_beaten(tested, errors) if leads(group, groups)])
        if tested:
            pairs = [_key(a, b) in errors for a, b in combinations(tested, 2)]
            result.tested += 1
            result.paired += any(pairs)
            result.unpaired += tested[0].column.metric in LIKELIHOODS and not all(pairs)
    return result


def _not_beaten(groups: Sequence[Spread], errors: PairedErrors) -> list[Spread]:
    """The groups that no other is shown to beat: for each kind of number the confidence set among what may beat it."""
    kept = []
    for each in dict.fromkeys(map(kind, groups)):
        of_kind = next(group for group in groups if kind(group) == each)
        rivals = [group for group in groups if kind(group) == each or may_beat(group, of_kind)]
        sign = -1 if of_kind.direction == "max" else 1
        values = [sign * np.array(list(group.values.values())) for group in rivals]
        p_values = confidence_set(values, test_variances(rivals, errors))
        kept += [group for group, p in zip(rivals, p_values, strict=True) if p > LEVEL and kind(group) == each]
    return [group for group in groups if group in kept]


def test_variances(groups: Sequence[Spread], errors: PairedErrors) -> np.ndarray | None:
    """Variances (k, k) of the differences between k groups due to the test set that they share; None if unknown.

    The paired errors in `errors` where they are known. Otherwise, for likelihoods, se_a² + se_b², which is larger where
    examples that are hard for one model are hard for the other.
    """
    variances = np.zeros((len(groups), len(groups)))
    for (i, a), (j, b) in combinations(enumerate(groups), 2):
        error = errors.get(_key(a, b))
        if error is None:
            error = hypot(a.std_error, b.std_error) if a.column.metric in LIKELIHOODS else 0.0
        variances[i, j] = variances[j, i] = error**2
    return variances if variances.any() else None


def direction_of(groups: Sequence[Spread]) -> str:
    """`min` or `max` if it is the direction of all groups; `none` otherwise, and for no groups."""
    directions = {group.direction for group in groups}
    return directions.pop() if len(directions) == 1 else "none"


def kind(group: Spread) -> str:
    """`lower` or `upper` for bounds, `point` for exact values and estimates."""
    return group.bound if group.bound in ("lower", "upper") else "point"


def may_beat(better: Spread, worse: Spread) -> bool:
    """Whether one number can be shown to be better than another.

    Bounds of the same kind are compared as numbers, which says something about the bounds and not about their models.
    Against another kind, a bound is used only in the direction in which it holds: where larger is better, a lower bound
    can show its model to be better but not worse, an upper bound worse but not better.
    """
    safe, unsafe = _kinds_of_bound(better.direction)
    return kind(better) == kind(worse) or (kind(better) != unsafe and kind(worse) != safe)


def leads(group: Spread, groups: Sequence[Spread]) -> bool:
    """Whether a number can be called the best of its column. A bound can only where it holds against all other kinds.

    Where larger is better, that is a lower bound above every exact value and estimate. Any other bound leaves open
    whether its model is better or worse than theirs.
    """
    if kind(group) == "point" or {kind(other) for other in groups} == {kind(group)}:
        return True
    safe, _ = _kinds_of_bound(group.direction)
    values = [_goodness(other) for other in groups if kind(other) == "point"]
    return kind(group) == safe and all(_goodness(group) > value for value in values)


def _kinds_of_bound(direction: str) -> tuple[str, str]:
    """The kind of bound that shows a model to be at least as good as its number, and the other kind."""
    return ("lower", "upper") if direction == "max" else ("upper", "lower")


def is_suspect(group: Spread) -> bool:
    """Whether a group has a likelihood that no density can have, or a value below a bound; such a group beats none."""
    return group.column.metric in LIKELIHOODS and "suspect" in group.statuses


def _is_testable(group: Spread) -> bool:
    known = isfinite(group.std_error) or group.column.metric not in LIKELIHOODS
    return isfinite(group.half_width) and known and not is_suspect(group)


def _tested(groups: Sequence[Spread]) -> list[Spread]:
    """The groups that can be tested against each other; none without a direction or with fewer than two models."""
    tested = [group for group in groups if _is_testable(group)]
    return tested if direction_of(groups) != "none" and len({group.group.model for group in tested}) > 1 else []


def _goodness(group: Spread) -> float:
    return group.mean if group.direction == "max" else -group.mean


def _key(a: Spread, b: Spread) -> Hashable:
    column = a.column
    first, second = ((spread.group.model, spread.group.output) for spread in (a, b))
    return pair_key(a.group.dataset, column.metric, column.variant, column.n_real, column.n_generated, first, second)
