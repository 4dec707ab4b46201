"""A training that was interrupted ends with the bits of one that was not, whatever the model and the moment."""

import random
import signal

import numpy as np
import pytest
import torch

from deepgen_bench.models.base import Streams, TrainingData
from deepgen_bench.models.replicate import make_model
from deepgen_bench.training.checkpoint import Checkpointer
from deepgen_bench.training.replicate_rng import AHEAD, BufferedReplicateRNG

SMALL = {"hidden": (17, 5), "latent_dim": 3, "batch_size": 9, "channels": 3, "critic_steps": 2}
STEPS = 40
MLP = [
    ("vae", "gaussian_ring", {}),
    ("vae", "gaussian_ring", {"objective": "iwae", "samples": 3, "tau": 0.2}),
    ("vae", "digits", {"decoder": "bernoulli"}),
    ("gan", "gaussian_ring", {}),
    ("gan_ns", "digits", {"schedule": "constant"}),
    ("wgan", "sine_mixture", {}),
    ("wgan_gp", "gaussian_ring", {}),
    ("diffusion", "gaussian_ring", {}),
    ("diffusion", "digits", {"fourier_features": 1}),
]
CONV = [(model, "digits", {"network": "conv"}) for model in ("vae", "gan", "gan_ns", "wgan", "wgan_gp")]
CONV += [("diffusion", "digits", {"network": "unet"})]


class Killed(BaseException):
    """The end of a process that nothing may catch."""


class Fragile(Checkpointer):
    """Keeps the state, or is killed, after steps of chance."""

    def __init__(self, path, rng, fits="these data"):
        super().__init__(path, {"data": fits}, 0)
        self.rng = rng

    def due(self):
        if self.rng.random() < 0.07:
            raise Killed
        return self.rng.random() < 0.2


class KilledAt(Checkpointer):
    """Keeps the state once, after its `step`-th step, and is killed."""

    def __init__(self, path, step, fits="these data"):
        super().__init__(path, {"data": fits}, 0)
        self.left = step

    def due(self):
        self.left -= 1
        return self.left == 0

    def save(self, *state):
        super().save(*state)
        raise Killed


@pytest.fixture
def build(small_settings, small_splits):
    """`build(model, dataset, **settings)`: a small model and its data."""

    def make(model, dataset, **settings):
        splits = small_splits(dataset)
        known = {key: value for key, value in SMALL.items() if key in type(small_settings(model)).model_fields}
        made = make_model(model, small_settings(model, **known | settings), splits.spec, "cpu")
        return made, TrainingData(splits.train, splits.validation)

    return make


def train(built, seeds, checkpointer=None):
    model, data = built
    model.checkpointer = checkpointer
    return model.fit(data, seeds, Streams(0, "data", "model"), STEPS * SMALL["batch_size"], lambda *call: None)


def killed_again_and_again(built, seeds, path, rng):
    """What is left of training in the end, and by how many kills it was interrupted."""
    kills = 0
    while True:
        try:
            fits = train(built, seeds, Fragile(path, rng))
        except Killed:
            kills += 1
        else:
            path.unlink(missing_ok=True)
            return fits, kills


def assert_same(fits, others):
    for fit, other in zip(fits, others, strict=True):
        for name in ("status", "reason", "steps", "examples", "parameters", "best_step"):
            assert getattr(fit, name) == getattr(other, name)
        # as text: NaN is like NaN here, and the order of columns counts
        assert repr(fit.curves) == repr(other.curves)
        assert fit.checkpoints.keys() == other.checkpoints.keys()
        for checkpoint, state in fit.checkpoints.items():
            assert state.keys() == other.checkpoints[checkpoint].keys()
            for name, array in state.items():
                np.testing.assert_array_equal(array, other.checkpoints[checkpoint][name], f"{checkpoint} {name}")


FLOWS = [
    ("flow", "digits", {"weight_decay": 0.1}),
    ("flow", "gaussian_ring", {"structure": "autoregressive", "transform": "affine"}),
]
TOGETHER = [(*case, seeds) for case in MLP for seeds in ([3], [0, 1, 4])]
CASES = [*TOGETHER, *((*case, [3]) for case in [*CONV, *FLOWS])]


@pytest.mark.parametrize(("model", "dataset", "settings", "seeds"), CASES)
def test_interrupted_training_ends_with_the_same_bits(build, tmp_path, model, dataset, settings, seeds):
    built = build(model, dataset, **settings)
    expected = train(built, seeds)
    assert all(fit.status == "ok" for fit in expected)
    rng, kills = random.Random(f"{model} {settings} {seeds}"), 0
    while kills < 5:
        fits, more = killed_again_and_again(built, seeds, tmp_path / "state", rng)
        assert_same(fits, expected)
        kills += more


@pytest.mark.parametrize("model", ["vae", "wgan_gp"])
def test_a_training_that_draws_ahead_goes_on_within_what_is_drawn(monkeypatch, build, tmp_path, model):
    monkeypatch.setattr("deepgen_bench.models.deep.training_rng", lambda device: BufferedReplicateRNG)
    built = build(model, "gaussian_ring")
    expected = train(built, [0, 1, 4])
    for step in (1, AHEAD - 1, AHEAD, AHEAD + 3):
        with pytest.raises(Killed):
            train(built, [0, 1, 4], KilledAt(tmp_path / f"state {step}", step))
        some = train(built, [0, 4], Checkpointer(tmp_path / f"state {step}", {"data": "these data"}, 1e9))
        assert_same(some, expected[::2])


def test_samples_after_an_interruption_are_the_same(build, tmp_path):
    built, seeds = build("gan", "digits", network="conv"), [2]
    expected = train(built, seeds)
    with pytest.raises(Killed):
        train(built, seeds, KilledAt(tmp_path / "state", 13))
    fits = train(built, seeds, Checkpointer(tmp_path / "state", {"data": "these data"}, 1e9))
    drawn = []
    for fit in (*expected, *fits):
        built[0].load(fit.checkpoints["best"])
        drawn.append(built[0].sample(50, 0)[""])
    np.testing.assert_array_equal(*drawn)


def test_a_replicate_that_has_diverged_stays_so(build, tmp_path):
    (model, data), seeds = build("wgan", "gaussian_ring"), [0, 1, 4]

    class Poisoned(type(model)):
        def build(self, generators):
            networks = super().build(generators)
            with torch.no_grad():
                next(networks.parameters())[1] = torch.nan
            return networks

    built = Poisoned(model.settings, model.spec), data
    expected = train(built, seeds)
    assert [fit.status for fit in expected] == ["ok", "diverged", "ok"]
    fits, kills = killed_again_and_again(built, seeds, tmp_path / "state", random.Random(0))
    assert kills and "nan" in repr(fits[1].curves)
    assert_same(fits, expected)


@pytest.mark.parametrize("some", [[4], [1, 0], [4, 0, 1]])
def test_some_of_those_trained_together_go_on_without_the_others(build, tmp_path, capsys, some):
    built, seeds = build("wgan_gp", "gaussian_ring"), [0, 1, 4]
    expected = train(built, seeds)
    with pytest.raises(Killed):
        train(built, seeds, KilledAt(tmp_path / "state", 25))
    checkpointer = Checkpointer(tmp_path / "state", {"data": "these data"}, 1e9)
    assert_same(train(built, some, checkpointer), [expected[seeds.index(seed)] for seed in some])
    assert checkpointer.resumed_at == [25] and "goes on after step 25" in capsys.readouterr().err


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "one bit of the arrays": lambda path: flip(path, -1000),
    "one bit of the curves": lambda path: flip(path, path.read_bytes().index(b'"data": [') + 20),
    "one bit of the digest": lambda path: flip(path, 5),
    "the end": truncate,
    "all of it": lambda path: path.write_bytes(b""),
    "something else": lambda path: path.write_bytes(b"\n\n\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_named_and_not_used(build, tmp_path, capsys, damage):
    built, path = build("vae", "gaussian_ring"), tmp_path / "state"
    expected = train(built, [0, 1])
    with pytest.raises(Killed):
        train(built, [0, 1], KilledAt(path, 25))
    DAMAGES[damage](path)
    assert_same(train(built, [0, 1], Checkpointer(path, {"data": "these data"}, 1e9)), expected)
    assert capsys.readouterr().err == f"{path}: damaged; training starts from the beginning\n"


@pytest.mark.parametrize(
    ("seeds", "data", "why"),
    [([0, 1], "other data", "data changed"), ([0, 2], "these data", "of seeds [0, 1]")],
)
def test_the_state_of_something_else_is_named_and_not_used(build, tmp_path, capsys, seeds, data, why):
    built, path = build("vae", "gaussian_ring"), tmp_path / "state"
    with pytest.raises(Killed):
        train(built, [0, 1], KilledAt(path, 25))
    assert_same(train(built, seeds, Checkpointer(path, {"data": data}, 1e9)), train(built, seeds))
    assert capsys.readouterr().err == f"{path}: {why}; training starts from the beginning\n"


# signals


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal: a shell's background jobs, and these tests among them, are told to ignore it."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_training_once_its_state_is_kept(build, tmp_path, capsys, number, status):
    built, path, handler = build("vae", "gaussian_ring"), tmp_path / "state", signal.getsignal(number)
    expected = train(built, [0, 1])
    steps, model = 0, built[0]

    def step():
        nonlocal steps
        steps += 1
        if steps == 7:
            signal.raise_signal(number)
        return type(model).step(model)

    model.step = step
    with pytest.raises(SystemExit) as end:
        train(built, [0, 1], Checkpointer(path, {"data": "these data"}, 1e9))
    assert end.value.code == status and signal.getsignal(number) == handler
    name = signal.Signals(number).name
    said = f"{path}: stopped by {name} after step 7; the same command goes on from here\n"
    assert capsys.readouterr().err == said
    assert_same(train(built, [0, 1], Checkpointer(path, {"data": "these data"}, 1e9)), expected)


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_signal_and_one_after_the_last_step_end_the_process_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt), Checkpointer(tmp_path / "state", {}, 1e9) as checkpointer:
        assert not checkpointer.due()
        signal.raise_signal(signal.SIGINT)
        assert checkpointer.due()
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the process goes on")
    with pytest.raises(KeyboardInterrupt), Checkpointer(tmp_path / "state", {}, 1e9) as checkpointer:
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_signal_that_the_parent_process_wants_ignored_is_ignored(tmp_path):
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Checkpointer(tmp_path / "state", {}, 1e9) as checkpointer:
            signal.raise_signal(signal.SIGINT)
            assert not checkpointer.due()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
