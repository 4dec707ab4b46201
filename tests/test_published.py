"""Published numbers beside measured ones, and the presets of papers."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tidy_rows import row, seeds

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.schema import PublishedEntry
from deepgen_bench.report.data.experiments import ExperimentFile, file_in
from deepgen_bench.report.data.sheet import sheets
from deepgen_bench.report.tables.published import measurement, published_tables
from deepgen_bench.report.tables.write import write_tables
from deepgen_bench.runtime.errors import UserError

PAPERS = Path(__file__).parents[1] / "configs" / "papers"
REDUCED = sorted(PAPERS.glob("*_reduced.yaml"))
ENTRY = {
    "source": "Somebody 2000, table 1",
    "metric": "w2",
    "variant": {},
    "reference_split": "test",
    "values": {"toy": {"gan": [2.5, 0.5], "wgan": 1.0}},
    "spread": "published with a standard deviation",
    "differences": [{"of": "loss", "published": "one", "here": "another"}],
}


def merged(base, over):
    """As Snakemake merges configuration files."""
    both = isinstance(base, dict) and isinstance(over, dict)
    return base | {key: merged(base.get(key), value) for key, value in over.items()} if both else over


def rows_of(frame, **fields):
    return frame([*seeds([1.0, 2.0, 3.0], model="gan", **fields), *seeds([7.0], model="other", **fields)])


def test_a_published_number_stands_beside_the_mean_over_seeds(frame):
    measured = sheets(rows_of(frame), "final")
    (dataset,) = measured
    entry = ENTRY | {"values": {dataset: ENTRY["values"]["toy"]}}
    (table,) = published_tables(measured, {"somebody": PublishedEntry(**entry)})
    gan, wgan = ([cell.text for cell in line] for line in table.rows)
    assert gan == ["gan", dataset, "2.0 ± 2.5", "2.5 ± 0.5", "-0.50"]
    # not measured here
    assert wgan == ["wgan", dataset, "–", "1", "–"]
    assert "loss: published one; here another." in table.notes


def test_of_several_sizes_the_largest_is_taken(frame):
    rows = [row(model=m, value=v, n_generated=n, n_real=n) for m, v, n in (("gan", 9.0, 500), ("gan", 1.0, 1000))]
    rows.append(row(model="ext", value=5.0, n_generated=500, n_real=500))
    (sheet,) = sheets(frame(rows), "final").values()
    entry = PublishedEntry(**ENTRY)
    assert measurement(sheet, "gan", entry).mean == 1.0 and measurement(sheet, "ext", entry).mean == 5.0


def test_a_number_in_doubt_is_marked(frame):
    rows = rows_of(frame, status="not_converged")
    entry = ENTRY | {"values": {rows["dataset"].iloc[0]: {"gan": 2.5}}}
    (table,) = published_tables(sheets(rows, "final"), {"somebody": PublishedEntry(**entry)})
    assert table.rows[0][2].text.endswith(" !") and "! not converged." in table.notes


def test_the_measurement_is_the_one_asked_for(frame):
    parts = [rows_of(frame, metric="iw_elbo", variant=f"K={k};representation=binarised") for k in (10, 5000)]
    parts[1]["value"] *= 100
    measured = sheets(pd.concat(parts, ignore_index=True), "final")
    (dataset,) = measured
    for k, value in ((10, 2.0), (5000, 200.0)):
        entry = ENTRY | {"metric": "iw_elbo", "variant": {"K": k}, "values": {dataset: {"gan": 0.0}}}
        (table,) = published_tables(measured, {"somebody": PublishedEntry(**entry)})
        assert table.rows[0][2].value == value


def test_tables_are_written_with_it(frame, tmp_path):
    rows = rows_of(frame)
    entry = ENTRY | {"values": {rows["dataset"].iloc[0]: {"gan": 2.5}}}
    file = ExperimentFile(tmp_path, "demo", [], [], {"somebody": PublishedEntry(**entry)}, {}, {})
    write_tables(rows, tmp_path, file=file)
    assert "2.5" in (tmp_path / "published_somebody.md").read_text()
    assert r"\input{published_somebody.tex}" in (tmp_path / "_all.tex").read_text()
    assert file_in(tmp_path) is None


@pytest.mark.parametrize("path", REDUCED, ids=lambda path: path.stem)
def test_presets_are_valid_and_the_reduced_ones_cost_little(path):
    base = yaml.safe_load((PAPERS / path.name.replace("_reduced", "")).read_text())
    full, reduced = load_experiment(base), load_experiment(merged(base, yaml.safe_load(path.read_text())))
    assert reduced.name == f"{full.name}_reduced" == path.stem
    assert reduced.file.published == full.file.published != {}
    for dataset, entry in full.file.datasets.items():
        assert reduced.file.datasets[dataset].budget <= entry.budget / 20
    # the file says how to run the reduced preset
    assert re.search(rf"--configfile \S*{full.name}.yaml \S*{path.name}", (PAPERS / f"{full.name}.yaml").read_text())


def test_every_paper_has_a_reduced_preset():
    assert {path.stem for path in PAPERS.glob("*.yaml")} == {
        name for path in REDUCED for name in (path.stem, path.stem.replace("_reduced", ""))
    }


def test_published_models_must_be_in_the_experiment():
    base = yaml.safe_load((PAPERS / "burda2015.yaml").read_text())
    base["published"]["burda2015"]["values"]["mnist"]["gan"] = 1.0
    with pytest.raises(
        UserError, match=r"^published.burda2015.values: the model gan is not in this experiment; valid: "
    ):
        load_experiment(base)
