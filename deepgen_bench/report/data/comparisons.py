"""Which models of a table can be told apart, by tests over seeds."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import isfinite, isnan

from deepgen_bench.report.data.groups import Spread
from deepgen_bench.report.data.metrics import LIKELIHOODS
from deepgen_bench.report.data.paired import PairedErrors, pair_key
from deepgen_bench.report.data.statistics import LEVEL, constant_samples, holm, t_test


@dataclass
class Comparisons:
    """The results of all tests of a table.

    By column, `best` holds the groups that no other is shown to beat, without bounds that do not lead (`leads`), and
    `left_out` those without a spread over seeds or of status `suspect`. `count` is the number of tests; `paired` and
    `unpaired` count the tests of likelihoods with and without paired errors. `ranked` says whether any column has a
    direction, `repeated` whether some columns keep the result of another table.
    """

    best: list[list[Spread]] = field(default_factory=list)
    left_out: list[list[Spread]] = field(default_factory=list)
    count: int = 0
    paired: int = 0
    unpaired: int = 0
    ranked: bool = False
    repeated: bool = False


def compare(columns: Sequence[Sequence[Spread]], errors: PairedErrors) -> Comparisons:
    """Test every two models of every ranked column, with Holm's correction over the whole table.

    A column holds the groups that compete in it: those of models with a value, without real data.
    All pairs are tested, not only those with the best mean: which mean is best is seen in the same data, so tests of
    the best against the rest alone would reject too often (the largest difference of five equal models is the
    difference of their extremes).
    """
    result = Comparisons()
    pairs: list[tuple[int, Spread, float]] = []  # column, the worse of two, p of their difference
    for j, groups in enumerate(columns):
        tested = _tested(groups)
        ranked = direction_of(groups) in ("min", "max")
        several = ranked and len({group.group.model for group in groups}) > 1
        result.ranked |= ranked
        result.left_out.append([group for group in groups if several and not _is_testable(group)])
        result.best.append(tested)
        for a, b in combinations(tested, 2):
            worse, better = sorted((a, b), key=_goodness)
            pairs.append((j, worse, p_value(a, b, errors) if may_beat(better, worse) else 1.0))
            if a.column.metric in LIKELIHOODS:
                known = _key(a, b) in errors
                result.paired, result.unpaired = result.paired + known, result.unpaired + (not known)
    result.count = len(pairs)
    adjusted = holm([p for _, _, p in pairs])
    beaten = {(j, worse.group) for (j, worse, _), p in zip(pairs, adjusted, strict=True) if p <= LEVEL}
    result.best = [
        [group for group in best if (j, group.group) not in beaten and leads(group, groups)]
        for j, (best, groups) in enumerate(zip(result.best, columns, strict=True))
    ]
    return result


def p_value(a: Spread, b: Spread, errors: PairedErrors) -> float:
    """Two-sided p of the difference of two means over independent seeds; 1 where a standard error is unknown.

    The test is Welch's. Likelihoods are means over examples as well, so their difference also varies with the n test
    examples: by the paired standard error in `errors`, or else by √(se_a² + se_b²), which is larger where examples
    that are hard for one model are hard for the other. Variation that seeds and examples share is counted twice, which
    is conservative. If both models give the same number for every seed, there is no variance to test with, and p is
    that of `constant_samples`.
    """
    variances = [a.sd**2 / a.n_seeds, b.sd**2 / b.n_seeds]
    degrees = [a.n_seeds - 1, b.n_seeds - 1]
    if a.column.metric in LIKELIHOODS:
        paired = errors.get(_key(a, b))
        variances.append(a.std_error**2 + b.std_error**2 if paired is None else paired**2)
        degrees.append(max((a.column.n_real or 2) - 1, 1))
    if not any(variances):
        return constant_samples(a.mean - b.mean, a.n_seeds, b.n_seeds)
    p = t_test(a.mean - b.mean, variances, degrees)
    return 1.0 if isnan(p) else p


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
    return isfinite(group.half_width) and not is_suspect(group)


def _tested(groups: Sequence[Spread]) -> list[Spread]:
    """The groups that can be tested against each other; none without a direction or with fewer than two models."""
    tested = [group for group in groups if _is_testable(group)]
    return tested if direction_of(groups) != "none" and len({group.group.model for group in tested}) > 1 else []


def _goodness(group: Spread) -> float:
    return group.mean if group.direction == "max" else -group.mean


def _key(a: Spread, b: Spread) -> Hashable:
    column = a.column
    return pair_key(a.group.dataset, column.metric, column.variant, column.n_real, a.group.model, b.group.model)
