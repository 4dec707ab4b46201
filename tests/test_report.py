"""From the tidy table to the spread over seeds, headings and comparison tables."""

import math
import re
from statistics import mean, stdev

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidy_rows import CLASSIFIER, INCEPTION, n_a, row, seeds

from deepgen_bench.errors import UserError
from deepgen_bench.report.headings import headings, mean_and_sd
from deepgen_bench.report.summary import Comparable, summarise
from deepgen_bench.report.tables import comparison_tables, show, write_tables
from deepgen_bench.results import COLUMNS, parse_variant


def grid(table):
    """Cells by model and heading (without arrow)."""
    names = [re.sub(" [↑↓]$", "", name) for name in table.header]
    return {line[0].text: dict(zip(names, line, strict=True)) for line in table.rows}


# --- the spread over seeds --------------------------------------------------------------------------------------------


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6), lost=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_summary_is_the_sample_mean_and_deviation_of_what_has_a_value(values, lost):
    rows = pd.DataFrame(seeds([*values, *[None] * lost]))
    (found,) = summarise(rows.astype(COLUMNS)).itertuples()
    assert math.isclose(found.mean, mean(values), abs_tol=1e-6)
    assert math.isclose(found.sd, stdev(values), abs_tol=1e-6)
    assert (found.min, found.max) == (min(values), max(values))
    assert (found.n_seeds, found.n_total, found.n_diverged) == (len(values), len(values) + lost, lost)
    assert found.statuses == f"ok={len(values)}" + (f";diverged={lost}" if lost else "")


@pytest.mark.parametrize(
    "other",
    [
        {"variant": "p=1"},
        {"n_real": 100},
        {"n_generated": 100},
        {"reference_split": "train"},
        {"checkpoint": "best"},
        {"unit": "pixels"},
        {"experiment": "b"},
    ],
)
def test_what_differs_in_more_than_the_seed_is_never_averaged(frame, other):
    summary = summarise(frame([row(seed=0), row(seed=1, value=9.0, **other)]))
    assert list(summary["mean"]) == [1.0, 9.0] and summary["sd"].isna().all()


def test_only_ok_enters_a_mean(frame):
    rows = [row(seed=0), row(seed=1, value=3.0)]
    rows += [row(seed=2 + i, value=1e9, status=s) for i, s in enumerate(("suspect", "not_converged", "failed"))]
    (found,) = summarise(frame(rows)).itertuples()
    assert (found.mean, found.n_seeds, found.n_total) == (2.0, 2, 5)
    assert found.statuses == "ok=2;suspect=1;not_converged=1;failed=1"


def test_a_diverged_seed_counts_wherever_it_does_not_contradict(frame):
    lost = {"seed": 1, "value": None, "status": "diverged", "n_generated": None}
    rows = [row(variant="p=1"), row(variant="p=2"), row(variant="", **lost)]
    assert list(summarise(frame(rows))["n_diverged"]) == [1, 1]
    rows[-1]["variant"] = "p=1"
    assert list(summarise(frame(rows))["n_diverged"]) == [1, 0]


def test_one_group_has_one_bound_and_one_value_per_seed(frame):
    with pytest.raises(UserError, match="column bound has several values"):
        summarise(frame([row(seed=0), row(seed=1, bound="lower")]))
    with pytest.raises(UserError, match="seed 0 appears twice"):
        summarise(frame([row(), row()]))


# --- headings and numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "variant", "unit", "heading"),
    [
        ("frechet_distance", INCEPTION, "", "FID"),
        ("frechet_distance", "digest=feedbeef0000;extractor=inception", "", "FD (inception, weights feedbeef0000)"),
        ("frechet_distance", "extractor=inception", "", "FD (inception, weights not stated)"),
        ("frechet_distance", CLASSIFIER, "", "FD (classifier)"),
        ("frechet_distance", "extractor=data", "", "FD (data)"),
        ("frechet_distance", "", "", "FD (features not stated)"),
        ("inception_score", INCEPTION, "", "IS"),
        ("inception_score", CLASSIFIER, "", "IS (classifier)"),
        ("kernel_distance", CLASSIFIER, "", "KID (classifier)"),
        ("precision", CLASSIFIER, "", "precision (classifier)"),
        ("sliced_w2", "projections=500", "", "sliced W2"),
        ("iw_elbo", "K=5000;representation=dequantised", "nats", "IW-ELBO K=5000 [nats, dequantised]"),
        ("bits_per_dim", "representation=dequantised", "bits/dim", "bits/dim [dequantised]"),
        ("my_own_metric", "", "1", "my own metric"),
    ],
)
def test_headings_name_what_was_measured(metric, variant, unit, heading):
    assert headings([Comparable(metric, variant, unit, 10, 10, "test")]) == [heading]


def test_equal_headings_are_told_apart_by_what_differs():
    columns = [Comparable("w2", f"p=2;tol={tol}", "", n, 50, "test") for tol, n in ((1, 50), (2, 50), (1, 40))]
    assert headings(columns) == ["W2 (tol=1, n_real=50)", "W2 (tol=2, n_real=50)", "W2 (tol=1, n_real=40)"]


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (1.23456, 0.0456, "1.235 ± 0.046"),
        (1.23456, 0.0996, "1.23 ± 0.10"),
        (12.3, 9.96, "12 ± 10"),
        (-1234.5, 123.4, "-1230 ± 120"),
        (-0.0001, 0.2, "0.00 ± 0.20"),
        (2.5e-5, 1.1e-5, "0.000025 ± 0.000011"),
        (1.5, 1.234e-12, "1.5 ± 1.2e-12"),
        (8.0, 0.0, "8 ± 0"),
        (-3.54254, 5.0e-16, "-3.543 ± 0"),
        (0.98765, math.nan, "0.9877"),
        (-12345.6, math.nan, "-12346"),
        (-math.inf, math.nan, "-inf"),
    ],
)
def test_a_mean_has_the_decimals_of_its_deviation(value, sd, text):
    assert mean_and_sd(value, sd) == text


@given(sd=st.floats(1e-6, 1e6), value=st.floats(-1e6, 1e6))
def test_rounding_loses_less_than_a_tenth_of_the_deviation(value, sd):
    shown_mean, shown_sd = map(float, mean_and_sd(value, sd).split(" ± "))
    assert abs(shown_sd - sd) <= 0.0501 * sd
    assert abs(shown_mean - value) <= 0.0502 * sd + 1e-9


# --- comparison tables ------------------------------------------------------------------------------------------------


def test_rows_keep_the_order_of_the_results_and_the_oracle_comes_first(frame):
    (table,) = comparison_tables(frame([row(model="wgan"), row(model="gan"), row(model="oracle"), row(model="ar")]))
    assert [line[0].text for line in table.rows] == ["oracle", "wgan", "gan", "ar"]
    assert all(cell.emphasis == "italic" for cell in table.rows[0])


def test_best_is_bold_but_never_the_oracle_an_unranked_column_or_a_lone_model(frame):
    rows = [*seeds([0.1, 0.2], model="oracle"), *seeds([3, 4], model="gan"), *seeds([1, 2], model="wgan")]
    rows += seeds([8, 9], model="gan", metric="precision", variant=CLASSIFIER, direction="max")
    rows += seeds([1, 2], model="wgan", metric="precision", variant=CLASSIFIER, direction="max")
    rows += seeds([1, 2], model="gan", metric="frechet_distance", variant="extractor=data", direction="none")
    rows += seeds([3, 4], model="wgan", metric="frechet_distance", variant="extractor=data", direction="none")
    rows += seeds([3, 4], model="wgan", metric="sliced_w2")
    (table,) = comparison_tables(frame(rows))
    assert table.header == ["model", "seeds", "FD (data)", "precision (classifier) ↑", "W2 ↓", "sliced W2 ↓"]
    cells = grid(table)
    bold = {(m, name) for m, line in cells.items() for name, cell in line.items() if cell.emphasis == "bold"}
    assert bold == {("wgan", "W2"), ("gan", "precision (classifier)")}
    assert cells["gan"]["sliced W2"].text == "–" and cells["wgan"]["W2"].text == "1.50 ± 0.71"


@pytest.mark.parametrize(
    ("direction", "models", "best"),
    [
        ("max", {"a": (1, "lower"), "b": (2, "lower")}, {"b"}),  # bounds of a kind rank as numbers
        ("max", {"a": (1, "lower"), "b": (2, "exact")}, set()),  # a's true value may be above 2
        ("max", {"a": (3, "lower"), "b": (2, "exact")}, {"a"}),  # a's true value is at least 3
        ("max", {"a": (1, "upper"), "b": (2, "estimate")}, {"b"}),  # a's true value is at most 1
        ("max", {"a": (3, "upper"), "b": (2, "exact")}, set()),
        ("max", {"a": (1, "estimate"), "b": (2, "exact")}, {"b"}),
        ("min", {"a": (3, "upper"), "b": (2, "exact")}, set()),
        ("min", {"a": (1, "upper"), "b": (2, "exact")}, {"a"}),
        ("min", {"a": (1, "lower"), "b": (2, "upper")}, set()),
        ("min", {"a": (2, "exact"), "b": (2, "exact")}, {"a", "b"}),
    ],
)
def test_a_bound_is_ranked_as_far_as_it_holds(frame, direction, models, best):
    rows = [row(model=m, value=v, bound=bound, direction=direction) for m, (v, bound) in models.items()]
    (table,) = comparison_tables(frame(rows))
    assert {line[0].text for line in table.rows if line[2].emphasis == "bold"} == best


def test_columns_of_another_variant_n_or_split_are_not_compared(frame):
    rows = [row(model="a"), row(model="b", value=2.0, n_generated=100, n_real=100), row(model="c", variant="p=3")]
    (table,) = comparison_tables(frame(rows))
    assert len(table.header) == 5 and not any(cell.emphasis for line in table.rows for cell in line)


def test_output_belongs_to_the_model_and_likelihoods_stand_on_both_rows(frame):
    rows = [row(model="vae", variant=f"output={o};p=2", value=v) for o, v in (("mean", 1.0), ("draw", 2.0))]
    rows += [row(model="gan", value=1.5), row(model="vae", metric="elbo", variant="", value=-9, direction="max")]
    rows.append(n_a(model="gan", metric="elbo", reason="no density"))
    (table,) = comparison_tables(frame(rows))
    cells = grid(table)
    assert list(cells) == ["vae (mean)", "vae (draw)", "gan"]
    assert [line["W2"].text for line in cells.values()] == ["1", "2", "1.5"]
    assert [line["ELBO"].text for line in cells.values()] == ["-9", "-9", "n/a"]
    assert cells["vae (mean)"]["W2"].emphasis == "bold"
    assert not any(line["ELBO"].emphasis for line in cells.values())  # one model in two rows is no competition
    assert "n/a (gan): no density." in table.notes

    (table,) = comparison_tables(frame([r for r in rows if "draw" not in r["variant"]]))
    assert list(grid(table)) == ["vae", "gan"]
    assert "A sample of vae is the decoder's mean." in table.notes


def test_cells_and_seeds_tell_what_went_wrong(frame):
    rows = [*seeds([1.0, 1.2, None], model="gan"), *seeds([None] * 3, model="wgan")]
    rows += [*seeds([1.0, 1.1, 1.3], model="vae"), *seeds([5.0, 6.0], model="vae", metric="w1", variant="p=1")]
    rows += [row(model="vae", metric="w1", variant="p=1", seed=2, status="not_converged", reason="stopped early")]
    (table,) = comparison_tables(frame(rows))
    cells = grid(table)
    assert [line["seeds"].text for line in cells.values()] == ["2/3, 1 diverged", "0/3, 3 diverged", "3/3"]
    assert [line["W2"].text for line in cells.values()] == ["1.10 ± 0.14", "diverged", "1.13 ± 0.15"]
    assert [line["W1"].text for line in cells.values()] == ["–", "diverged", "5.50 ± 0.71 (2 seeds)"]
    assert "diverged (gan seed 2, wgan seed 0, wgan seed 1, wgan seed 2): loss became NaN at step 7." in table.notes
    assert "not converged (vae seed 2): stopped early." in table.notes


def test_a_model_whose_every_seed_diverged_says_so_in_every_column(frame):
    rows = [row(), row(metric="w1", variant="p=1")]
    rows += seeds([None, None], model="wgan", variant="", n_real=None, n_generated=None)
    (table,) = comparison_tables(frame(rows))
    assert [cell.text for cell in table.rows[1]] == ["wgan", "0/2, 2 diverged", "diverged", "diverged"]


def test_a_metric_that_never_has_a_value_is_a_column_unless_it_does_not_apply(frame):
    rows = [row(), row(metric="w1", variant="p=1", value=None, status="failed"), n_a(metric="elbo")]
    (table,) = comparison_tables(frame(rows))
    assert table.header[2:] == ["W1", "W2 ↓"] and grid(table)["gan"]["W1"].text == "failed"


def test_best_checkpoint_falls_back_to_final_only_for_models_without_one(frame):
    rows = [
        row(model="gan", value=5.0),
        row(model="gan", value=2.0, checkpoint="best"),
        row(model="gaussian", value=4.0),
    ]
    (final,), (best,) = (comparison_tables(frame(rows), checkpoint) for checkpoint in ("final", "best"))
    assert [line[2].text for line in final.rows] == ["5", "4"]
    assert [line[2].text for line in best.rows] == ["2", "4"]
    assert "Checkpoint: best; final where a model has no other: gaussian." in best.notes
    lost = row(model="gaussian", seed=1, value=None, status="diverged", checkpoint="best")
    (best,) = comparison_tables(frame([*rows, lost]), "best")
    assert [line[2].text for line in best.rows] == ["2", "4"]
    with pytest.raises(UserError, match="valid: final, best"):
        comparison_tables(frame(rows), "last")


def test_a_model_without_density_has_no_bound_either(frame):
    rows = [row(model="vae", metric="elbo"), n_a(model="vae", metric="log_likelihood", reason="see the bounds")]
    rows += [
        row(model="gaussian", metric="log_likelihood"),
        n_a(model="gan", metric="log_likelihood", reason="implicit"),
    ]
    (table,) = comparison_tables(frame(rows))
    assert [[cell.text for cell in line[2:]] for line in table.rows] == [["n/a", "1"], ["1", "–"], ["n/a", "n/a"]]


def test_the_largest_k_is_shown_unless_all_are_asked_for(frame):
    rows = [row(metric="iw_elbo", variant=f"K={k};representation=binarised", unit="nats") for k in (9, 50, 5000)]
    (table,), (full,) = (comparison_tables(frame(rows), all_k=asked) for asked in (False, True))
    assert table.header[2:] == ["IW-ELBO K=5000 [nats, binarised] ↓"] and len(full.header) == 5


def test_vae_diagnostics_have_their_own_table(frame):
    rows = [row(model="gan"), row(model="vae"), row(model="vae", metric="kl", variant="", direction="none")]
    rows.append(n_a(model="gan", metric="kl"))
    tables = comparison_tables(frame(rows))
    assert [table.name for table in tables] == ["digits", "digits_vae"]
    assert list(grid(tables[1])) == ["vae"] and tables[1].header == ["model", "seeds", "KL"]


def test_notes_say_how_to_read_the_table(frame):
    rows = [row(metric="frechet_distance", variant=CLASSIFIER), row(model="oracle"), row(metric="elbo", bound="lower")]
    (table,) = comparison_tables(frame(rows))
    notes = "\n".join(table.notes)
    for part in (
        "± is the standard deviation over seeds",
        "Checkpoint: final.",
        "oracle: real data",
        "n_real 360, n_generated 360, test split: FD (classifier), W2, ELBO.",
        "digest=0a1b2c3d4e5f: FD (classifier).",
        "lower bound, p=2: ELBO.",
    ):
        assert part in notes


def wide(frame):
    rows = []
    for model in ("oracle", "my_model & <b>|*co*", "wgan"):
        for j in range(14):
            rows += seeds([-1.0 * j, -2.0 * j - len(model)], model=model, metric=f"metric_{j}", direction="max")
    return frame(rows)


def test_files_hold_every_model_and_metric_and_escape_names(frame, tmp_path):
    paths = write_tables(wide(frame), tmp_path / "tables")
    assert [path.name for path in paths] == ["digits.csv", "digits.md", "digits.tex"]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == sorted(path.name for path in paths)
    as_csv, markdown, latex = (path.read_text() for path in paths)

    cells = pd.read_csv(paths[0])
    assert list(cells["model"]) == ["oracle", "my_model & <b>|*co*", "wgan"] and cells.shape == (3, 16)
    assert as_csv.startswith("model,seeds,metric 0 ↑,")

    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == 3 * 5  # six, six and two metrics
    assert all(len(re.findall(r"(?<!\\)\|", line)) == lines[0].count("|") for line in lines[:5])
    assert len({len(line) for line in lines[:5]}) == 1
    assert r"my\_model & \<b\>\|\*co\*" in markdown and "*oracle*" in markdown and "**" in markdown

    assert r"my\_model \& $<$b$>$|*co*" in latex and r"$\uparrow$" in latex and r"\textit{oracle}" in latex
    assert r"\textbf{$-$" in latex and "±" not in latex and "–" not in latex
    for begin, end in ((r"\begin{", r"\end{"), (r"\toprule", r"\bottomrule"), ("{", "}")):
        assert latex.count(begin) == latex.count(end) > 0
    for block in re.findall(r"\\begin{tabular}{(l r*)}(.*?)\\end{tabular}".replace(" ", ""), latex, re.S):
        for line in (line for line in block[1].splitlines() if line.endswith(r"\\")):
            assert len(re.findall(r"(?<!\\)&", line)) == len(block[0]) - 1


def test_latex_headings_break_before_brackets(frame, tmp_path):
    rows = frame([row(metric="elbo", unit="nats"), row(metric="precision", variant=CLASSIFIER)])
    latex = write_tables(rows, tmp_path)[2].read_text()
    assert r"\shortstack[r]{precision\\{}(classifier) $\downarrow$}" in latex
    assert r"\shortstack[r]{ELBO\\{}[nats] $\downarrow$}" in latex  # \\[nats] would be a length


@pytest.mark.parametrize("width", [70, 100, 200])
def test_the_terminal_shows_aligned_blocks_of_bounded_width(frame, width):
    text = show(wide(frame), width=width)
    assert text.startswith("demo / digits: comparison\n") and "*" in text
    assert max(map(len, text.splitlines())) <= width
    for j in range(14):
        assert f"metric {j} ↑" in text


def test_tables_are_of_one_experiment_and_the_terminal_shows_each(frame, tmp_path):
    rows = frame([row(), row(experiment="other", value=2.0)])
    with pytest.raises(UserError, match="rows of 2 experiments \\(demo, other\\)"):
        write_tables(rows, tmp_path)
    assert "demo / digits" in show(rows) and "other / digits" in show(rows)


def test_no_rows_no_tables(frame, tmp_path):
    rows = frame([])
    assert summarise(rows).empty and write_tables(rows, tmp_path / "tables") == []


def test_a_variant_is_parsed_or_refused():
    assert parse_variant("") == {} and parse_variant("K=5;note=a=b") == {"K": "5", "note": "a=b"}
    for text in ("b=1;a=2", "a=1;a=1", "a", "=1", "a=1;"):
        with pytest.raises(ValueError):
            parse_variant(text)
