"""Average ranks over datasets."""

import pytest
from scipy.stats import friedmanchisquare
from tidy_rows import row, seeds

from deepgen_bench.report.tables.comparison import comparison_tables

MODELS = ("a", "b", "c")


def ranks(frame, rows):
    """Header, cells by model and notes of the table of ranks; None if there is none."""
    tables = [table for table in comparison_tables(frame(rows)) if table.name == "ranks"]
    if not tables:
        return None
    (table,) = tables
    return table.header, {line[0].text: [cell.text for cell in line[1:]] for line in table.rows}, table.notes


def measured(values, **cells):
    """Rows of W2 by dataset and model; None: no row."""
    return [
        row(dataset=f"d{i}", model=model, value=value, **cells)
        for i, line in enumerate(values)
        for model, value in zip(MODELS, line, strict=True)
        if value is not None
    ]


def test_ranks_are_averaged_over_datasets_and_ties_shared(frame):
    header, cells, notes = ranks(frame, measured([(1, 2, 3), (1, 1, 3), (2, 1, 3)]))
    assert header == ["model", "W2 (3 datasets)"]
    assert cells == {"a": ["1.50"], "b": ["1.50"], "c": ["3.00"]}
    assert any("fewer than 5 datasets" in note for note in notes) and not any("Friedman" in note for note in notes)


def test_two_datasets_have_no_ranks(frame):
    assert ranks(frame, measured([(1, 2, 3), (1, 1, 3)])) is None
    assert ranks(frame, measured([(1, 2, 3)] * 3, direction="none")) is None


def test_a_model_is_ranked_where_it_has_a_value_on_every_dataset_and_the_oracle_never(frame):
    rows = measured([(1, 2, 3), (3, 2, 1), (None, 2, 1)])
    rows += [row(dataset=f"d{i}", model="oracle", value=0.0) for i in range(3)]
    rows += seeds([None, None], dataset="d2", model="a")
    _, cells, _ = ranks(frame, rows)
    assert cells == {"b": ["1.67"], "c": ["1.33"]}


def test_a_model_labelled_oracle_is_ranked_and_real_data_of_another_label_are_not(frame):
    rows = measured([(1, 2, 3)] * 3)
    for line in rows:
        line |= {"a": {"role": "oracle"}, "b": {"model": "oracle", "role": "model"}}.get(line["model"], {})
    _, cells, _ = ranks(frame, rows)
    assert cells == {"oracle": ["1.00"], "c": ["2.00"]}


def test_larger_is_better_where_it_is_so(frame):
    rows = measured([(1, 2, 3)] * 3) + measured([(1, 2, 3)] * 3, metric="precision", direction="max", variant="")
    header, cells, _ = ranks(frame, rows)
    assert header[1:] == ["precision (3 datasets)", "W2 (3 datasets)"]
    assert cells == {"a": ["3.00", "1.00"], "b": ["2.00", "2.00"], "c": ["1.00", "3.00"]}


def test_bounds_have_no_rank(frame):
    rows = measured([(1, 2, 3)] * 3, metric="elbo", direction="max", bound="exact")
    assert ranks(frame, rows)[1]["c"] == ["1.00"]
    rows[0]["bound"] = "lower"
    assert ranks(frame, rows) is None
    assert ranks(frame, [row | {"bound": "lower"} for row in rows]) is None


def test_of_two_kinds_of_sample_the_decoders_mean_is_ranked(frame):
    rows = measured([(1, 2, 3)] * 3)
    for line in rows[:3]:
        if line["model"] == "a":
            line["variant"] = "output=draw;p=2"
            rows.append(line | {"variant": "output=mean;p=2", "value": 9.0})
    assert ranks(frame, rows)[1]["a"] == ["1.67"]


def test_five_datasets_have_friedmans_test(frame):
    values = [(1, 2, 3), (1, 3, 2), (1, 2, 3), (1, 2, 3), (2, 1, 3)]
    _, _, notes = ranks(frame, measured(values) + measured(values, metric="w1"))
    p = 2 * friedmanchisquare(*zip(*values, strict=True)).pvalue
    assert notes[-1].endswith(f"correction for 2: W1 p = {p:.2g}, W2 p = {p:.2g}.")
    assert p == pytest.approx(2 * 0.0408, rel=1e-2)  # Q = 12 (36 + 100 + 196) / 60 - 60 = 6.4
