"""Commands, files and functions in the README exist."""

import re
from importlib import import_module
from pathlib import Path

from deepgen_bench.cli import app
from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.store import Store

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_command_and_file_in_the_readme_exists() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert {name for name in re.findall(r"deepgen-bench ([a-z]+)", README)} <= names
    for path in re.findall(r"(?:\]\(|`)((?:docs|configs|tests|deepgen_bench)/[\w./]+\.\w+)[)`]", README):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(configs/\w+\.yaml)`", README):
        assert Store(load_experiment(ROOT / name)).all_measurements()


def test_every_function_in_the_readme_exists() -> None:
    (listed,) = re.findall(r"In Python every metric is (.*?)\n\n", README, re.DOTALL)
    names = re.findall(r"`(?:deepgen_bench\.metrics\.|…)(\w+)\.(\w+)\(", listed)
    assert len(names) > 3
    for module, function in names:
        assert callable(getattr(import_module(f"deepgen_bench.metrics.{module}"), function))
