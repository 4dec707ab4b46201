"""Comparison tables: their cells, layout, notes and files."""

import math
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tidy_rows import CLASSIFIER, n_a, row, seeds

from deepgen_bench.report.data.metrics import NAMES
from deepgen_bench.report.data.summary import summarise
from deepgen_bench.report.tables.comparison import comparison_tables
from deepgen_bench.report.tables.render import Cell, Table, to_latex, to_markdown
from deepgen_bench.report.tables.write import show, write_tables
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.keys import Variant


def grid(table):
    """Cells by model and heading (without arrow)."""
    names = [re.sub(" [↑↓]$", "", name) for name in table.header]
    return {line[0].text: dict(zip(names, line, strict=True)) for line in table.rows}


def test_rows_keep_the_order_of_the_results_and_the_oracle_comes_first(frame):
    (table,) = comparison_tables(frame([row(model="wgan"), row(model="gan"), row(model="oracle"), row(model="ar")]))
    assert [line[0].text for line in table.rows] == ["oracle", "wgan", "gan", "ar"]
    assert all(cell.emphasis == "italic" for cell in table.rows[0])


def test_the_best_is_bold_but_never_the_oracle_an_unranked_column_or_a_lone_model(frame):
    rows = [*seeds([0.1, 0.2, 0.3], model="oracle"), *seeds([13, 14, 15, 16], model="gan")]
    rows += seeds([1, 2, 3, 4], model="wgan")
    for metric, features, direction in (
        ("precision", CLASSIFIER, "max"),
        ("frechet_distance", "extractor=data", "none"),
    ):
        for model, base in (("gan", 18), ("wgan", 1)):
            values = [base, base + 1, base + 2, base + 3]
            rows += seeds(values, model=model, metric=metric, variant=features, direction=direction)
    rows += seeds([3, 4, 5], model="wgan", metric="sliced_w2")
    (table,) = comparison_tables(frame(rows))
    lead = ["model", "seeds", "diverged"]
    assert table.header == [*lead, "FD (data)", "precision (classifier) ↑", "W2 ↓", "sliced W2 ↓"]
    cells = grid(table)
    bold = {(m, name) for m, line in cells.items() for name, cell in line.items() if cell.emphasis == "bold"}
    assert bold == {("wgan", "W2"), ("gan", "precision (classifier)")}
    assert cells["gan"]["sliced W2"].text == "–" and cells["wgan"]["W2"].text == "2.5 ± 2.1"
    assert any("column by column at 5 %" in note for note in table.notes)


def roles(frame):
    """Real data labelled `real`, and two models, of which one is labelled `oracle`."""
    rows = [*seeds([0.1, 0.2, 0.3], model="real", role="oracle"), *seeds([13, 14, 15, 16], model="gan")]
    return frame(rows + seeds([1, 2, 3, 4], model="oracle", role="model"))


def test_real_data_are_known_by_their_role_and_not_by_their_label(frame):
    (table,) = comparison_tables(roles(frame))
    assert [[cell.emphasis for cell in (line[0], line[3])] for line in table.rows] == [
        ["italic", "italic"],
        ["", ""],
        ["", "bold"],
    ]
    assert [line[0].text for line in table.rows] == ["real", "gan", "oracle"]
    assert any(note.startswith("real: real data in place of samples") for note in table.notes)


def test_the_reasons_of_failed_jobs_are_all_given_and_of_diverged_replicates_the_first(frame):
    lost = {"value": None, "model": "wgan"}
    rows = seeds([1.0, 1.1], model="gan")
    rows += [
        row(seed=k, status="failed", reason=text, **lost) for k, text in enumerate(["out of memory", "not finished"])
    ]
    rows += [row(seed=k, status="diverged", reason=f"loss not finite at step {k}", **lost) for k in (2, 3)]
    (table,) = comparison_tables(frame(rows))
    assert {"failed (wgan seed 0): out of memory.", "failed (wgan seed 1): not finished."} <= set(table.notes)
    diverged = "loss not finite at step 2 (and 1 similar reason, see metrics.csv)"
    assert f"diverged (wgan seeds 2, 3): {diverged}." in table.notes


def test_notes_describe_estimators_in_words(frame):
    laplace = "estimator=laplace;estimator_draws=1000;estimator_starts=8"
    cells = {"metric": "log_likelihood", "direction": "max"}
    rows = [row(model="gan", variant=laplace, bound="lower", **cells)]
    rows += [row(model="gmm", variant="estimator=closed_form", bound="exact", **cells)]
    rows += [row(model="new", variant="estimator=mine;estimator_steps=5", **cells)]
    (table,) = comparison_tables(frame(rows))
    gan = "importance sampling at 8 Laplace modes with 1000 draws (lower bound): gan"
    assert f"log-likelihood by {gan}; closed form (exact): gmm; mine(steps=5) (estimate): new." in table.notes
    assert table.rows[0][3].tooltip.splitlines()[1].startswith("lower bound, importance sampling at 8")
    codes = list(summarise(frame(rows))["estimator"])
    assert codes == ["laplace(draws=1000,starts=8)", "closed_form", "mine(steps=5)"]


def test_one_seed_is_no_competition(frame):
    (table,) = comparison_tables(frame([row(model="gan"), row(model="wgan", value=2.0)]))
    assert [cell.text for cell in table.rows[0]] == ["gan", "1", "0", "1"]
    assert not any(cell.emphasis for line in table.rows for cell in line)
    assert "Nothing is bold: too few models with at least two seeds to compare." in table.notes


def test_what_cannot_be_a_density_beats_nothing(frame):
    rows = []
    for model, value, status in (("ext", 4.8, "suspect"), ("gmm", -0.2, "ok"), ("flow", -0.25, "ok")):
        cells = {"model": model, "metric": "log_likelihood", "direction": "max", "std_error": 0.1, "status": status}
        rows += [row(value=value + k / 100, seed=k, **cells) for k in range(3)]
    (table,) = comparison_tables(frame(rows))
    column = {model: line["log-likelihood"].emphasis for model, line in grid(table).items()}
    assert column == {"ext": "", "gmm": "bold", "flow": "bold"}
    assert "Not compared, suspect: ext in log-likelihood." in table.notes


def test_a_density_that_is_zero_somewhere_gains_nothing_by_it(frame):
    cells = {"metric": "log_likelihood", "direction": "max", "std_error": 0.1}
    rows = seeds([-1.0, -1.01, -math.inf], model="ext", **cells)
    rows += seeds([-3.0, -3.01, -3.02], model="gmm", **cells)
    rows += seeds([-3.0, -3.01, -3.02], model="kde", **cells)
    (table,) = comparison_tables(frame(rows))
    column = {model: line["log-likelihood"] for model, line in grid(table).items()}
    assert column["ext"].text == "-inf" and {m: c.emphasis for m, c in column.items()}["ext"] == ""
    assert column["gmm"].emphasis == "bold"


def test_the_gap_of_likelihoods_varies_with_the_examples_too(frame):
    rows = [
        row(model="gmm", metric="train_test_gap", value=0.1, direction="none", std_error=0.2, seed=k) for k in "012"
    ]
    table = comparison_tables(frame(rows))[-1]
    assert grid(table)["gmm"]["train − test"].text == f"0.10 ± {0.2 * stats.t.ppf(0.975, 359):.2f}"


def test_a_column_has_one_verdict_in_every_table(frame):
    """The result of the main table."""
    rows = []
    for j in range(20):
        for model, shift in (("a", 0.0), ("b", 0.3)):
            values = [v + shift * (j == 0) for v in (1.0, 1.1, 0.9, 1.05)]
            metric = "log_likelihood" if j == 0 else f"metric_{j}"
            rows += seeds(values, model=model, metric=metric, direction="max", std_error=0.01)
    rows += [row(model=m, metric="parzen", direction="none", seed=k) for m in "ab" for k in range(4)]
    main, parzen = comparison_tables(frame(rows))
    verdicts = [{m: line["log-likelihood"].emphasis for m, line in grid(t).items()} for t in (main, parzen)]
    assert verdicts[0] == verdicts[1] == {"a": "", "b": "bold"}


def test_an_exact_value_is_not_taken_for_a_bound_at_a_smaller_k(frame):
    rows = [row(model="vae", metric="bits_per_dim", variant="", value=2.0, bound="exact")]
    rows += [
        row(model="vae", metric="bits_per_dim", variant=f"K={k}", value=v, bound="upper") for k, v in ((1, 3), (9, 2.5))
    ]
    (table,) = comparison_tables(frame(rows))
    assert [cell.text for cell in table.rows[0][3:]] == ["2", "≤ 2.5"]


@pytest.mark.parametrize("name", NAMES.values())
def test_every_heading_is_plain_in_latex(name):
    table = Table("t", name, ["model", name], [[Cell("a"), Cell("≥ 1 ± 2")]], [f"{name}: note."], ["x"])
    assert to_latex(table).isascii()


def test_where_nothing_is_ranked_nothing_is_said_of_bold(frame):
    rows = [row(model=m, metric="w1", variant="p=1", direction="none", seed=k) for m in ("a", "b") for k in range(3)]
    (table,) = comparison_tables(frame(rows))
    assert not any("bold" in note.lower() for note in table.notes)


def test_a_table_in_which_no_number_leads_can_be_written(frame):
    """Two bounds are no better than the exact value of a model with one seed, which is not tested."""
    rows = [row(model="once", value=3.0, direction="max", bound="exact", metric="score")]
    for model, value in (("a", 3.0), ("b", 2.0)):
        cells = {"model": model, "direction": "max", "bound": "lower", "metric": "score"}
        rows += seeds([value - 0.01, value, value + 0.01], **cells)
    (table,) = comparison_tables(frame(rows))
    assert not any(cell.emphasis for line in table.rows for cell in line)


def test_parzen_windows_stand_beside_the_likelihood_that_they_misrank(frame):
    rows = []
    for model, right, parzen in (("kde", 34.0, 15.7), ("flow", 90.0, 7.1)):
        rows.append(row(model=model, metric="log_likelihood", value=right, direction="max", bound="exact"))
        rows.append(row(model=model, metric="parzen", value=parzen, direction="none"))
    _, table = comparison_tables(frame(rows))
    assert (table.name, table.header[3:]) == ("digits_parzen", ["log-likelihood ↑", "Parzen"])


def test_columns_of_another_variant_n_or_split_are_not_compared(frame):
    rows = [row(model="a"), row(model="b", value=2.0, n_generated=100, n_real=100), row(model="c", variant="p=3")]
    (table,) = comparison_tables(frame(rows))
    assert len(table.header) == 6 and not any(cell.emphasis for line in table.rows for cell in line)


def test_output_belongs_to_the_model_and_likelihoods_stand_on_both_rows(frame):
    rows = []
    for seed, noise in enumerate((-0.001, 0.001, 0.0, -0.001, 0.001)):
        for output, value in (("mean", 1.0), ("draw", 2.0)):
            rows.append(row(model="vae", variant=f"output={output};p=2", value=value + noise, seed=seed))
        rows.append(row(model="gan", value=1.5 + noise, seed=seed))
        rows.append(row(model="vae", metric="elbo", variant="", value=-9, direction="max", seed=seed))
    rows.append(n_a(model="gan", metric="elbo", reason="no density"))
    (table,) = comparison_tables(frame(rows))
    cells = grid(table)
    assert list(cells) == ["vae (mean)", "vae (draw)", "gan"]
    assert [line["W2"].text for line in cells.values()] == ["1.0000 ± 0.0012", "2.0000 ± 0.0012", "1.5000 ± 0.0012"]
    assert [line["ELBO"].text for line in cells.values()] == ["-9 ± 0", "-9 ± 0", "n/a"]
    assert [line["W2"].emphasis for line in cells.values()] == ["bold", "", ""]
    assert not any(line["ELBO"].emphasis for line in cells.values())  # one model in two rows is no competition
    assert "n/a (gan): no density." in table.notes

    (table,) = comparison_tables(frame([r for r in rows if "draw" not in r["variant"]]))
    assert list(grid(table)) == ["vae", "gan"]
    assert "A sample of vae is the decoder's mean." in table.notes


def test_bounds_have_a_sign_and_are_bold_only_above_the_values(frame):
    noise = np.array([-0.01, 0.0, 0.01, 0.02])
    likelihoods = {"gmm": (50, "exact"), "flow": (90, "exact"), "wgan": (40, "lower"), "vae": (100, "lower")}
    rows = []
    for model, (value, bound) in likelihoods.items():
        cells = {"model": model, "metric": "log_likelihood", "direction": "max", "bound": bound, "std_error": 0.01}
        rows += seeds(list(value + noise), **cells)
    cells = grid(comparison_tables(frame([r for r in rows if r["model"] != "vae"]))[0])
    column = {model: line["log-likelihood"] for model, line in cells.items()}
    assert {model: cell.emphasis for model, cell in column.items()} == {"gmm": "", "flow": "bold", "wgan": ""}
    assert column["wgan"].text.startswith("≥ 40.0") and column["flow"].text.startswith("90.0")
    (table,) = comparison_tables(frame(rows))
    assert [model for model, line in grid(table).items() if line["log-likelihood"].emphasis] == ["vae"]
    (note,) = [note for note in table.notes if note.startswith("≥, ≤:")]
    assert "The model of a bound that is not bold need not be worse." in note
    assert not any("≥" in note for note in comparison_tables(frame(rows[:8]))[0].notes)


def test_cells_and_seeds_tell_what_went_wrong(frame):
    rows = [*seeds([1.0, 1.2, None], model="gan"), *seeds([None] * 3, model="wgan")]
    rows += [*seeds([1.0, 1.1, 1.3], model="vae"), *seeds([5.0, 6.0], model="vae", metric="w1", variant="p=1")]
    lost = {"value": None, "status": "not_converged", "reason": "stopped early"}
    rows += [row(model="vae", metric="w1", variant="p=1", seed=2, **lost)]
    rows += [row(model="gan", metric="w1", variant="p=1", seed=0, **lost)]
    (table,) = comparison_tables(frame(rows))
    cells = grid(table)
    assert [line["seeds"].text for line in cells.values()] == ["2", "0", "3"]
    assert [line["diverged"].text for line in cells.values()] == ["1", "3", "0"]
    assert [line["W2"].text for line in cells.values()] == ["1.1 ± 1.3", "diverged", "1.13 ± 0.38"]
    assert [line["W1"].text for line in cells.values()] == ["not converged", "diverged", "5.5 ± 6.4 ! (2 seeds)"]
    assert "diverged (gan seed 2, wgan seeds 0, 1, 2): loss became NaN at step 7." in table.notes
    assert "! not converged (vae seed 2): stopped early." in table.notes
    assert "not converged (gan seed 0): stopped early." in table.notes


def test_doubtful_values_are_marked_and_explained_once(frame):
    rows = seeds([1.0, 1.2, 1.4], model="vae") + seeds([2.0, 2.2, 2.4], model="gan")
    for i, line in enumerate(rows[:3]):
        line |= {"status": "suspect", "reason": f"{0.5 + i} % of the samples are copies"}
    rows[4] |= {"status": "not_converged", "reason": "the bound still rises"}
    (table,) = comparison_tables(frame(rows))
    cells = grid(table)
    assert [line["W2"].text for line in cells.values()] == ["1.20 ± 0.50 ?", "2.20 ± 0.50 !"]
    assert (
        "? suspect (vae seeds 0, 1, 2): 0.5 % of the samples are copies (and 2 similar reasons, see metrics.csv)."
        in table.notes
    )
    assert "! not converged (gan seed 1): the bound still rises." in table.notes
    assert [line["seeds"].text for line in cells.values()] == ["3", "3"]


def test_a_model_whose_every_seed_diverged_says_so_in_every_column(frame):
    rows = [row(), row(metric="w1", variant="p=1")]
    rows += seeds([None, None], model="wgan", variant="", n_real=None, n_generated=None)
    (table,) = comparison_tables(frame(rows))
    assert [cell.text for cell in table.rows[1]] == ["wgan", "0", "2", "diverged", "diverged"]
    (table,) = comparison_tables(frame(rows[2:]))
    assert [cell.text for cell in table.rows[0]] == ["wgan", "0", "2", "diverged"]


def test_a_seed_that_diverged_does_not_hide_that_a_metric_does_not_apply(frame):
    rows = [row(model="vae", metric="elbo"), n_a(metric="log_likelihood", seed=0, reason="implicit")]
    rows += seeds([1.0, None], metric="w2")
    rows.append(n_a(metric="log_likelihood", seed=1) | {"status": "diverged"})
    (table, *_) = comparison_tables(frame(rows))
    assert grid(table)["gan"]["ELBO"].text == "n/a"


def test_a_metric_that_never_has_a_value_is_a_column_unless_it_does_not_apply(frame):
    rows = [row(), row(metric="w1", variant="p=1", value=None, status="failed"), n_a(metric="elbo")]
    (table,) = comparison_tables(frame(rows))
    assert table.header[3:] == ["W1", "W2 ↓"] and grid(table)["gan"]["W1"].text == "failed"


def test_best_checkpoint_falls_back_to_final_only_for_models_without_one(frame):
    rows = [
        row(model="gan", value=5.0),
        row(model="gan", value=2.0, checkpoint="best"),
        row(model="gaussian", value=4.0),
    ]
    (final,), (best,) = (comparison_tables(frame(rows), checkpoint) for checkpoint in ("final", "best"))
    assert [line[3].text for line in final.rows] == ["5", "4"]
    assert [line[3].text for line in best.rows] == ["2", "4"]
    assert "Checkpoint: best; final for models without another one: gaussian." in best.notes
    lost = row(model="gaussian", seed=1, value=None, status="diverged", checkpoint="best")
    (best,) = comparison_tables(frame([*rows, lost]), "best")
    assert [line[3].text for line in best.rows] == ["2", "4"]
    with pytest.raises(UserError, match="valid: final, best"):
        comparison_tables(frame(rows), "last")


def test_a_model_without_density_has_no_bound_either(frame):
    rows = [row(model="vae", metric="elbo"), n_a(model="vae", metric="log_likelihood", reason="see the bounds")]
    rows += [
        row(model="gaussian", metric="log_likelihood"),
        n_a(model="gan", metric="log_likelihood", reason="implicit"),
    ]
    (table,) = comparison_tables(frame(rows))
    assert [[cell.text for cell in line[3:]] for line in table.rows] == [["n/a", "1"], ["1", "–"], ["n/a", "n/a"]]


def test_the_main_table_has_the_largest_k_and_the_vae_table_all(frame):
    rows = [row(metric="iw_elbo", variant=f"K={k};representation=binarised", unit="nats") for k in (50, 9, 5000)]
    main, vae = comparison_tables(frame(rows))
    assert main.header[3:] == ["IW-ELBO K=5000 [nats, binarised] ↓"] and vae.name == "digits_latent"
    assert vae.header[3:] == [f"IW-ELBO K={k} [nats, binarised] ↓" for k in (9, 50, 5000)]
    assert [table.name for table in comparison_tables(frame(rows[2:]))] == ["digits"]


def test_the_main_table_has_the_largest_n_and_another_all(frame):
    sized = [(metric, n) for n in (360, 180, 90) for metric in ("frechet_distance", "kernel_distance")]
    rows = [row(metric=m, variant=CLASSIFIER, n_real=n, n_generated=n) for m, n in sized]
    rows += [row(metric="frechet_distance_infinity", variant=CLASSIFIER), row()]
    main, by_size = comparison_tables(frame(rows))
    fd, kid = "FD (classifier)", "KID (classifier)"
    assert main.header[3:] == [f"{fd} ↓", "FD∞ (classifier) ↓", f"{kid} ↓", "W2 ↓"]
    assert by_size.name == "digits_sample_size"
    names = [*(f"{fd} (n={n}) ↓" for n in (90, 180, 360)), "FD∞ (classifier) ↓"]
    assert by_size.header[3:] == [*names, *(f"{kid} (n={n}) ↓" for n in (90, 180, 360))]


def test_a_value_is_never_hidden_for_a_larger_n_that_its_model_lacks(frame):
    rows = [row(model="gan", n_real=n) for n in (100, 360)] + [row(model="oracle", n_real=100)]
    (table,) = comparison_tables(frame(rows))
    assert len(table.header) == 5


def test_what_is_held_against_the_training_data_has_its_own_table(frame):
    rows = [row(), row(metric="nn_auc", variant=""), row(metric="copied", variant="", reference_split="train")]
    rows += [row(model="gaussian", reference_split="train"), row(model="gaussian")]
    main, apart = comparison_tables(frame(rows))
    assert main.header[3:] == ["W2 ↓"] and apart.name == "digits_memorisation"
    assert apart.header[3:] == ["W2 [train split]", "NN AUC ↓", "copied [train split] ↓"]


def test_vae_diagnostics_have_their_own_table(frame):
    rows = [row(model="gan"), row(model="vae"), row(model="vae", metric="kl", variant="", direction="none")]
    rows += [n_a(model="gan", metric="kl"), row(model="vae", metric="pareto_k", variant="", direction="none")]
    tables = comparison_tables(frame(rows))
    assert [table.name for table in tables] == ["digits", "digits_latent"]
    assert list(grid(tables[1])) == ["vae"] and tables[1].header[3:] == ["KL", "Pareto k"]


def test_a_model_with_two_kinds_of_sample_has_one_row_where_they_do_not_matter(frame):
    rows = [row(model="vae", variant=f"output={output};p=2") for output in ("draw", "mean")]
    rows += [row(model="vae", metric="kl", variant="", direction="none")]
    main, vae = comparison_tables(frame(rows))
    assert list(grid(main)) == ["vae (draw)", "vae (mean)"] and list(grid(vae)) == ["vae"]
    rows += [
        row(model="vae", metric="copied", variant="output=draw"),
        row(model="vae", metric="copied", variant="output=mean"),
    ]
    *_, apart = comparison_tables(frame(rows))
    assert list(grid(apart)) == ["vae (draw)", "vae (mean)"]


def test_notes_say_how_to_read_the_table(frame):
    rows = [row(metric="frechet_distance", variant=CLASSIFIER), row(model="oracle"), row(metric="elbo", bound="lower")]
    (table,) = comparison_tables(frame(rows))
    notes = "\n".join(table.notes)
    for part in (
        "over seeds, and over test examples where they are known to matter",
        "↑: larger is better. ↓: smaller is better. No arrow: not ranked.",
        "Checkpoint: final.",
        "oracle: real data",
        "n_real 360, n_generated 360, test split: all columns.",
        "digest=0a1b2c3d4e5f: FD (classifier).",
        "lower bound, p=2: ELBO.",
    ):
        assert part in notes


def wide(frame):
    rows = []
    for model in ("oracle", "my_model & <b>|*co*", "wgan"):
        for j in range(14):
            values = [k * 1e-5 - j - len(model) for k in range(3)]
            rows += seeds(values, model=model, metric=f"metric_{j}", direction="max")
    return frame(rows)


def test_files_hold_every_model_and_metric_and_escape_names(frame, tmp_path):
    paths = write_tables(wide(frame), tmp_path / "tables")
    of_seeds = [f"digits_seeds.{suffix}" for suffix in ("csv", "md", "tex")]
    assert [path.name for path in paths] == ["digits.csv", "digits.md", "digits.tex", *of_seeds, "_all.tex"]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == sorted(path.name for path in paths)
    as_csv, markdown, latex = (path.read_text() for path in paths[:3])

    cells = pd.read_csv(paths[0])
    assert list(cells["model"]) == ["oracle", "my_model & <b>|*co*", "wgan"] and cells.shape == (3, 17)
    assert as_csv.startswith("model,seeds,diverged,metric 0 ↑,")

    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == 3 * 5  # in three blocks of four or five metrics
    assert all(len(re.findall(r"(?<!\\)\|", line)) == lines[0].count("|") for line in lines[:5])
    assert len({len(line) for line in lines[:5]}) == 1
    assert r"my\_model \& \<b\>\|\*co\*" in markdown and "*oracle*" in markdown and "**" in markdown

    assert r"my\_model \& $<$b$>$|*co*" in latex and r"$\uparrow$" in latex and r"\textit{oracle}" in latex
    assert r"\textbf{$-$" in latex and "±" not in latex and "–" not in latex
    for begin, end in ((r"\begin{", r"\end{"), (r"\toprule", r"\bottomrule"), ("{", "}")):
        assert latex.count(begin) == latex.count(end) > 0
    for block in re.findall(r"\\begin{tabular}{(l r*)}(.*?)\\end{tabular}".replace(" ", ""), latex, re.S):
        for line in (line for line in block[1].splitlines() if line.endswith(r"\\")):
            assert len(re.findall(r"(?<!\\)&", line)) == len(block[0]) - 1


def test_blocks_do_not_mix_what_metrics_tell(frame):
    metrics = ["elbo", *("precision", "recall", "density"), *("w1", "w2", "sliced_w2"), *("mmd", "c2st")]
    (table,) = comparison_tables(frame([row(metric=metric) for metric in metrics]))
    blocks = [line for line in to_markdown(table).splitlines() if line.startswith("| model")]
    names = [[part.strip(" ↓") for part in block.split("|")[4:-1]] for block in blocks]
    assert names == [["ELBO"], ["precision", "recall", "density"], ["W1", "W2", "sliced W2"], ["MMD", "C2ST"]]
    assert to_markdown(table, columns=9).count("| model") == 1
    parts = [line for line in to_markdown(table, columns=2).splitlines() if line.startswith("| model")]
    assert len(parts) == 1 + 2 + 2 + 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles_as_it_stands(frame, tmp_path):
    write_tables(wide(frame), tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "_all.tex"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout[-2000:]
    assert (tmp_path / "_all.pdf").read_bytes().startswith(b"%PDF")


def test_latex_headings_break_before_brackets(frame, tmp_path):
    rows = frame([row(metric="elbo", unit="nats"), row(metric="precision", variant=CLASSIFIER)])
    latex = write_tables(rows, tmp_path)[2].read_text()
    assert r"\shortstack[r]{precision\\{}(classifier) $\downarrow$}" in latex
    assert r"\shortstack[r]{ELBO\\{}[nats] $\downarrow$}" in latex  # \\[nats] would be a length


@pytest.mark.parametrize("width", [70, 100, 200])
def test_the_terminal_shows_aligned_blocks_of_bounded_width(frame, width):
    text = show(wide(frame), width=width)
    assert text.count("half-width") == 1
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
    assert Variant.parse("").pairs == {} and Variant.parse("K=5;note=a=b").pairs == {"K": "5", "note": "a=b"}
    for text in ("b=1;a=2", "a=1;a=1", "a", "=1", "a=1;"):
        with pytest.raises(ValueError):
            Variant.parse(text)


def test_two_or_three_seeds_are_said_to_be_too_few(frame):
    def warns(seeds_per_model):
        rows = [
            r
            for model, shift in (("a", 0), ("b", 5))
            for r in seeds([shift + k for k in range(seeds_per_model)], model=model)
        ]
        return f"{seeds_per_model} seeds are too few" in " ".join(comparison_tables(frame(rows))[0].notes)

    assert warns(2) and warns(3) and not warns(4) and not warns(1)
