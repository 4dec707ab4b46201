"""The report in a real browser, and its numbers against the tidy table."""

import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from tidy_rows import row, seeds

from deepgen_bench.report.data.experiments import load
from deepgen_bench.report.data.figure_data import DatasetFigures, ModelFigures
from deepgen_bench.report.page.contents import contents_of
from deepgen_bench.report.page.write import write_report
from deepgen_bench.report.tables.cost import cost_table
from deepgen_bench.report.tables.wording import mean_and_error
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.results import KEY, load_results, write_rows

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# without the browser's own services, which use the network
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def home(finished):
    return finished.folder / "results" / "quick"


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("needs chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield running
        running.close()


@pytest.fixture
def opened(browser, home):
    """The page; it must log no error or warning and make no network request while it is open."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: problems.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
    )
    page.goto((home / "report.html").as_uri())
    yield page
    page.close()
    assert not problems


def draw_all(page):
    for chart in page.query_selector_all(".chart"):
        chart.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('svg'))")


def test_every_chart_and_picture_is_drawn_in_both_themes(opened):
    draw_all(opened)
    assert len(opened.query_selector_all(".chart svg")) > 8
    assert opened.evaluate("[...document.images].length") > 8
    assert opened.evaluate(
        "[...document.images].every((image) => image.complete && image.naturalWidth > 0 && image.alt)"
    )
    before = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.click("#theme")
    opened.wait_for_function(
        "[...document.querySelectorAll('.chart')].every("
        "(chart) => chart.dataset.drawn === document.documentElement.dataset.theme)"
    )
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_tables_sort_by_number_and_by_keyboard(opened):
    table = "#table-1-0"
    names = opened.eval_on_selector_all(
        f"{table} thead tr:last-child th", "heads => heads.map((head) => head.textContent)"
    )
    column = next(i for i, name in enumerate(names) if name.startswith("centred W2"))
    values = f"[...document.querySelector('{table}').tBodies[0].rows].map((row) => row.cells[{column}].dataset.value)"
    button = opened.locator(f"{table} thead tr:last-child th").nth(column).locator("button")
    button.click()
    rising = [float(value) for value in opened.evaluate(values) if value is not None]
    assert rising == sorted(rising) and len(set(rising)) > 2
    button.focus()
    opened.keyboard.press("Enter")
    falling = [float(value) for value in opened.evaluate(values) if value is not None]
    assert falling == rising[::-1]


def test_a_number_tells_what_is_behind_it(opened):
    cell = opened.locator("#table-2-0 td[data-tooltip*='extractor']").first
    cell.focus()
    tooltip = opened.locator("#tooltip")
    assert tooltip.is_visible()
    for part in ("seeds 0, 1", "extractor classifier", "n real 360, n generated 360", "test split"):
        assert part in tooltip.inner_text()
    opened.keyboard.press("Escape")
    assert not tooltip.is_visible()


def test_a_phone_shows_it_without_scrolling_sideways(browser, home):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto((home / "report.html").as_uri())
    draw_all(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_the_numbers_are_those_of_the_tidy_table(home):
    page = (home / "report.html").read_text()
    rows = load_results(home)
    summary = pd.read_csv(home / "summary.csv")
    shown = summary[(summary.checkpoint == "final") & (summary.metric == "sliced_w2") & (summary.model == "gan")]
    assert len(shown) == 2
    for line in shown.itertuples():
        assert mean_and_error(line.mean, line.ci_high - line.mean) in page
    assert set(rows["model"]) <= set(re.findall(r'<th scope="row" class="[^"]*">([^<( ]+)', page))


def test_rebuilding_needs_the_tables_and_figure_data_alone(home, tmp_path):
    """The page has the same bytes, and torch is not imported."""
    copy = tmp_path / "quick"
    copy.mkdir()
    for name in ("metrics.csv", "summary.csv", "paired.csv", "experiment.json"):
        shutil.copy(home / name, copy)
    shutil.copytree(home / "figure_data", copy / "figure_data")
    script = (
        "import sys; from deepgen_bench.cli import main; sys.argv[1:] = sys.argv[1:]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    process = subprocess.run([sys.executable, "-c", script, "report", str(copy)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    same = (copy / "report.html").read_text().replace(str(copy), "HOME")
    assert same == (home / "report.html").read_text().replace("results/quick", "HOME")
    figures = {path.suffix for path in (copy / "figures").iterdir()}
    assert figures == {".svg", ".pdf", ".png"}
    assert all(path.read_bytes().startswith(b"%PDF") for path in (copy / "figures").glob("*.pdf"))


def test_two_experiments_on_one_page(home, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(home, other)
    experiment = json.loads((other / "experiment.json").read_text())
    (other / "experiment.json").write_text(json.dumps(experiment | {"name": "other"}))
    for name in ("metrics.csv", "paired.csv"):
        (other / name).write_text((other / name).read_text().replace("quick,", "other,"))
    material = load([home, other])
    assert material.models == [
        "oracle",
        *(f"{m} · {e}" for e in ("quick", "other") for m in ("gaussian", "vae", "gan", "wgan_gp")),
    ]
    assert set(material.results.figures) == {"gaussian_ring", "digits"}
    page, *_ = write_report([home, other], tmp_path / "both.html")
    text = page.read_text()
    assert text.count("<h2>digits</h2>") == 1 and "gan · other" in text


def test_experiments_of_other_protocols_are_not_put_on_one_page(home, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(home, other)
    experiment = json.loads((other / "experiment.json").read_text())
    (other / "experiment.json").write_text(json.dumps(experiment | {"name": "other"}))
    rows = pd.read_csv(other / "metrics.csv", dtype=str, keep_default_na=False).assign(experiment="other")
    (other / "paired.csv").unlink()
    # real data were measured by one metric more
    more = rows[(rows["model"] == "oracle") & (rows["metric"] == "w2")].assign(metric="new_metric")
    pd.concat([rows, more]).to_csv(other / "metrics.csv", index=False)
    both = load([home, other]).results.rows
    of_oracle = both[(both["model"] == "oracle") & (both["dataset"] == "digits")]
    assert {"w2", "new_metric"} <= set(of_oracle["metric"]) and not of_oracle.duplicated(KEY).any()
    rows.assign(protocol_version="0").to_csv(other / "metrics.csv", index=False)
    with pytest.raises(UserError, match="quick and other: .* by protocol versions .*, 0; not comparable"):
        load([home, other])


def test_names_are_escaped(home, tmp_path):
    copy = tmp_path / "quick"
    shutil.copytree(home, copy)
    experiment = json.loads((copy / "experiment.json").read_text())
    evil = "</script><script>alert(1)</script>"
    (copy / "experiment.json").write_text(json.dumps(experiment | {"note": evil}))
    rows = (copy / "metrics.csv").read_text().replace(",gan,", ",<b onload=1>gan,")
    (copy / "metrics.csv").write_text(rows)
    text = write_report([copy])[0].read_text()
    assert evil not in text and "<b onload" not in text and "&lt;b onload=1&gt;gan" in text


def test_a_folder_without_figure_data_still_gives_tables(home, tmp_path):
    """Such a folder is a copy of the tables alone, from another machine."""
    for name in ("metrics.csv", "experiment.json"):
        shutil.copy(home / name, tmp_path)
    text = write_report([tmp_path])[0].read_text()
    assert "Every seed" in text and "Interpolations" not in text


@pytest.fixture
def folder(tmp_path):
    """`folder(name, rows)`: an experiment's folder with these measurements and nothing else."""

    def write(name, rows):
        home = tmp_path / name
        write_rows(home / "metrics.csv", [line | {"experiment": name} for line in rows])
        (home / "experiment.json").write_text(json.dumps({"name": name}))
        return home

    return write


def test_several_experiments_show_real_data_once_by_role(folder):
    one = folder("one", [row(model="real", role="oracle", value=0.1), *seeds([1.0, 1.1], model="gan")])
    other = folder("two", [row(model="oracle", value=0.2), *seeds([3.0, 3.1], model="real", role="model")])
    experiments = load([one, other])
    assert experiments.models == ["real", "gan · one", "real · two"] and experiments.real == ["real"]
    real = experiments.results.rows.query("role == 'oracle'")
    assert real["value"].tolist() == [0.1]


def test_the_headline_table_ranks_by_role(folder):
    rows = [*seeds([0.1, 0.2, 0.3], model="real", role="oracle"), *seeds([13, 14, 15, 16], model="gan")]
    rows += seeds([1, 2, 3, 4], model="oracle", role="model")
    contents = contents_of(load([folder("one", [line | {"metric": "sliced_w2"} for line in rows])]))
    cells = {line[0].model: [cell.emphasis for cell in line] for line in contents.headline.rows}
    assert cells == {"real": ["italic", "italic"], "gan": ["", ""], "oracle": ["", "bold"]}
    assert contents.sections[0].unbeaten == [("sliced W2 ↓", ["oracle"])]


def test_the_cost_table_has_trained_models_alone():
    replicate = {"seconds": 2.0, "parameters": 5, "steps": 1, "examples": 9, "together": 1, "memory_mb": {"cpu": 3.0}}
    runs = [replicate | {"platform": {"device": "cpu"}}]
    trained = {"oracle": True, "real": False, "files": False}
    models = {model: ModelFigures({"trained": value, "runs": runs}, {}) for model, value in trained.items()}
    table = cost_table("digits", DatasetFigures({}, {}, models))
    assert [line[0].text for line in table.rows] == ["oracle"] and table.full_title == "digits: cost"
