"""What every registered model, dataset and metric must do, whatever it is: a plug-in needs no test of its own."""

import re
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pytest

from deepgen_bench.datasets.base import Splits
from deepgen_bench.datasets.prepared import check_splits
from deepgen_bench.metrics.context import Context, Modes
from deepgen_bench.models.base import Streams, TrainingData
from deepgen_bench.models.replicate import Replicate, make_model, write_replicate
from deepgen_bench.plugins import DATASETS, METRICS, MODELS
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.keys import Variant
from deepgen_bench.training.result import TrainingResult

NEEDS_FILES = {"mnist", "fashion_mnist", "cifar10", "image_folder", "npz", "external"}
STEPS = 2


def networks(model):
    """The kinds of network that a model may have, None where there is no choice."""
    field = MODELS[model].settings.model_fields.get("network")
    return get_args(field.annotation) if field else (None,)


MODEL_CASES = [
    (model, dataset, network)
    for model in MODELS
    if model not in NEEDS_FILES
    for dataset in ("gaussian_ring", "digits")
    for network in networks(model)
    if dataset == "digits" or network in (None, "mlp")
]


@dataclass
class Case:
    """A model on a small dataset, and what two steps leave of seeds 0 and 1."""

    name: str
    splits: Splits
    settings: Any
    fits: list[TrainingResult]

    @property
    def family(self):
        return MODELS[self.name].family_name

    @property
    def has_networks(self):
        return hasattr(self.settings, "batch_size")

    def model(self, checkpoint=None):
        """A fresh model, or the first replicate as it was at a checkpoint."""
        model = make_model(self.name, self.settings, self.splits.spec, "cpu")
        if checkpoint:
            model.load(self.fits[0].checkpoints[checkpoint])
        return model

    def samples(self, model, n, seed):
        """Samples by output; none of the oracle, whose samples are real data."""
        return {} if self.family == "oracle" else model.sample(n, seed)


@pytest.fixture(scope="module", params=MODEL_CASES, ids=lambda case: "-".join(filter(None, case)))
def case(request, small_settings, small_splits, fit):
    name, dataset, network = request.param
    settings = small_settings(name, **({"network": network} if network else {}))
    case = Case(name, small_splits(dataset), settings, [])
    case.fits = fit(case.model(), case.splits, [0, 1], STEPS)
    return case


def equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def test_two_steps_leave_checkpoints_and_what_they_cost(case):
    for fit in case.fits:
        assert (fit.status, fit.reason) == ("ok", "")
        assert set(fit.checkpoints) in ({"final"}, {"final", "best"})
        for state in fit.checkpoints.values():
            assert all(isinstance(array, np.ndarray) and np.isfinite(array).all() for array in state.values())
        if case.has_networks:
            assert (fit.steps, fit.examples) == (STEPS, STEPS * case.settings.batch_size)
            state = fit.checkpoints["final"]
            learnt = dict(case.model("final").module.named_parameters())
            assert fit.parameters == sum(state[name].size for name in learnt)
            assert fit.best_step in (1, 2) and [row["step"] for row in fit.curves] == [1, 2]
        elif case.family == "tractable":
            assert fit.steps >= 1 and fit.examples == len(case.splits.train) and fit.parameters > case.splits.spec.dim
    if case.has_networks:
        assert not equal(case.fits[0].checkpoints["final"], case.fits[1].checkpoints["final"])


def test_fit_tells_its_progress(case):
    calls = []
    case.model().fit(
        TrainingData(case.splits.train, case.splits.validation),
        [5],
        Streams(0, "data", "model"),
        STEPS * getattr(case.settings, "batch_size", 1),
        lambda done, total, note: calls.append((done, total, note)),
    )
    assert calls and calls[-1][0] == calls[-1][1]
    assert all(done <= total and isinstance(note, str) for done, total, note in calls)


def test_samples_are_on_the_data_s_own_grid(case):
    spec, model = case.splits.spec, case.model("final")
    if case.family == "oracle":
        with pytest.raises(UserError, match="oracle"):
            model.sample(3, 0)
        return
    for n in (1, 1003):
        drawn = model.sample(n, 0)
        assert tuple(drawn) == case.settings.outputs(spec.support)
        for x in drawn.values():
            assert x.shape == (n, *spec.shape) and np.isfinite(x).all()
            assert x.dtype == (np.float64 if spec.levels is None else np.uint8)
            assert spec.levels is None or x.max() < spec.levels


def test_a_seed_gives_the_same_samples_and_another_gives_others(case):
    model = case.model("final")
    first = case.samples(model, 20, 1)
    assert equal(first, case.samples(model, 20, 1))
    other = case.samples(model, 20, 2)
    assert all(not np.array_equal(first[output], other[output]) for output in first)
    # more samples begin with the same ones, so that experiments that want fewer find theirs in the store
    more = case.samples(model, 1003, 1)
    assert all(np.allclose(more[output][:20], first[output], rtol=1e-12, atol=0) for output in first)


def test_a_stored_replicate_samples_as_the_one_in_memory(case, tmp_path):
    fit = case.fits[0]
    info = {
        "identity": {"model": case.name, "settings": case.settings.identity()},
        "spec": case.splits.spec.to_json(),
    }
    drawn = {checkpoint: case.samples(case.model(checkpoint), 5, 3) for checkpoint in fit.checkpoints}
    write_replicate(tmp_path / "seed_0", fit, drawn, info)
    run = Replicate(tmp_path / "seed_0")
    assert set(run.checkpoints) == set(fit.checkpoints)
    for checkpoint in run.checkpoints:
        assert equal(run.state(checkpoint), fit.checkpoints[checkpoint])
        assert equal(case.samples(run.model(checkpoint, "cpu"), 5, 3), drawn[checkpoint])
        for output, x in drawn[checkpoint].items():
            assert np.array_equal(run.samples(checkpoint, output), x)
    damaged = tmp_path / "seed_0" / "final.safetensors"
    damaged.write_bytes(damaged.read_bytes() + b" ")
    with pytest.raises(UserError, match="final.safetensors: damaged"):
        run.state("final")


def test_the_same_seed_learns_the_same_bits_and_another_base_seed_others(case, fit):
    def again(base_seed):
        return fit(case.model(), case.splits, [0, 1], STEPS, base_seed)[0].checkpoints["final"]

    assert equal(again(0), case.fits[0].checkpoints["final"])
    if case.has_networks:
        assert not equal(again(1), case.fits[0].checkpoints["final"])


def test_a_family_has_what_its_likelihood_needs(case):
    model, dim = case.model("final"), case.splits.spec.dim
    if case.family == "tractable":
        values = model.log_prob(np.full((4, dim), 0.5))
        assert values.shape == (4,) and np.isfinite(values).all()
    if case.family == "latent":
        import torch

        x = torch.full((1, 4, dim), 0.5)
        mean, log_variance = model.encode(x)
        assert mean.shape == log_variance.shape == (1, 4, case.settings.latent_dim)
        network, tau = model.observation()
        assert network(mean[0]).shape == (4, dim) and (tau is None or tau > 0)
        assert model.log_likelihood(x, mean).shape == (1, 4)
    if case.family == "implicit":
        import torch

        assert model.generate_mean(torch.zeros(4, case.settings.latent_dim)).shape == (4, dim)
    if case.family == "diffusion":
        import torch

        z, log_snr = torch.full((1, 4, dim), 0.5), torch.zeros(1, 1, 1)
        assert model.denoise(z, log_snr).shape == model.velocity(z, log_snr).shape == (1, 4, dim)
        assert model.scaled(z).shape == (1, 4, dim) and model.module.scale.shape == (1, 1, 1)
        assert len(model.transitions(case.settings.steps)) == case.settings.steps
    assert model.representation in ("grey", "dequantised", "binarised")


def test_impossible_pairs_are_refused(small_settings, small_splits):
    with pytest.raises(UserError, match="conv needs images"):
        small_settings("gan", network="conv").check("continuous")
    spec = replace(small_splits("digits").spec, shape=(1, 6, 8))
    with pytest.raises(UserError, match="divisible by 4"):
        small_settings("gan", network="conv").check("image", spec)
    with pytest.raises(UserError, match="unet needs images"):
        small_settings("diffusion", network="unet").check("continuous")
    with pytest.raises(UserError, match="unet needs height and width divisible by 4, found \\(6, 8\\)"):
        small_settings("diffusion", network="unet").check("image", spec)
    with pytest.raises(UserError, match="no density on binary data"):
        small_settings("diffusion").check("binary")
    with pytest.raises(UserError, match="bernoulli"):
        small_settings("vae", decoder="bernoulli").check("continuous")


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in NEEDS_FILES])
def test_a_dataset_keeps_its_promises(name, small_splits):
    made = DATASETS[name](DATASETS[name].Settings())
    splits = made.splits(0)
    check_splits(name, splits)
    assert splits.spec.support == made.support and (splits.spec.classes is not None) == made.has_labels
    again, other = made.splits(0), made.splits(1)
    for split in ("train", "validation", "test"):
        array = getattr(splits, split)
        assert np.array_equal(array, getattr(again, split)) and not np.array_equal(array, getattr(other, split))
    assert splits.spec.from_json(splits.spec.to_json()) == splits.spec


@pytest.mark.parametrize("dataset", ["gaussian_ring", "digits"])
@pytest.mark.parametrize("name", list(METRICS))
def test_a_metric_family_measures(name, dataset, small_splits):
    splits = small_splits(dataset)
    family = METRICS[name](METRICS[name].Settings(**({"extractors": ("data",)} if name == "fidelity" else {})))
    real, generated = splits.test[:50], splits.validation[:40]
    made = DATASETS[dataset](DATASETS[dataset].Settings())
    modes = Modes(made.modes, made.sd) if dataset == "gaussian_ring" else None
    context = Context(splits.spec, 0, dataset, splits.train, modes=modes, validation=splits.validation)
    found = family.measure(real, generated, context)
    assert bool(found) == (name != "modes" or modes is not None)
    for m in found:
        # 40 examples are too few for some
        assert m.status in ("ok", "not_applicable") and bool(m.reason) == (m.status != "ok"), m
        assert m.status != "ok" or (np.isfinite(m.value) and m.std_error >= 0), m
        assert m.direction in ("min", "max", "none") and m.n_generated and (m.n_real or m.reference_split == "density")
        assert re.fullmatch(r"[a-z0-9_]+", m.metric)
        assert all(isinstance(value, str | int | float) for value in m.variant.values())
        assert not any(set(f"{key}{value}") & set("=;\n") for key, value in m.variant.items())
    assert len({(m.metric, str(Variant.of(m.variant)), m.n_real) for m in found}) == len(found)
    assert [m.value for m in family.measure(real, generated, context)] == [m.value for m in found]
