"""Which models are told apart: by replicates, by the test examples that they share, and as far as bounds allow."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deepgen_bench.report.data.comparisons import compare
from deepgen_bench.report.data.groups import Comparable, Group, Spread
from deepgen_bench.report.data.paired import pair_key

N = 200


def spread(model, values, metric="w2", direction="min", bound="estimate", std_error=math.nan, output=""):
    """A group with these values over seeds, likelihoods on N examples."""
    values = np.asarray(values, float)
    sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1) if len(values) > 1 else math.nan
    group = Group("demo", "digits", model, output, "", "final", Comparable(metric, "", "1", N, None, "test"))
    numbers = (float(values.mean()), sd, half, values.min(), values.max(), len(values), len(values), 0)
    of_seeds = dict(enumerate(values.tolist()))
    return Spread(group, *numbers, std_error, math.nan, bound, direction, {"ok": len(values)}, (), of_seeds)


def best(*groups, errors=None):
    """The models of one column that are bold."""
    (best_groups,) = compare([groups], errors or {}).best
    return {group.group.model for group in best_groups}


def likelihoods(rng, effects, seeds=5, seed_sd=0.1, hardness=3.0, model_sd=0.5, shared=True):
    """Groups and paired errors of models measured on N examples, some of which are harder for all models."""
    common = hardness * rng.standard_normal(N)
    groups, vectors = [], {}
    for i, effect in enumerate(effects):
        x = effect + common + model_sd * rng.standard_normal(N)  # what the model adds to each example
        of_seeds = x + seed_sd * rng.standard_normal((seeds, 1)) + 0.2 * rng.standard_normal((seeds, N))
        error = float(of_seeds.std(1, ddof=1).mean() / math.sqrt(N))
        groups.append(spread(f"m{i}", of_seeds.mean(1), "elbo", "max", std_error=error))
        vectors[f"m{i}"] = of_seeds.mean(0)
    pairs = [(a, b) for a in vectors for b in vectors if a < b]
    errors = {}
    for a, b in pairs if shared else []:
        error = (vectors[a] - vectors[b]).std(ddof=1) / math.sqrt(N)
        errors[pair_key("digits", "elbo", "", N, None, (a, ""), (b, ""))] = error
    return groups, errors


@pytest.mark.parametrize("seeds", [2, 5])
def test_equal_likelihoods_on_shared_examples_keep_the_level(seeds):
    rng = np.random.default_rng(0)
    columns, rejected = 300, 0
    for _ in range(columns):
        groups, errors = likelihoods(rng, [0] * 5, seeds)
        result = compare([groups], errors)
        assert (result.tested, result.paired, result.unpaired) == (1, 1, 0)
        rejected += len(result.best[0]) < 5
    assert rejected / columns <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / columns)


def test_pairing_tells_apart_what_unpaired_errors_hide():
    rng = np.random.default_rng(1)
    paired = unpaired = 0
    for _ in range(100):
        groups, errors = likelihoods(rng, [0.0, 0.5])
        paired += best(*groups, errors=errors) == {"m1"}
        unpaired += best(*groups) == {"m1"}
    assert paired >= 90 and unpaired <= 20
    groups, _ = likelihoods(rng, [0.0, 0.5])
    assert compare([groups], {}).unpaired == 1


def test_a_likelihood_varies_with_the_test_examples_too():
    cells = {"metric": "elbo", "direction": "max"}
    a, b = (spread(model, [value] * 5, std_error=0.3, **cells) for model, value in (("a", 1.0), ("b", 2.0)))
    key = pair_key("digits", "elbo", "", N, None, ("a", ""), ("b", ""))
    assert best(a, b) == {"b"}  # 2.4 standard errors
    assert best(a, b, errors={key: 0.6}) == {"a", "b"} and best(a, b, errors={key: 0.1}) == {"b"}
    unknown = spread("b", [2.0] * 5, **cells)
    assert compare([[a, unknown]], {}).left_out == [[unknown]]


def test_numbers_that_never_vary_are_compared_by_permutation():
    for seeds, told_apart in ((2, False), (3, False), (4, True), (10, True)):
        a, b, tie = spread("a", [8] * seeds), spread("b", [7] * seeds), spread("tie", [7] * seeds)
        assert best(a, b) == ({"b"} if told_apart else {"a", "b"})
        assert best(b, tie) == {"b", "tie"}
    assert best(spread("a", [1.0] * 5), spread("b", [2.0, 2.1, 1.9, 2.0, 2.05])) == {"a"}


def test_no_mode_in_any_seed_is_worse_than_all_modes_in_every_seed():
    groups = [
        spread("none", [0] * 5, direction="max"),
        *(spread(f"m{i}", [25] * 5, direction="max") for i in range(11)),
    ]
    assert best(*groups) == {f"m{i}" for i in range(11)}


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


@settings(deadline=None)
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
    narrow = np.array([-0.01, 0.0, 0.01, 0.02, -0.02])
    narrow_models = [
        spread(m, value + narrow, direction="max") for m, value in (("a", 6.0), ("b", 6.001), ("c", 6.002))
    ]
    assert best(wide, *narrow_models, spread("bad", 3.0 + narrow, direction="max")) == {"wide", "a", "b", "c"}


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
    values = np.array([1.0, 1.1, 0.9, 1.05])
    mean, draw = (spread("vae", values + shift, output=o) for o, shift in (("mean", 0), ("draw", 2)))
    assert best(mean, draw) == set()
    groups = [mean, draw, spread("gan", values + 1)]
    assert [group.group.output for group in compare([groups], {}).best[0]] == ["mean"]


def test_each_column_is_tested_by_itself():
    a, b = [1.0, 1.1, 0.9, 1.05], [1.3, 1.25, 1.4, 1.2]
    columns = [[spread("a", a, metric=f"m{j}"), spread("b", b if j == 0 else a, metric=f"m{j}")] for j in range(20)]
    for n in (2, 20):
        result = compare(columns[:n], {})
        assert [len(groups) for groups in result.best] == [1] + [2] * (n - 1) and result.tested == n
