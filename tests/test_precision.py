"""The precision of products in training steps, and of everything else."""

import numpy as np
import pytest
import torch

from deepgen_bench.models.base import Streams, TrainingData
from deepgen_bench.models.replicate import make_model
from deepgen_bench.plugins import MODELS
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.training.loop import TrainingState

FLAGS = torch.backends.cuda.matmul, torch.backends.cudnn
CASES = [
    ("vae", "gaussian_ring", {}),
    ("vae", "digits", {"decoder": "bernoulli", "network": "conv"}),
    ("gan_ns", "digits", {}),
    ("gan_ns", "digits", {"network": "conv"}),
    ("wgan", "digits", {"network": "infogan"}),
    ("wgan_gp", "gaussian_ring", {}),
    ("diffusion", "gaussian_ring", {}),
    ("diffusion", "digits", {"network": "unet"}),
]


@pytest.fixture
def begun(small_settings, small_splits):
    """`begun(model, dataset, **settings)`: a training after its first step."""

    def make(name, dataset, **settings):
        splits = small_splits(dataset)
        model = make_model(name, small_settings(name, **settings), splits.spec, "cpu")
        model.fit(TrainingData(splits.train, splits.validation), [0, 1], Streams(0, "d", "m"), 16, lambda *call: None)
        return TrainingState(model, len(model.module.shift))

    return make


def watch(begun, look):
    """A list that grows by what `look` finds whenever one of the networks is called."""
    seen = []
    for network in begun.model.module.children():
        network.register_forward_hook(lambda *_: seen.append(look()))
    return seen


@pytest.mark.parametrize(("model", "dataset", "settings"), CASES)
def test_products_are_in_bfloat16_within_steps_alone(begun, model, dataset, settings):
    made = begun(model, dataset, precision="bf16", **settings)
    seen = watch(made, lambda: torch.is_autocast_enabled("cpu"))
    made.advance(1.0)
    assert seen and all(seen)
    seen.clear()
    score = made.evaluate(16)
    assert seen and not any(seen)
    kept = [score, *made.sums.values(), *made.state().values()]
    assert all(tensor.dtype != torch.bfloat16 for tensor in kept)


@pytest.mark.parametrize(("model", "dataset", "settings"), CASES)
def test_a_step_in_bfloat16_is_nearly_the_same(begun, model, dataset, settings):
    """Losses from the same draws differ by less than a few roundings, but do differ."""
    exact, rough = (
        begun(model, dataset, precision=precision, learning_rate=1e-6, **settings) for precision in ("float32", "bf16")
    )
    for each in (exact, rough):
        each.advance(1.0)
    losses, roughly = (torch.stack(list(each.sums.values())) for each in (exact, rough))
    off = (losses - roughly).abs().max() / losses.abs().max()
    assert 0 < off < 20 * torch.finfo(torch.bfloat16).eps


def test_products_may_be_in_tensor_float_32_within_steps_alone(begun):
    made = begun("gan", "digits", precision="tf32")
    seen = watch(made, lambda: [flag.allow_tf32 for flag in FLAGS])
    before = [flag.allow_tf32 for flag in FLAGS]
    made.advance(1.0)
    assert seen and all(flags == [True, True] for flags in seen)
    seen.clear()
    made.evaluate(16)
    assert seen and all(flags == before for flags in seen) and [flag.allow_tf32 for flag in FLAGS] == before


def test_tensor_float_32_is_float_32_on_a_cpu(begun):
    states = [begun("vae", "digits", precision=precision).state() for precision in ("float32", "tf32")]
    for key, tensor in states[0].items():
        np.testing.assert_array_equal(tensor, states[1][key])


def test_the_precision_is_part_of_what_a_run_is():
    own = {name: MODELS[name].settings(precision="bf16").identity() for name in ("vae", "gan", "diffusion")}
    assert all(identity["precision"] == "bf16" for identity in own.values())


def test_a_flow_is_not_trained_in_bfloat16():
    with pytest.raises(UserError, match="precision: bf16 is too coarse for the maps of a flow; valid here: float32"):
        MODELS["flow"].settings(precision="bf16").check("image")
