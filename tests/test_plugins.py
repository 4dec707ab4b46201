"""The package in docs/plugins.md, as it stands there, installed and benchmarked."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deepgen_bench.storage.results import read_rows

ROOT = Path(__file__).parents[1]
EXPERIMENT = {
    "name": "mine",
    "seeds": [0, 1],
    "samples": 300,
    "datasets": {"gaussian_ring": {"budget": 1, "settings": {"n_train": 2000, "n_test": 300}}},
    "models": {"gaussian": {}, "ppca": {}},
    "metrics": {"transport": {}},
}


class Installed:
    """A folder with the package installed beside the experiment `mine.yaml`."""

    def __init__(self, folder: Path):
        self.folder = folder
        source = folder / "deepgen-ppca"
        source.mkdir()
        text = (ROOT / "docs" / "plugins.md").read_text()
        for name, content in re.findall(r"```\w+\n# (\S+\.\w+)\n(.*?)```", text, re.DOTALL):
            (source / name).write_text(content)
        self.environment = os.environ | {"PYTHONPATH": f"{folder / 'site'}:{ROOT}"}
        pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", "site"]
        done = self.python(*pip, str(source))
        assert done.returncode == 0, done.stderr
        (folder / "mine.yaml").write_text(yaml.safe_dump(EXPERIMENT))

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)

    def command(self, *arguments: str) -> str:
        done = self.python("-m", "deepgen_bench", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("plugin"))


def test_the_package_s_model_is_listed_with_where_it_comes_from(installed: Installed) -> None:
    assert "ppca\ttractable\tdeepgen_ppca:PPCA\tdeepgen-ppca 1.0\n" in installed.command("list", "models")


def test_its_settings_are_validated_like_any_other(installed: Installed) -> None:
    wrong = EXPERIMENT | {"models": {"ppca": {"settings": {"latent_dims": 1}}}}
    (installed.folder / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    done = installed.python("-m", "deepgen_bench", "check", "wrong.yaml")
    found = "models.ppca.settings.latent_dims: unknown key; valid: latent_dim"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: wrong.yaml: {found}\n")


def test_it_is_benchmarked_like_any_other(installed: Installed) -> None:
    installed.command("check", "mine.yaml")
    installed.command("prepare", "mine.yaml", "--dataset", "gaussian_ring")
    rows = {}
    for model in ("gaussian", "ppca"):
        for stage in ("train", "measure", "likelihood"):
            installed.command(stage, "mine.yaml", "--dataset", "gaussian_ring", "--model", model, "--block", "0")
        folder = installed.folder / "results/mine/measurements/gaussian_ring" / model
        likelihood, sample = (read_rows(folder / f"{kind}_0.csv") for kind in ("likelihood", "sample"))
        rows[model] = likelihood.set_index(["seed", "metric", "reference_split"])["value"]
        assert set(sample.loc[sample["metric"] == "w2", "seed"]) == {0, 1}
    # in the plane one latent dimension and noise are the whole covariance: it is the Gaussian
    assert (rows["ppca"] - rows["gaussian"]).abs().max() < 1e-9 and len(rows["ppca"]) == 2 * 4
    installed.command("aggregate", "mine.yaml")
    installed.command("tables", "results/mine")
    assert "| ppca " in (installed.folder / "results/mine/tables/gaussian_ring.md").read_text()
