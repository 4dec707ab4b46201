"""What the README shows works as it stands there."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import yaml

from deepgen_bench.cli import app
from deepgen_bench.config import load_experiment
from deepgen_bench.results import read_rows
from deepgen_bench.store import Store

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_model_in_the_readme_runs_through_all_stages(tmp_path: Path, monkeypatch) -> None:
    (code,) = re.findall(r"```python\n# my_package/bootstrap.py\n(.*?)```", README, re.DOTALL)
    (toml,) = re.findall(r'```toml\n\[project.entry-points."deepgen_bench.models"\]\nbootstrap = "(.*?)"\n```', README)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "bootstrap.py").write_text(code)
    (tmp_path / "my_package-1.0.dist-info").mkdir()
    (tmp_path / "my_package-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n"
    )
    (tmp_path / "my_package-1.0.dist-info" / "entry_points.txt").write_text(
        f"[deepgen_bench.models]\nbootstrap = {toml}\n"
    )
    experiment = {
        "name": "mine",
        "seeds": [0, 1],
        "samples": 300,
        "datasets": {"gaussian_ring": {"budget": 1, "settings": {"n_train": 2000, "n_test": 300}}},
        "models": {"gaussian": {}, "bootstrap": {"settings": {"bandwidth": 0.05}}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(experiment))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")

    def command(*arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "deepgen_bench", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    command("prepare", "mine.yaml", "--dataset", "gaussian_ring")
    w2 = {}
    for model in ("gaussian", "bootstrap"):
        for stage in ("train", "measure", "likelihood"):
            command(stage, "mine.yaml", "--dataset", "gaussian_ring", "--model", model, "--block", "0")
        path = tmp_path / f"results/mine/measurements/gaussian_ring/{model}/sample_0.csv"
        rows = read_rows(path)
        w2[model] = rows.loc[rows["metric"] == "w2", "value"].mean()
    assert w2["bootstrap"] < 0.75 * w2["gaussian"]  # it knows the modes, a Gaussian does not
    command("aggregate", "mine.yaml")
    command("tables", "results/mine")
    assert "bootstrap" in (tmp_path / "results/mine/tables/gaussian_ring.md").read_text()


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
