"""Paired comparison of likelihoods, from per-example values to the tables."""

import math

import numpy as np
import pandas as pd
import pytest
from tidy_rows import row

from deepgen_bench.metrics.samples.optimal_transport import random_projections, sliced_wasserstein
from deepgen_bench.report.data.paired import COLUMNS, load_paired, paired_differences, paired_errors
from deepgen_bench.report.data.sheet import sheets
from deepgen_bench.report.data.summary import aggregate
from deepgen_bench.report.tables.comparison import comparison_tables
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import write_arrays
from deepgen_bench.storage.keys import InfluenceName
from deepgen_bench.storage.results import load_results, write_rows

N = 60


@pytest.fixture
def vectors():
    """Per-example values of the rows that `measured` makes."""
    return {}


@pytest.fixture
def measured(vectors):
    """`measured(model, values, metric, …)`: rows of a likelihood with `values` (seeds, N), kept in `vectors`."""

    def keep(model, values, metric="log_likelihood", variant="", checkpoint="final", **cells):
        stem = f"{metric}_k{variant[2:]}" if variant.startswith("K=") else metric
        rows = []
        for seed, examples in enumerate(values):
            run_id = f"digits/{model}/settings/seed_{seed}"
            vectors[f"{run_id}/{stem}_{checkpoint}"] = examples
            fields = {"model": model, "metric": metric, "variant": variant, "checkpoint": checkpoint, "run_id": run_id}
            numbers = {
                "value": examples.mean(),
                "std_error": examples.std(ddof=1) / math.sqrt(len(examples)),
                "seed": seed,
            }
            sizes = {"n_real": len(examples), "n_generated": None, "direction": "max", "bound": "exact"}
            rows.append(row(**fields, **numbers, **sizes | cells))
        return rows

    return keep


@pytest.fixture
def values():
    """Three models on examples that are hard for all of them."""
    rng = np.random.default_rng(0)
    hard = 5 * rng.standard_normal(N)
    effects = {"gaussian": 0.0, "flow": 0.3, "kde": 0.31}
    return {
        m: hard + e + 0.2 * rng.standard_normal((4, 1)) * 0.1 + 0.2 * rng.standard_normal((4, N))
        for m, e in effects.items()
    }


def test_a_difference_is_that_of_the_values_averaged_over_seeds(frame, measured, values, vectors):
    rows = frame([r for model, seeds in values.items() for r in measured(model, seeds)])
    pairs = paired_differences(rows, vectors)
    assert list(pairs) == COLUMNS and len(pairs) == 3
    line = pairs[(pairs["model_a"] == "gaussian") & (pairs["model_b"] == "kde")].iloc[0]
    expected = (values["gaussian"] - values["kde"]).mean(0)
    assert line["difference"] == pytest.approx(expected.mean())
    assert line["std_error"] == pytest.approx(expected.std(ddof=1) / math.sqrt(N)) and line["n"] == N
    assert line["std_error"] < 0.1 * rows["std_error"].min()


def test_only_models_on_the_same_examples_of_the_same_measurement_are_paired(frame, measured, values, vectors):
    (a, b, c) = values.values()
    rows = measured("a", a, "iw_elbo", "K=5", bound="lower") + measured("b", b, "iw_elbo", "K=5", bound="lower")
    rows += measured("c", c, "iw_elbo", "K=50") + measured("d", c[:, : N - 1], "iw_elbo", "K=5")
    rows += measured("oracle", c, "iw_elbo", "K=5")
    rows += [r | {"reference_split": "train"} for r in measured("e", c) + measured("f", c)]
    pairs = paired_differences(frame(rows), vectors)
    assert pairs[["metric", "variant", "model_a", "model_b", "n"]].values.tolist() == [["iw_elbo", "K=5", "a", "b", N]]


def test_real_data_are_not_paired_whatever_their_label(frame, measured, values, vectors):
    (a, b, c) = values.values()
    rows = measured("real", a, role="oracle") + measured("oracle", b, role="model") + measured("kde", c)
    pairs = paired_differences(frame(rows), vectors)
    assert pairs[["model_a", "model_b"]].values.tolist() == [["oracle", "kde"]]


@pytest.mark.parametrize("harm", ["gone", "of other examples", "not finite"])
def test_a_model_whose_values_are_not_those_of_its_rows_is_left_out(frame, measured, values, vectors, harm):
    rows = frame([r for model, seeds in values.items() for r in measured(model, seeds)])
    key = "digits/flow/settings/seed_2/log_likelihood_final"
    if harm == "gone":
        del vectors[key]
    else:
        vectors[key] = values["flow"][2] + (1e-3 if harm == "of other examples" else np.nan)
    pairs = paired_differences(rows, vectors)
    assert pairs[["model_a", "model_b"]].values.tolist() == [["gaussian", "kde"]]


def test_best_is_paired_with_final_of_a_model_that_has_no_other(frame, measured, values, vectors):
    a, b, best = values.values()
    rows = frame(measured("a", a) + measured("a", best, checkpoint="best") + measured("b", b))
    pairs = paired_differences(rows, vectors).set_index("checkpoint")
    assert pairs.loc["final", "difference"] == pytest.approx((a - b).mean())
    assert pairs.loc["best", "difference"] == pytest.approx((best - b).mean())


def test_doubtful_values_are_paired_and_lost_ones_are_not_missed(frame, measured, values, vectors):
    rows = measured("a", values["flow"]) + measured("b", values["kde"])
    rows[0] |= {"status": "suspect", "reason": "heavy tails"}
    rows[5] |= {"status": "diverged", "value": None}
    (line,) = paired_differences(frame(rows), vectors).itertuples()
    assert line.difference == pytest.approx(values["flow"].mean() - values["kde"][[0, 2, 3]].mean())


def test_tables_use_what_aggregate_writes_and_say_when_they_cannot(measured, values, vectors, tmp_path):
    write_rows(tmp_path / "part.csv", [r for model, seeds in values.items() for r in measured(model, seeds)])
    write_arrays(tmp_path / "part.npz", vectors)
    home = tmp_path / "demo"
    aggregate([tmp_path / "part.csv"], home)
    assert sorted(path.name for path in home.iterdir()) == ["metrics.csv", "paired.csv", "summary.csv"]
    paired = load_paired(home)
    assert paired_errors(paired, "demo", "best") == {} != paired_errors(paired, "demo", "final")

    def bold(**options):
        (table,) = comparison_tables(load_results(home), **options)
        return {line[0].text for line in table.rows if line[3].emphasis == "bold"}, " ".join(table.notes)

    models, notes = bold(paired=paired)
    assert models == {"flow", "kde"} and "differences of models on the same examples" in notes
    assert bold()[0] == set(values) and "as if on different test examples" in bold()[1]
    (home / "paired.csv").unlink()
    assert load_paired(home).empty and bold(paired=load_paired(home))[0] == set(values)


def test_pairs_of_two_machines_count_with_the_larger_error(measured, values, vectors, tmp_path):
    for name, seeds in (("one", slice(0, 2)), ("two", slice(2, 4))):
        write_rows(tmp_path / f"{name}.csv", [r for m in ("flow", "kde") for r in measured(m, values[m][seeds])])
        write_arrays(tmp_path / f"{name}.npz", vectors)
        aggregate([tmp_path / f"{name}.csv"], tmp_path / name)
    each = [load_paired(tmp_path / name)["std_error"].item() for name in ("one", "two")]
    both = load_paired(tmp_path / "one", tmp_path / "two", tmp_path / "one")
    assert both["std_error"].item() == max(each) > min(each)


def test_the_interval_of_a_sample_metric_covers_its_mean_over_test_sets(frame):
    """Sliced W2 of five samples to one test set, which is drawn anew in every repetition."""
    rng = np.random.default_rng(0)
    projections = random_projections(2, 20, rng)
    means, inside = [], {"seeds": [], "both": []}
    for _ in range(80):
        test, rows, vectors = rng.standard_normal((100, 2)), [], {}
        for seed in range(5):
            estimate = sliced_wasserstein(test, 1.3 * rng.standard_normal((100, 2)), projections)
            rows.append(row(metric="sliced_w2", variant="", value=estimate.value, seed=seed, run_id=f"run/seed_{seed}"))
            name = InfluenceName("sliced_w2", "", "test", "", 360, 360).at("final", f"run/seed_{seed}")
            vectors[name] = estimate.influence
        table = frame(rows)
        errors = paired_errors(paired_differences(table, vectors), "demo", "final")
        (sheet,) = sheets(table, "final", errors).values()
        (spread,) = sheet.spreads
        means.append(spread.mean)
        inside["seeds"].append(spread.half_width)
        inside["both"].append(spread.margin)
    covered = {name: np.mean(np.abs(means - np.mean(means)) <= widths) for name, widths in inside.items()}
    assert covered["both"] >= 0.92 > covered["seeds"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "metrics.csv").touch()
    path = tmp_path / "paired.csv"
    pd.DataFrame(columns=COLUMNS[1:]).to_csv(path, index=False)
    with pytest.raises(UserError, match=rf"{path}: found columns \['dataset', .*; valid: experiment, dataset"):
        load_paired(tmp_path)
    pd.DataFrame([["demo", "d", "final", "elbo", "", 3, "", "a", "", "b", "", 1.0, "much", 3]], columns=COLUMNS).to_csv(
        path, index=False
    )
    with pytest.raises(UserError, match=f"{path}: not a readable table"):
        load_paired(tmp_path)
