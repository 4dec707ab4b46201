"""Generated experiments: valid ones round-trip, and whatever is wrong with one is a printable line that names a key."""

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.schema import ExperimentFile
from deepgen_bench.runtime.errors import UserError

labels = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,39}", fullmatch=True)
rates = st.floats(1e-9, 1e3)
budgets = st.integers(1, 10**15 - 1)
paths = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
networks = st.fixed_dictionaries(
    {}, optional={"hidden": st.lists(st.integers(1, 8192), max_size=8), "learning_rate": rates}
)
datasets = st.one_of(
    st.fixed_dictionaries(
        {
            "dataset": st.sampled_from(["gaussian_ring", "gaussian_grid", "sine_mixture"]),
            "budget": st.integers(1, 10**15 - 1),
        },
        optional={"settings": st.fixed_dictionaries({}, optional={"n_train": st.integers(10, 10**7)})},
    ),
    st.fixed_dictionaries(
        {"dataset": st.sampled_from(["mnist", "cifar10", "fashion_mnist"]), "budget": budgets},
        optional={
            "settings": st.fixed_dictionaries(
                {},
                optional={"data_dir": paths},
            )
        },
    ),
)
models = st.one_of(
    st.fixed_dictionaries(
        {"model": st.sampled_from(["gan", "gan_ns", "wgan", "wgan_gp"])}, optional={"settings": networks}
    ),
    st.fixed_dictionaries(
        {"model": st.just("vae")},
        optional={"settings": st.fixed_dictionaries({}, optional={"tau": rates | st.just("learned")})},
    ),
    st.just({"model": "oracle"}),
    st.fixed_dictionaries({"model": st.just("gaussian"), "settings": st.fixed_dictionaries({"ridge": rates})}),
)


@st.composite
def experiments(draw: st.DrawFn) -> dict[str, Any]:
    """Valid experiments, with an override of a model on a dataset now and then."""
    data: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {
                "name": labels.filter(lambda name: name not in ("data", "extractors", "runs")),
                "datasets": st.dictionaries(labels, datasets, min_size=1, max_size=3),
                "models": st.dictionaries(labels, models, min_size=1, max_size=3),
            },
            optional={
                "base_seed": st.integers(0, 2**31 - 1),
                "seeds": st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=12, unique=True),
                "seeds_per_job": st.integers(1, 1000),
                "device": st.sampled_from(["auto", "cpu", "cuda"]),
                "samples": st.integers(2, 10**9 - 1),
                "metrics": st.dictionaries(st.sampled_from(["fidelity", "transport"]), st.just({}), min_size=1),
                "likelihood": st.none() | st.builds(lambda k: {"k": k}, st.sampled_from([[1], [1, 5, 50], [3, 6]])),
            },
        )
    )
    for label, model in data["models"].items():
        if model["model"] in ("gan", "wgan") and draw(st.booleans()):
            draw(st.sampled_from(list(data["datasets"].values())))["models"] = {label: draw(networks)}
    return data


@settings(deadline=None, max_examples=60)
@given(experiments())
def test_valid_experiments_round_trip(data: dict[str, Any]) -> None:
    experiment = load_experiment(data)
    text = experiment.file.model_dump_json(indent=1)
    assert load_experiment(json.loads(text)) == experiment
    for model in experiment.models:
        for dataset in experiment.datasets:
            file = experiment.file
            settings = {**file.models[model].settings, **file.datasets[dataset].models.get(model, {})}
            resolved = experiment.model_settings(model, dataset).model_dump(mode="json")
            assert settings.items() <= resolved.items()  # the dataset's overrides win, nothing is lost


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from([*ExperimentFile.model_fields, "settings", "budget", "dataset", "model", "k", "n", "tolerance"])
near_experiments = st.recursive(
    json_values, lambda inner: st.dictionaries(keys | labels, inner, max_size=5), max_leaves=12
)
wrong_values = json_values | st.sampled_from(
    [
        -1,
        0,
        10**400,
        -(10**400),
        math.inf,
        math.nan,
        1e308,
        "1e400",
        "",
        " ",
        "\0",
        "a\nb",
        "\x1b[2J",
        "\ud800",
        "..",
        b"x",
    ]
)

NONSENSE = [None, True, -1, 0, -0.5, 10**400, math.nan, math.inf, "x", "", [], [[]], {}, {"x": {}}, b"", 1j, {1}]


def refuses_in_one_line(data: Any, *naming: str) -> None:
    """`data` is an experiment, or refused in one printable line that names one of the keys `naming`."""
    try:
        assert load_experiment(data).name
    except UserError as error:
        message = str(error)
        assert message.isprintable() and len(message) < 2000
        assert not naming or any(key in message for key in naming), (naming, message)


def places(data: Any, parts: tuple = ()) -> list[tuple]:
    """Where something stands in nested mappings and lists, as keys from the root."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in items for place in ((*parts, key), *places(value, (*parts, key)))]


@st.composite
def mutations(draw: st.DrawFn) -> tuple[dict[str, Any], tuple]:
    """A valid experiment with one thing changed: a value, a key left out, or a key misspelt; and where."""
    data = copy.deepcopy(draw(experiments()))
    place = draw(st.sampled_from(places(data)))
    parent = data
    for key in place[:-1]:
        parent = parent[key]
    kind = draw(st.sampled_from(["value", "drop", "misspell"]))
    if kind == "value":
        parent[place[-1]] = draw(wrong_values)
    else:
        value = parent.pop(place[-1])
        if kind == "misspell" and isinstance(parent, dict):
            name = place[-1]
            parent[draw(st.sampled_from([name + "s", name[1:], name.upper(), f" {name}", f"{name}\n"]))] = value
    return data, place


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(mutations())
def test_a_wrong_place_in_a_valid_experiment_is_named(mutation: tuple[dict[str, Any], tuple]) -> None:
    data, place = mutation
    refuses_in_one_line(data, *(str(part) for part in place if isinstance(part, str)), "datasets", "models", "metrics")


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(near_experiments)
def test_arbitrary_data_are_refused_in_one_line(data: Any) -> None:
    if isinstance(data, dict):
        refuses_in_one_line(data)
    with pytest.raises(UserError) as error:
        load_experiment(data)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("key", sorted(ExperimentFile.model_fields))
@pytest.mark.parametrize(
    "value", [None, True, -1, 0, 10**400, math.nan, "x", "", [], [[]], {}, {"x": {}}, b"", 1j, {1}]
)
def test_every_key_with_everything_that_it_is_not(key: str, value: Any) -> None:
    valid = {"name": "a", "datasets": {"digits": {"budget": 9}}, "models": {"vae": {}}}
    refuses_in_one_line(valid | {key: value}, key, "likelihood")


@pytest.mark.parametrize(
    "value", [None, True, -1, 0, 10**400, math.nan, "x", "", [], [[]], {}, {"x": {}}, b"", 1j, {1}]
)
@pytest.mark.parametrize(
    ("kind", "label", "key"),
    [
        *(("datasets", "digits", key) for key in ("dataset", "settings", "budget", "models", "metrics")),
        *(("models", "vae", key) for key in ("model", "settings")),
        *(("calibration", "wasserstein_1d", key) for key in ("check", "tolerance", "expect", "settings")),
    ],
)
def test_every_entry_with_everything_that_it_is_not(kind: str, label: str, key: str, value: Any) -> None:
    data: dict[str, Any] = {
        "name": "a",
        "datasets": {"digits": {"budget": 9}},
        "models": {"vae": {}},
        "calibration": {"wasserstein_1d": {"tolerance": 1}},
    }
    data[kind][label] |= {key: value}
    refuses_in_one_line(data, f"{kind}.{label}")


def settings_classes() -> list[Any]:
    from deepgen_bench.plugins import CHECKS, DATASETS, METRICS, MODELS

    found = [("datasets", name, DATASETS[name].Settings) for name in DATASETS]
    found += [("models", name, MODELS[name].settings) for name in MODELS]
    found += [("metrics", name, METRICS[name].Settings) for name in METRICS]
    found += [("calibration", name, CHECKS[name].Settings) for name in CHECKS]
    return [(kind, name, key) for kind, name, cls in found for key in cls.model_fields]


@pytest.mark.parametrize(("kind", "name", "key"), settings_classes())
def test_every_setting_with_everything_that_it_is_not(kind: str, name: str, key: str) -> None:
    for value in NONSENSE:
        data: dict[str, Any] = {"name": "a", "datasets": {"digits": {"budget": 9}}, "models": {"oracle": {}}}
        entry = {"budget": 9} if kind == "datasets" else {"tolerance": 1} if kind == "calibration" else {}
        given = {key: value} if kind == "metrics" else entry | {"settings": {key: value}}
        data[kind] = data.get(kind, {}) | {name: given}
        refuses_in_one_line(data, f"{kind}.{name}")
