"""The experiment file: what is valid round-trips, what is not is one line that names the key."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.schema import ExperimentFile
from deepgen_bench.runtime.errors import UserError

Command = Callable[..., tuple[int, str, str]]
CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))

BASE = """
name: trial
datasets: {gaussian_ring: {budget: 100}, digits: {budget: 100}}
models: {vae: {}, gan: {}}
"""

# what replaces keys of BASE, and what the message must begin with after the file's name
BAD = {
    # unknown keys, at every level
    "top": ("bugdet: 3", "bugdet: unknown key; valid: base_seed, calibration, checkpoint_seconds, datasets, device,"),
    "dataset entry": (
        "datasets: {digits: {bugdet: 3}}",
        "datasets.digits.bugdet: unknown key; valid: budget, dataset, metrics, models, quality, settings",
    ),
    "dataset settings": (
        "datasets: {gaussian_ring: {budget: 3, settings: {modes: 8}}}",
        "datasets.gaussian_ring.settings.modes: unknown key; valid: n_modes, n_test,",
    ),
    "empty settings": (
        "datasets: {digits: {budget: 3, settings: {n: 8}}}",
        "datasets.digits.settings.n: unknown key; valid: none",
    ),
    "model entry": ("models: {vae: {hidden: [3]}}", "models.vae.hidden: unknown key; valid: model, settings"),
    "model settings": (
        "models: {gan: {settings: {lr: 1}}}",
        "models.gan.settings.lr: unknown key; valid: activation, batch_size,",
    ),
    "other model's": (
        "models: {gan: {settings: {clip: 0.01}}}",
        "models.gan.settings.clip: unknown key; valid: activation, batch_size, beta1,",
    ),
    "other model's, as override": (
        "datasets: {digits: {budget: 3, models: {vae: {clip: 1}}}}",
        "datasets.digits.models.vae.clip: unknown key; valid: activation, batch_size,",
    ),
    "metric settings": ("metrics: {transport: {p: 2}}", "metrics.transport.p: unknown key; valid: n, projections"),
    "likelihood": ("likelihood: {K: [1]}", "likelihood.K: unknown key; valid: ais, k, laplace, n"),
    # unknown names
    "model": ("models: {vea: {}}", "models.vea.model: unknown model 'vea'; valid: diffusion, external, flow, gan, "),
    "model by name": ("models: {a: {model: vea}}", "models.a.model: unknown model 'vea'; valid: diffusion, external,"),
    "dataset": ("datasets: {ring: {budget: 3}}", "datasets.ring.dataset: unknown dataset 'ring'; valid: cifar10,"),
    "metric": (
        "metrics: {fid: {}}",
        "metrics.fid: unknown metric 'fid'; valid: fidelity, memorisation, modes, parzen, transport, ",
    ),
    "device": ("device: tpu", "device: input should be 'auto', 'cpu' or 'cuda', found 'tpu'"),
    "override of an absent model": (
        "datasets: {digits: {budget: 3, models: {wgan: {}}}}",
        "datasets.digits.models.wgan: not in this experiment; valid: vae, gan",
    ),
    "override of an absent metric": (
        "{datasets: {digits: {budget: 3, metrics: {transport: {}}}}, metrics: {fidelity: {}}}",
        "datasets.digits.metrics.transport: not in this experiment; valid: fidelity",
    ),
    # wrong types
    "text for a number": ("samples: many", "samples: input should be a valid integer, unable to parse"),
    "fraction": ("seeds: [0, 1.5]", "seeds.1: input should be a valid integer"),
    "truth for a number": ("datasets: {digits: {budget: true}}", "datasets.digits.budget: a number is needed, found t"),
    "truth in a list": ("seeds: [0, true]", "seeds.1: a number is needed, found true"),
    "truth in settings": ("models: {gan: {settings: {beta1: false}}}", "models.gan.settings.beta1: a number is needed"),
    "number for a list": ("seeds: 3", "seeds: input should be a valid tuple, found 3"),
    "list for a mapping": ("models: [vae, gan]", "models: input should be a valid dictionary, found ['vae', 'gan']"),
    "nothing for a mapping": ("models: {vae: }", "models.vae: input should be a valid dictionary"),
    "number as a label": ("models: {1: {}}", "models.1: input should be a valid string, found 1"),
    "union": (
        "models: {vae: {settings: {tau: x}}}",
        "models.vae.settings.tau: input should be a valid number, unable to parse string as a number or "
        "input should be 'learned', found 'x'",
    ),
    # values out of bounds
    "negative budget": (
        "datasets: {digits: {budget: -5}}",
        "datasets.digits.budget: input should be greater than or equal to 1, found -5",
    ),
    "no budget": ("datasets: {digits: {}}", "datasets.digits.budget: field required"),
    "nan": (
        "models: {gan: {settings: {learning_rate: .nan}}}",
        "models.gan.settings.learning_rate: a finite number is needed, found nan",
    ),
    "inf": ("models: {gan: {settings: {learning_rate: .inf}}}", "models.gan.settings.learning_rate: a finite number"),
    "inf as an override": (
        "datasets: {digits: {budget: 3, models: {gan: {learning_rate: .inf}}}}",
        "datasets.digits.models.gan.learning_rate: a finite number is needed, found inf",
    ),
    "inf for an integer": ("samples: .inf", "samples: input should be a finite number, found inf"),
    "width 0": ("models: {vae: {settings: {hidden: [8, 0]}}}", "models.vae.settings.hidden.1: input should be greater"),
    "no models": ("models: {}", "models: dictionary should have at least 1 item"),
    "no datasets": ("datasets: {}", "datasets: dictionary should have at least 1 item"),
    "no seeds": ("seeds: []", "seeds: tuple should have at least 1 item"),
    "negative seed": ("seeds: [-1]", "seeds.0: input should be greater than or equal to 0, found -1"),
    "repeated seed": ("seeds: [3, 1, 3]", "seeds: each seed once, found [3, 1, 3]"),
    "nothing to measure": ("{metrics: {}, likelihood: null}", "metrics: empty, and likelihood is null; valid: at leas"),
    "k not dividing": ("likelihood: {k: [1, 4, 10]}", "likelihood.k: ascending numbers that each divide the next"),
    "k repeated": ("likelihood: {k: [1, 1]}", "likelihood.k: ascending numbers that each divide the next"),
    # labels become folders
    "label with a slash": ("models: {a/b: {model: vae}}", "models.a/b: valid: up to 40 characters, no slash, brace"),
    "hidden label": ("models: {.a: {model: vae}}", "models..a: valid: up to 40 characters"),
    "label like an option": ("models: {--all: {model: vae}}", "models.--all: valid: up to 40 characters"),
    "label with a brace": ('models: {"{a}": {model: vae}}', "models.{a}: valid: up to 40 characters"),
    "label upwards": ("datasets: {..: {dataset: digits, budget: 3}}", "datasets...: string should match pattern"),
    "label of two lines": ('models: {"a\\nb": {model: vae}}', r"models.'a\nb': valid: up to 40 characters"),
    "name with a slash": ("name: ../trial", "name: string should match pattern"),
    "name of the store": ("name: runs", "name: runs is a folder that experiments share; valid: any other name"),
    # what does not go together
    "conv on vectors": (
        "models: {gan: {settings: {network: conv}}}",
        "models.gan on datasets.gaussian_ring: network: conv needs images, the dataset holds vectors; valid here: mlp",
    ),
    "bernoulli on vectors": (
        "datasets: {gaussian_ring: {budget: 3, models: {vae: {decoder: bernoulli}}}}",
        "models.vae on datasets.gaussian_ring: decoder: bernoulli needs image or binary data",
    ),
    "inception on vectors": (
        "metrics: {fidelity: {extractors: [inception]}}",
        "metrics.fidelity on datasets.gaussian_ring: extractors: inception does not work on vectors; valid here: data",
    ),
    "classifier on vectors": (
        "datasets: {gaussian_ring: {budget: 3, metrics: {fidelity: {extractors: [data, classifier]}}}}",
        "metrics.fidelity on datasets.gaussian_ring: extractors: classifier does not work on vectors",
    ),
    "classifier without labels": (
        "{datasets: {npz: {budget: 3, settings: {path: x.npz}}}, metrics: {fidelity: {extractors: [classifier]}}}",
        "metrics.fidelity on datasets.npz: extractors: classifier does not work on images without labels",
    ),
}


@pytest.mark.parametrize("label", ["NA", "null", "oracle", "C++", "a, b", "ours (large), 100 %", "é", "$x_1$", "'"])
def test_any_name_that_a_folder_can_have_may_name_a_model(label):
    trial = yaml.safe_load(BASE) | {"models": {label: {"model": "gaussian"}}}
    assert list(load_experiment(trial).models) == [label]


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_one_line_says_what_is_wrong(change: str, message: str, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(BASE), **yaml.safe_load(change)}, sort_keys=False))
    code, out, err = command("check", path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: {message}")
    assert err.count("\n") == 1 and err.endswith("\n")
    with pytest.raises(UserError) as error:
        load_experiment(path)
    assert err == f"error: {error.value}\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.yaml", b"models: [vae", "x.yaml: not valid YAML (while parsing a flow sequence"),
        ("x.yaml", b"name: 2020-13-45", "x.yaml: not valid YAML (month must be in 1..12)"),
        ("x.yaml", b"name: \xff", "x.yaml: not valid YAML ("),
        ("x.json", b'{"name": }', "x.json: not valid JSON ("),
        ("x.yaml", b"- vae\n- gan", "x.yaml: expected a mapping of keys, found list"),
        ("x.yaml", b"", "x.yaml: expected a mapping of keys, found NoneType"),
        ("x.yaml", None, "x.yaml: cannot be read (No such file or directory)"),
        (".", None, ": cannot be read (Is a directory)"),
    ],
)
def test_unreadable_files_are_named(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        load_experiment(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}{message.removeprefix(name)}")
    assert "\n" not in str(error.value)


def test_long_values_are_cut() -> None:
    with pytest.raises(UserError, match=r"^name: .*, found \['x', .*\.\.\.$") as error:
        load_experiment({**yaml.safe_load(BASE), "name": ["x"] * 1000})
    assert len(str(error.value)) < 200


def test_a_written_experiment_is_read_back_with_every_number(tmp_path: Path) -> None:
    data = {**yaml.safe_load(BASE), "models": {"gan": {"settings": {"learning_rate": 1e-05}}}}
    experiment = load_experiment(data)
    (tmp_path / "experiment.json").write_text(experiment.file.model_dump_json())
    assert load_experiment(tmp_path / "experiment.json") == experiment
    # YAML 1.1 reads 1e-05 as text; the number is meant
    (tmp_path / "experiment.yaml").write_text(BASE.replace("gan: {}", "gan: {settings: {learning_rate: 1e-05}}"))
    assert load_experiment(tmp_path / "experiment.yaml").model_settings("gan", "digits").learning_rate == 1e-05  # type: ignore[attr-defined]


def test_numbers_given_as_text_on_snakemakes_command_line_are_numbers() -> None:
    assert load_experiment({**yaml.safe_load(BASE), "seeds": ["0", "7"]}).seeds == (0, 7)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_experiments_are_valid(path: Path, command: Command) -> None:
    code, out, err = command("check", path)
    assert (code, err) == (0, "")
    experiment = load_experiment(path)
    seeds = len(experiment.seeds)
    assert f"{len(experiment.datasets)} datasets × {len(experiment.models)} models × {seeds} seeds" in out
    assert experiment.name == path.stem  # so that experiments do not share a folder of results


def test_an_old_name_of_a_key_still_works_with_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    datasets = {"digits": {"budget": 100, "models": {"diffusion": {"octaves": 3}}}}
    old = load_experiment({"name": "old", "datasets": datasets, "models": {"diffusion": {}}})
    assert old.model_settings("diffusion", "digits").fourier_features == 3  # type: ignore[attr-defined]
    warning = "warning: datasets.digits.models.diffusion.octaves: this key is now called fourier_features\n"
    assert capsys.readouterr().err == warning
    datasets["digits"]["models"]["diffusion"]["fourier_features"] = 3  # type: ignore[index]
    with pytest.raises(
        UserError, match=r"^datasets\.digits\.models\.diffusion\.octaves: unknown key; valid: batch_size"
    ):
        load_experiment({"name": "both", "datasets": datasets, "models": {"diffusion": {}}})


def test_the_schema_describes_experiment_files(command: Command) -> None:
    code, out, err = command("schema")
    schema = json.loads(out)
    assert (code, err) == (0, "")
    assert set(schema["properties"]) == set(ExperimentFile.model_fields)
    assert schema["required"] == ["name", "datasets", "models"]
    assert schema["additionalProperties"] is False


def test_planning_imports_no_torch() -> None:
    script = """
import sys
from collections.abc import Callable
from pathlib import Path
import deepgen_bench.cli, deepgen_bench.report.data.summary, deepgen_bench.report.tables.write
import deepgen_bench.storage.results
from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.plan import Plan
for path in sys.argv[1:]:
    plan = Plan(load_experiment(Path(path)))
    experiment = plan.experiment
    plan.tables(), experiment.likelihood and plan.likelihood(min(plan.store.blocks()))
    for dataset in experiment.datasets:
        plan.prepare(dataset), plan.extractor(dataset), plan.sample_metrics(dataset), plan.extractor_files(dataset)
        for model in experiment.models:
            for block in plan.store.blocks():
                plan.train(dataset, model, block)
print(*sorted({"torch", "torchvision", "torch_fidelity", "ot", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script, *map(str, CONFIGS)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
