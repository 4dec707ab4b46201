"""What decides a number is in its identity and nothing else is: code, settings, seeds, files, names."""

import os
import subprocess
import sys
import textwrap
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgen_bench.config import load_experiment
from deepgen_bench.errors import UserError
from deepgen_bench.files import canonical_json, read_array, read_json, sha256_of, write_array, write_atomic, write_json
from deepgen_bench.identity import code_identity, parse, source_file
from deepgen_bench.metrics import METRICS
from deepgen_bench.models import MODELS
from deepgen_bench.plan import Plan
from deepgen_bench.registry import Registry
from deepgen_bench.seeds import derive_rng, derive_seed
from deepgen_bench.store import Store

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
    package.write("top", package.sources["top"] + "from deepgen_bench.errors import Networks\n")
    assert len({before, after, package.identity()}) == 3
    tree, imported = parse("zoo.top", package.folder / "top.py")
    assert {"zoo.middle", "deepgen_bench.errors"} <= set(imported)
    assert "zoo" not in sys.modules


def test_built_in_code_is_followed_to_the_bottom() -> None:
    def modules(name: str) -> set[str]:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            module = waiting.pop()
            path = source_file(module)
            if path is not None and module not in seen:
                seen.add(module)
                waiting += parse(module, path)[1]
        return {module.removeprefix("deepgen_bench.") for module in seen}

    assert {"models.deep", "models.networks", "training.loop", "training.batches", "seeds"} <= modules(
        "deepgen_bench.models.vae"
    )
    assert {"metrics.frechet", "metrics.arrays", "metrics.features"} <= modules("deepgen_bench.metrics.fidelity")
    for name in MODELS:  # a model does not depend on the metrics, nor a metric on the models
        used = modules(MODELS[name].implementation.split(":")[0])
        assert not [module for module in used if module.startswith(("metrics", "report", "stages"))]
    for name in METRICS:
        used = modules(METRICS.target(name).split(":")[0])
        assert not [module for module in used if module.startswith(("models", "training", "report", "stages"))]


# settings


def experiment(**changes: Any) -> Any:
    data: dict[str, Any] = {
        "name": "trial",
        "datasets": {
            "mnist": {"budget": 1000},
            "gaussian_ring": {"budget": 1000, "settings": {"n_train": 100, "sd": 0.2}},
        },
        "models": {"vae": {"settings": {"latent_dim": 3, "learning_rate": 0.002}}, "gan": {}},
    }
    return load_experiment(data | changes)


def reverse(data: Any) -> Any:
    return {key: reverse(data[key]) for key in reversed(data)} if isinstance(data, dict) else data


def test_what_changes_no_number_leaves_the_folders(tmp_path: Path) -> None:
    base = Store(experiment())
    data = base.experiment.model_dump(mode="json")
    mnist = {"budget": 1000, "settings": {"data_dir": str(tmp_path)}}
    for other in (
        experiment(device="cpu"),
        experiment(seeds=[7], seeds_per_job=3, samples=10, name="other"),
        experiment(metrics={"transport": {}}, likelihood=None),
        experiment(datasets={**data["datasets"], "mnist": mnist}),
        experiment(models={**data["models"], "wgan": {}}),
        # a default written out is the same default
        experiment(models={"gan": {"model": "gan", "settings": {"beta1": 0.5}}, "vae": data["models"]["vae"]}),
        load_experiment(reverse(data)),
    ):
        store = Store(other)
        for dataset in ("mnist", "gaussian_ring"):
            assert store.data_dir(dataset) == base.data_dir(dataset)
            assert store.extractor_dir(dataset) == base.extractor_dir(dataset)
            for model in ("vae", "gan"):
                assert store.run_dir(dataset, model, 7) == base.run_dir(dataset, model, 7)


def test_what_changes_numbers_changes_the_folder() -> None:
    base = experiment().model_dump(mode="json")["datasets"]

    def run(**changes: Any) -> Path:
        return Store(experiment(**changes)).run_dir("gaussian_ring", "vae", 0)

    def ring(**changes: Any) -> dict[str, Any]:
        return {"datasets": {**base, "gaussian_ring": {**base["gaussian_ring"], **changes}}}

    folders = [
        run(),
        run(base_seed=1),
        run(models={"vae": {"settings": {"latent_dim": 4, "learning_rate": 0.002}}}),
        run(models={"vae": {"settings": {"latent_dim": 3, "learning_rate": 0.001}}}),
        run(models={"vae": {"model": "gan"}}),
        run(**ring(budget=1001)),
        run(**ring(settings={"n_train": 101, "sd": 0.2})),
        run(**ring(models={"vae": {"hidden": [64]}})),
    ]
    assert len(set(folders)) == len(folders)
    assert len({folder.parent.parent for folder in folders}) == 1


def test_an_override_on_a_dataset_moves_the_model_there_alone() -> None:
    plain, special = experiment(), experiment().model_dump(mode="json")
    special["datasets"]["mnist"]["models"] = {"vae": {"latent_dim": 5}}
    before, after = Store(plain), Store(load_experiment(special))
    moved = {
        (dataset, model)
        for dataset in plain.datasets
        for model in plain.models
        if before.run_dir(dataset, model, 0) != after.run_dir(dataset, model, 0)
    }
    assert moved == {("mnist", "vae")}


def test_seeds_never_regroup() -> None:
    few, more = (Store(experiment(seeds=seeds)).blocks() for seeds in ([0, 1, 6], [11, 6, 5, 1, 0]))
    assert few == {0: [0, 1], 1: [6]}
    assert more == {0: [0, 1], 1: [5, 6], 2: [11]}


def test_a_plan_tells_its_jobs_what_they_depend_on() -> None:
    """Each job's parameter changes with what it depends on and with nothing else."""

    def jobs(**changes: Any) -> dict[str, str]:
        plan = Plan(experiment(**changes))
        return {
            "prepare": plan.prepare("gaussian_ring"),
            "train": plan.train("gaussian_ring", "gan", 0),
            "measure": plan.sample_metrics("gaussian_ring"),
            "likelihood": plan.likelihood(),
            "tables": plan.tables(),
        }

    base = jobs()
    for changes, expected in (
        ({"device": "cpu", "name": "other"}, set()),
        ({"base_seed": 1}, {"prepare", "train"}),
        ({"seeds": [0, 1, 2, 3]}, {"train"}),
        ({"seeds": [0, 1, 2, 3, 4, 5]}, set()),  # another block
        ({"samples": 10}, {"train"}),
        ({"models": {"gan": {}, "vae": {}}}, set()),
        ({"models": {"gan": {"settings": {"beta1": 0.0}}}}, {"train"}),
        ({"metrics": {"fidelity": {}}}, {"measure"}),
        ({"metrics": {"fidelity": {"n": 100}, "transport": {}}}, {"measure"}),
        ({"likelihood": {"n": 100}}, {"likelihood"}),
    ):
        other = jobs(**changes)  # type: ignore[arg-type]
        assert {name for name in base if base[name] != other[name]} == expected, changes


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
            from deepgen_bench.models.specs import GAUSSIAN, ModelSpec
            NARROW = ModelSpec(GAUSSIAN.settings, "tractable", "outside_zoo:Narrow")
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
