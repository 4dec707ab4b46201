"""Commands, files, functions and links in the documentation exist."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from deepgen_bench.cli import app
from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.store import Store

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "benchmarks/results/cpu.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
README = (ROOT / "README.md").read_text()
EXTERNAL = (ROOT / "docs" / "external.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_command_and_file_exists(page: Path) -> None:
    text = page.read_text()
    names = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    assert {name for name in re.findall(r"deepgen-bench ([a-z][a-z-]*)", text)} <= names
    for path in re.findall(r"`((?:docs|configs|tests|deepgen_bench|benchmarks|profiles)/[\w./-]+\.\w+)[`:]", text):
        assert (ROOT / path).exists(), path


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text()), target


@every_page
def test_every_experiment_file_is_valid(page: Path) -> None:
    for name in set(re.findall(r"`(configs/\w+\.yaml)`", page.read_text())):
        assert Store(load_experiment(ROOT / name)).all_measurements()


def test_the_readme_is_short_and_its_experiment_is_valid(tmp_path: Path) -> None:
    assert len(README.split()) <= 1500
    (experiment,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(experiment)
    assert Store(load_experiment(tmp_path / "mine.yaml")).all_measurements()


def test_every_function_that_scores_arrays_exists() -> None:
    (listed,) = re.findall(r"In Python every metric is (.*?)\n\n", EXTERNAL, re.DOTALL)
    names = re.findall(r"`(deepgen_bench\.[\w.]+)\.(\w+)\(", listed)
    assert len(names) > 3
    for module, function in names:
        assert callable(getattr(import_module(module), function))


def test_every_module_and_name_of_the_architecture_exists() -> None:
    named = re.findall(r"`(\w+(?:/\w+)*\.py): (\w+)(?:\.(\w+))?`", ARCHITECTURE)
    assert len(named) > 15
    for path, name, attribute in named:
        module = import_module("deepgen_bench." + path.removesuffix(".py").replace("/", "."))
        assert not attribute or hasattr(getattr(module, name), attribute), (path, name, attribute)
        assert hasattr(module, name), (path, name)
