"""What numbers come from: code, seeds, files, a commit and names of the registry."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from itertools import combinations
from pathlib import Path
from typing import Any

import closures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deepgen_bench
from deepgen_bench.experiment.identity import closure, code_identity, parse
from deepgen_bench.plugins import METRICS, MODELS, Registry
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.seeds import derive_rng, derive_seed
from deepgen_bench.storage.files import (
    canonical_json,
    read_array,
    read_json,
    remove_parts,
    sha256_of,
    write_array,
    write_atomic,
    write_json,
)

# code


class Package:
    """A package on disk: `top` imports `middle`, which imports `bottom` and `parts.nested`; `other` stands alone."""

    sources = {
        "__init__": "",
        "top": '"""Top."""\nfrom zoo.middle import f\n\nclass C:\n    """Class."""\n\n    x = 1\n    """Attribute."""\n'
        '\n    def method(self):\n        """Method."""\n        return f(self.x)\n',
        "middle": "from typing import TYPE_CHECKING\nfrom . import bottom\nfrom .parts import nested\n"
        "if TYPE_CHECKING:\n    from zoo import typing_only\n\ndef f(x):\n    import zoo.late\n    return x\n",
        "bottom": "CONSTANT = 1\n",
        "late": "CONSTANT = 1\n",
        "parts/__init__": "",
        "parts/nested": "from ..far import CONSTANT\n",
        "far": "CONSTANT = 1\n",
        "typing_only": "CONSTANT = 1\n",
        "other": "CONSTANT = 1\n",
    }

    def __init__(self, folder: Path):
        self.folder = folder / "zoo"
        for name, source in self.sources.items():
            self.write(name, source)

    def write(self, name: str, source: str) -> None:
        path = self.folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)

    def identity(self) -> str:
        """As a new process would see it."""
        code_identity.cache_clear()
        parse.cache_clear()
        return code_identity("zoo.top")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.syspath_prepend(tmp_path)
    return Package(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("top", "    x = 1\n", "    # why\n    x = 1  # how\n\n\n"),
        ("top", '"""Method."""', '"""Another docstring."""'),
        ("top", '    """Class."""\n', ""),
        ("top", '"""Attribute."""', '"""Another docstring."""'),
        ("top", "from zoo.middle import f", "from zoo.middle import (\n    f,\n)"),
        ("bottom", "CONSTANT = 1", '"""New docstring."""\nCONSTANT = 1'),
        ("other", "1", "2"),
        ("typing_only", "1", "2"),
    ],
)
def test_what_changes_no_number_leaves_the_identity(name: str, old: str, new: str, package: Package) -> None:
    before = package.identity()
    assert old in package.sources[name]
    package.write(name, package.sources[name].replace(old, new))
    assert package.identity() == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("top", "x = 1", "x = 2"),
        ("top", "f(self.x)", "f(-self.x)"),
        ("top", "x = 1", "x = 'text'"),
        ("bottom", "1", "2"),  # from a package import a module
        ("parts/nested", "CONSTANT", "CONSTANT as other"),  # a module of a relative package
        ("far", "1", "2"),  # two levels up
        ("late", "1", "2"),  # imported inside a function
    ],
)
def test_what_may_change_a_number_changes_the_identity(name: str, old: str, new: str, package: Package) -> None:
    before = package.identity()
    assert old in package.sources[name]
    package.write(name, package.sources[name].replace(old, new))
    assert package.identity() != before


def test_outside_code_depends_on_this_package_too_and_nothing_is_imported(package: Package) -> None:
    before = package.identity()
    package.write("top", package.sources["top"] + "from deepgen_bench.models.deep import Networks\n")
    after = package.identity()
    package.write("top", package.sources["top"] + "from deepgen_bench.runtime.errors import Networks\n")
    assert len({before, after, package.identity()}) == 3
    imported = {each.module for each in parse("zoo.top", package.folder / "top.py").imports}
    assert {"zoo.middle", "deepgen_bench.runtime.errors"} <= imported
    assert "zoo" not in sys.modules


def test_moving_a_module_leaves_the_identity(package: Package) -> None:
    before = package.identity()
    package.write("elsewhere/renamed", package.sources["bottom"])
    package.write("elsewhere/__init__", "")
    (package.folder / "bottom.py").unlink()
    middle = package.sources["middle"].replace("from . import bottom", "from .elsewhere import renamed as bottom")
    package.write("middle", middle)
    assert package.identity() == before


def test_the_order_of_imports_leaves_the_identity(package: Package) -> None:
    before = package.identity()
    first, second = "from . import bottom\n", "from .parts import nested\n"
    package.write("middle", package.sources["middle"].replace(first + second, second + first))
    assert package.identity() == before


def test_importing_another_module_changes_the_identity(package: Package) -> None:
    before = package.identity()
    package.write("other", "CONSTANT = 2\n")
    package.write("parts/nested", "from ..other import CONSTANT\n")
    assert package.identity() != before


def test_modules_that_import_each_other_have_an_identity(package: Package) -> None:
    before = package.identity()
    package.write("bottom", "import zoo.top\nCONSTANT = 1\n")
    assert package.identity() != before


def test_closures_are_as_pinned() -> None:
    """A new import that makes a stage run again for more reasons than before shows here."""
    pinned = json.loads(closures.FILE.read_text())
    assert closures.closures() == pinned, "if the change is wanted, run: python tests/closures.py"


def test_built_in_code_is_followed_to_the_bottom() -> None:
    def modules(name: str) -> set[str]:
        return {module.removeprefix("deepgen_bench.") for module in closure(name)}

    assert {"models.deep", "models.networks", "training.loop", "training.batches", "runtime.seeds"} <= modules(
        "deepgen_bench.models.vae.model"
    )
    fidelity = modules("deepgen_bench.metrics.features.fidelity")
    assert {"metrics.features.frechet", "metrics.arrays", "metrics.context"} <= fidelity
    for name in MODELS:  # a model does not depend on the metrics, nor a metric on the models
        used = modules(MODELS[name].implementation.split(":")[0])
        assert not [module for module in used if module.startswith(("metrics", "report", "stages"))]
    for name in METRICS:
        used = modules(METRICS.target(name).split(":")[0]) - {"models.classical.kernel_density"}
        assert not [module for module in used if module.startswith(("models", "training", "report", "stages"))]


# seeds


def test_seeds_are_what_they_have_always_been() -> None:
    """Recorded: results of earlier versions must not silently get other streams."""
    assert derive_seed(0, "init", "digits", "vae", 0) == 213222852126501154
    assert derive_seed(7, "split", "gaussian_ring") == 3432839744377664275
    assert derive_rng(0, "split", "digits").integers(0, 1000, 4).tolist() == [651, 729, 742, 848]


def test_every_role_and_axis_has_its_own_stream() -> None:
    roles = ("init", "batches", "noise", "sample")
    names = [("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("a", "c"), ("d", "b")]
    streams: list[Any] = [
        (seed, role, *axes, k) for seed in (0, 1) for role in roles for axes in names for k in (0, 1, 10)
    ]
    streams += [(0, "split", "a"), (0, "metric", "a"), (0, "split", "a", "b")]
    assert len({derive_seed(*stream) for stream in streams}) == len(streams)
    draws = [derive_rng(*stream).standard_normal(200) for stream in streams[:30]]
    for x, y in combinations(draws, 2):
        assert abs(np.corrcoef(x, y)[0, 1]) < 0.35


@given(st.integers(0, 2**31 - 1), st.text(), st.lists(st.text() | st.integers()))
def test_a_seed_fits_every_library_and_repeats(base_seed: int, role: str, axes: list[str | int]) -> None:
    seed = derive_seed(base_seed, role, *axes)
    assert 0 <= seed < 2**63
    assert seed == derive_seed(base_seed, role, *axes)
    assert derive_rng(base_seed, role, *axes).random() == derive_rng(base_seed, role, *axes).random()


# files


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"

    def fail(file: Any) -> None:
        file.write(b"half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    assert list(path.parent.iterdir()) == []
    write_atomic(path, lambda file: file.write(b"whole"))
    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    with pytest.raises(ValueError):
        write_json(path, {"value": float("nan")})
    assert [file.name for file in path.parent.iterdir()] == ["file"]
    assert path.read_bytes() == b"whole"


def test_files_are_read_back_or_named(tmp_path: Path) -> None:
    write_array(tmp_path / "x.npy", np.arange(6.0).reshape(2, 3))
    write_json(tmp_path / "x.json", {"b": [1, None], "a": "ü"})
    assert read_array(tmp_path / "x.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_json(tmp_path / "x.json") == {"a": "ü", "b": [1, None]}
    assert sha256_of(tmp_path / "x.json") == sha256_of((tmp_path / "x.json").read_bytes())
    np.save(tmp_path / "pickle.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "broken.json").write_text("{")
    for read, name in (
        (read_array, "absent.npy"),
        (read_array, "x.json"),
        (read_array, "pickle.npy"),
        (read_json, "absent.json"),
        (read_json, "broken.json"),
    ):
        with pytest.raises(UserError, match=name):
            read(tmp_path / name)  # type: ignore[operator]


def test_equal_data_is_equal_text() -> None:
    assert canonical_json({"b": 1, "a": {"d": [1.5], "c": None}}) == '{"a":{"c":null,"d":[1.5]},"b":1}'


# provenance


def test_the_commit_is_that_of_the_packages_own_repository(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(
            ["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    def state() -> dict[str, Any]:
        script = "import json; from deepgen_bench.runtime.provenance import git_state; print(json.dumps(git_state()))"
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True
        )
        return json.loads(done.stdout)

    package = tmp_path / "deepgen_bench"
    shutil.copytree(Path(deepgen_bench.__file__).parent / "runtime", package / "runtime")
    (package / "__init__.py").touch()
    assert state() == {"commit": None, "dirty": None}
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "somebody else's")
    assert state() == {"commit": None, "dirty": None}  # as in an environment inside another project
    git("add", ".")
    git("commit", "--quiet", "--message", "the package")
    assert state() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (package / "__init__.py").write_text("# changed\n")
    assert state() == {"commit": git("rev-parse", "HEAD"), "dirty": True}


# names


def test_an_unknown_name_lists_the_valid_ones() -> None:
    registry = Registry("model", {"b": "json:loads", "a": "json:dumps"})
    assert registry["a"]([1]) == "[1]"
    assert "a" in registry and "c" not in registry and list(registry) == ["b", "a"]
    with pytest.raises(UserError, match="^unknown model 'c'; valid: a, b$"):
        registry["c"]


def outside(folder: Path, entry_points: str) -> str:
    """What a process says that has an outside package with these entry points on its path."""
    info = folder / "outside_zoo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-zoo\n")
    (info / "entry_points.txt").write_text(entry_points)
    (folder / "outside_zoo.py").write_text(
        textwrap.dedent("""
            from deepgen_bench.models.base import Tractable
            from deepgen_bench.models.classical.gaussian import GAUSSIAN
            from deepgen_bench.models.settings import ModelSpec
            NARROW = ModelSpec(GAUSSIAN.settings, Tractable, "outside_zoo:Narrow")
        """)
    )
    (folder / "trial.yaml").write_text(
        "{name: trial, datasets: {digits: {budget: 10}}, models: {narrow: {settings: {ridge: 1}}}}"
    )
    done = subprocess.run(
        [sys.executable, "-m", "deepgen_bench", "check", "trial.yaml"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_an_outside_package_adds_a_model(tmp_path: Path) -> None:
    said = outside(tmp_path, "[deepgen_bench.models]\nnarrow = outside_zoo:NARROW\n")
    assert said == "trial.yaml: 1 datasets × 1 models × 5 seeds, all valid\n"


def test_an_outside_package_cannot_take_a_name(tmp_path: Path) -> None:
    said = outside(tmp_path, "[deepgen_bench.models]\nvae = outside_zoo:NARROW\n")
    assert said == "error: entry point vae = outside_zoo:NARROW: the model name is already taken\n"


def test_only_what_nobody_is_writing_is_cleared_away(tmp_path):
    """Others may write the same file: an experiment that measures the same replicate, the job of a killed driver."""
    (tmp_path / ".x.json.1.part").write_text("of a killed process")
    seen = []

    def write(file):
        file.write(b"{}")
        file.flush()
        remove_parts(tmp_path, "x.json")
        seen.extend(tmp_path.iterdir())

    write_atomic(tmp_path / "x.json", write)
    assert len(seen) == 1 and [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_what_a_killed_process_left_goes_with_the_next_writing_of_the_same_file(tmp_path):
    for name in (".[x].csv.1.part", ".x.csv.2.part"):
        (tmp_path / name).write_text("of a killed process")
    write_atomic(tmp_path / "[x].csv", lambda file: file.write(b"whole"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.csv.2.part", "[x].csv"]
