"""Which models are told apart: the level of the tests over a whole table, their power, and what bounds allow."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from deepgen_bench.report.data.comparisons import compare, p_value
from deepgen_bench.report.data.groups import Comparable, Group, Spread

N = 200


def spread(model, values, metric="w2", direction="min", bound="estimate", std_error=math.nan, output=""):
    """A group with these values over seeds, likelihoods on N examples."""
    values = np.asarray(values, float)
    sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1) if len(values) > 1 else math.nan
    group = Group("demo", "digits", model, output, "", "final", Comparable(metric, "", "1", N, None, "test"))
    numbers = (float(values.mean()), sd, half, values.min(), values.max(), len(values), len(values), 0)
    return Spread(group, *numbers, std_error, math.nan, bound, direction, {"ok": len(values)}, (), {})


def best(*groups, errors=None):
    """The models of one column that are bold."""
    (best_groups,) = compare([groups], errors or {}).best
    return {group.group.model for group in best_groups}


def fast(model, values, column, **cells):
    """`spread` without the calls of scipy, for simulations."""
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    group = Group("demo", "digits", model, "", "", "final", column)
    numbers = (mean, sd, sd, mean, mean, len(values), len(values), 0)
    fields = {"std_error": math.nan, "bound": "estimate", "direction": "min"} | cells
    return Spread(group, *numbers, fields["std_error"], math.nan, fields["bound"], fields["direction"], {}, (), {})


@pytest.mark.parametrize("seeds", [2, 5])
def test_equal_models_are_told_apart_in_at_most_5_percent_of_tables(seeds):
    rng = np.random.default_rng(seeds)
    columns = [Comparable(f"metric_{j}", "", "1", N, N, "test") for j in range(6)]
    tables, errors = 1000, 0
    for _ in range(tables):
        values = rng.standard_normal((6, 5, seeds))
        groups = [
            [fast(f"m{i}", seeds_of_model, column) for i, seeds_of_model in enumerate(of_column)]
            for column, of_column in zip(columns, values, strict=True)
        ]
        result = compare(groups, {})
        assert result.count == 6 * 10
        errors += any(len(best_groups) < 5 for best_groups in result.best)
    assert errors / tables <= 0.05


def likelihoods(rng, effects, seeds=5, seed_sd=0.1, hardness=3.0, model_sd=0.5, shared=True):
    """Groups and paired errors of models measured on N examples, some of which are harder for all models."""
    column = Comparable("elbo", "", "nats", N, None, "test")
    common = hardness * rng.standard_normal(N)
    groups, vectors = [], {}
    for i, effect in enumerate(effects):
        x = effect + common + model_sd * rng.standard_normal(N)  # what the model adds to each example
        of_seeds = x + seed_sd * rng.standard_normal((seeds, 1)) + 0.2 * rng.standard_normal((seeds, N))
        error = float(of_seeds.std(1, ddof=1).mean() / math.sqrt(N))
        groups.append(fast(f"m{i}", of_seeds.mean(1), column, direction="max", std_error=error))
        vectors[f"m{i}"] = of_seeds.mean(0)
    pairs = [(a, b) for a in vectors for b in vectors if a < b]
    errors = {}
    for a, b in pairs if shared else []:
        error = (vectors[a] - vectors[b]).std(ddof=1) / math.sqrt(N)
        errors["digits", "elbo", "", N, frozenset((a, b))] = error
    return groups, errors


@pytest.mark.parametrize("seeds", [2, 5])
def test_equal_likelihoods_on_shared_examples_keep_the_level(seeds):
    rng = np.random.default_rng(0)
    tables, rejected, single = 1000, 0, 0
    for _ in range(tables):
        groups, errors = likelihoods(rng, [0] * 5, seeds)
        result = compare([groups], errors)
        assert (result.count, result.paired, result.unpaired) == (10, 10, 0)
        rejected += len(result.best[0]) < 5
        single += p_value(groups[0], groups[1], errors) <= 0.05
    assert rejected / tables <= 0.05
    assert single / tables <= 0.065 and (seeds == 2 or single / tables >= 0.035)


def test_pairing_tells_apart_what_unpaired_errors_hide():
    rng = np.random.default_rng(1)
    paired = unpaired = 0
    for _ in range(200):
        groups, errors = likelihoods(rng, [0.0, 0.5])
        paired += p_value(*groups, errors) <= 0.05
        unpaired += p_value(*groups, {}) <= 0.05
    assert paired >= 180 and unpaired <= 40
    groups, _ = likelihoods(rng, [0.0, 0.5])
    assert compare([groups], {}).unpaired == 1


def test_two_models_without_examples_in_play_are_welchs_test():
    a, b = spread("a", [1.0, 1.2, 1.1, 1.4]), spread("b", [2.0, 1.7, 1.9])
    expected = stats.ttest_ind([1.0, 1.2, 1.1, 1.4], [2.0, 1.7, 1.9], equal_var=False).pvalue
    assert p_value(a, b, {}) == pytest.approx(expected) == p_value(b, a, {})


def test_a_likelihood_varies_with_the_test_examples_too():
    cells = {"metric": "elbo", "direction": "max"}
    a, b = (spread(model, [value] * 5, std_error=0.3, **cells) for model, value in (("a", 1.0), ("b", 2.0)))
    key = ("digits", "elbo", "", N, frozenset("ab"))
    assert p_value(a, b, {}) == pytest.approx(2 * stats.t.sf(1 / math.hypot(0.3, 0.3), N - 1))
    assert p_value(a, b, {key: 0.1}) == pytest.approx(2 * stats.t.sf(10, N - 1))
    unknown = spread("b", [2.0] * 5, **cells)
    assert p_value(a, unknown, {}) == 1 and best(a, unknown) == {"a", "b"}


def test_numbers_that_never_vary_are_compared_by_permutation():
    for seeds, told_apart in ((2, False), (3, False), (5, True), (10, True)):
        a, b, tie = spread("a", [8] * seeds), spread("b", [7] * seeds), spread("tie", [7] * seeds)
        assert best(a, b) == ({"b"} if told_apart else {"a", "b"})
        assert best(b, tie) == {"b", "tie"}
    assert best(spread("a", [1.0] * 5), spread("b", [2.0, 2.1, 1.9, 2.0, 2.05])) == {"a"}


BOUNDS = [
    ("max", {"a": (1, "lower"), "b": (2, "lower")}, "b"),  # bounds of a kind rank as numbers
    ("max", {"a": (1, "lower"), "b": (2, "exact")}, "b"),  # a's true value may be above 2: undecided
    ("max", {"a": (3, "lower"), "b": (2, "exact")}, "a"),  # a's true value is at least 3
    ("max", {"a": (1, "upper"), "b": (2, "estimate")}, "b"),  # a's true value is at most 1
    ("max", {"a": (3, "upper"), "b": (2, "exact")}, "b"),  # a's true value may be below 2
    ("max", {"a": (1, "estimate"), "b": (2, "exact")}, "b"),
    ("max", {"a": (1, "lower"), "b": (2, "upper")}, "a"),  # at least 1, and at most 2
    ("max", {"a": (2, "lower"), "b": (1, "upper")}, "a"),
    ("min", {"a": (3, "upper"), "b": (2, "exact")}, "b"),
    ("min", {"a": (1, "upper"), "b": (2, "exact")}, "a"),
    ("min", {"a": (1, "lower"), "b": (2, "upper")}, "b"),
    ("min", {"a": (1, "lower"), "b": (2, "exact")}, "b"),
    ("min", {"a": (2, "exact"), "b": (2, "exact")}, "ab"),
    # b is shown to be worse than c; a, which is not above b, is not put over it
    ("max", {"a": (1, "lower"), "b": (2, "exact"), "c": (3, "exact")}, "c"),
    ("max", {"a": (2.5, "lower"), "b": (2, "exact"), "c": (3, "exact")}, "c"),
    # both bounds are above b; the lower one of them may belong to the better model
    ("max", {"a": (3, "lower"), "b": (2, "exact"), "c": (4, "lower")}, "c"),
    ("max", {"a": (3.001, "lower"), "b": (2, "exact"), "c": (3, "lower")}, "ac"),
    ("max", {"a": (3.001, "lower"), "b": (3, "exact")}, "ab"),
    ("none", {"a": (1, "exact"), "b": (2, "exact")}, ""),
]


@pytest.mark.parametrize(("direction", "models", "expected"), BOUNDS)
def test_a_bound_counts_as_far_as_it_holds(direction, models, expected):
    noise = np.array([-0.01, 0.0, 0.01, 0.005, -0.005])
    groups = [spread(m, value + noise, direction=direction, bound=b) for m, (value, b) in models.items()]
    assert best(*groups) == set(expected)


KINDS = st.sampled_from(["lower", "upper", "exact", "estimate"])


@given(st.lists(st.tuples(st.integers(0, 9), KINDS), min_size=2, max_size=6), st.sampled_from(["max", "min"]))
def test_no_bound_is_bold_over_a_value_that_it_does_not_exceed(models, direction):
    noise = np.array([-0.01, 0.0, 0.01, 0.005, -0.005])
    groups = [spread(f"m{i}", v + noise, direction=direction, bound=b) for i, (v, b) in enumerate(models)]
    bold = best(*groups)
    sign, safe = (1, "lower") if direction == "max" else (-1, "upper")
    values = [sign * v for v, b in models if b in ("exact", "estimate")]
    for i, (value, bound) in enumerate(models):
        if f"m{i}" in bold and bound in ("lower", "upper") and values:
            assert bound == safe and sign * value > max(values)
    if values or any(bound == safe for _, bound in models):
        assert bold  # there is always a best, and a value is beaten only by what is surely better
    certain = [sign * v for v, b in models if b in ("exact", "estimate", safe)]
    for i, (value, bound) in enumerate(models):
        if bound in ("exact", "estimate"):
            assert (f"m{i}" in bold) == (sign * value == max(certain))


def test_a_model_with_a_wide_spread_saves_no_other():
    wide = spread("wide", [2.0, 10.0, 6.0, 1.0, 14.0], direction="max")
    good, bad = (
        spread(m, np.array([v - 0.01, v, v + 0.01]), direction="max") for m, v in (("good", 6.0), ("bad", 3.0))
    )
    assert best(wide, good, bad) == {"wide", "good"}


def test_a_model_with_one_seed_is_left_out():
    a, b = spread("a", [1.0, 1.1, 0.9, 1.05]), spread("b", [5.0, 5.1, 4.9, 5.05])
    once = spread("once", [7.0])
    result = compare([[a, b, once]], {})
    assert [group.group.model for group in result.best[0]] == ["a"] and result.left_out == [[once]]
    assert best(a, b, spread("once", [0.5])) == {"a"}  # it is not shown to be better
    assert best(spread("a", [1.0]), spread("b", [2.0])) == set() == best(a, spread("b", [2.0]))
    infinite = replace(once, mean=math.inf, n_seeds=4)  # -inf nats, say, with one of its seeds
    assert best(a, b, infinite) == {"a"}


def test_two_kinds_of_sample_of_one_model_compete_only_beside_another_model():
    mean, draw = (spread("vae", v, output=o) for o, v in (("mean", [1.0, 1.1, 0.9]), ("draw", [3.0, 3.1, 2.9])))
    assert best(mean, draw) == set()
    groups = [mean, draw, spread("gan", [2.0, 2.1, 1.9])]
    assert [group.group.output for group in compare([groups], {}).best[0]] == ["mean"]


def test_two_seeds_can_be_compared():
    assert best(spread("a", [1.0, 1.0001]), spread("b", [2.0, 2.0001])) == {"a"}
    assert best(spread("a", [1.0, 1.5]), spread("b", [2.0, 2.5])) == {"a", "b"}


def test_the_correction_is_over_the_whole_table():
    a, b = [1.0, 1.1, 0.9, 1.05], [1.3, 1.25, 1.4, 1.2]
    assert stats.ttest_ind(a, b, equal_var=False).pvalue == pytest.approx(0.0039, abs=1e-4)
    columns = [[spread("a", a, metric=f"m{j}"), spread("b", b if j == 0 else a, metric=f"m{j}")] for j in range(20)]
    assert len(compare(columns[:2], {}).best[0]) == 1 and len(compare(columns, {}).best[0]) == 2
