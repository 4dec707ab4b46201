"""Jobs killed at each of their writes: what they leave is no result, and the next one repairs it."""

import os
import shutil
from itertools import count
from pathlib import Path

import pytest
from killing import digests, experiment, leftovers
from project import changed

from deepgen_bench.experiment.plan import Plan
from deepgen_bench.experiment.store import Store
from deepgen_bench.models import replicate as runs
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.stages.measure import measure_samples
from deepgen_bench.stages.prepare import prepare_dataset
from deepgen_bench.stages.train import train_block
from deepgen_bench.storage import files
from deepgen_bench.storage.files import Damaged
from deepgen_bench.training.checkpoint import Checkpointer


class Killed(BaseException):
    """The end of a process that nothing may catch."""


# at every write of a job, in this process


def leave_a_part(part, path):
    shutil.copy(part, f"{part}.1.part")


def delete_half(folder, **_):
    for file in sorted(Path(folder).glob("*.*"))[::2]:
        file.unlink()


def kill(monkeypatch, moment):
    """Raise `Killed` at one of the moments before (something is begun) and after a file or folder is replaced."""
    moments = count()

    def around(operation, begun):
        def run(*arguments, **options):
            if next(moments) == moment:
                begun(*arguments, **options)
                raise Killed
            operation(*arguments, **options)
            if next(moments) == moment:
                raise Killed

        return run

    monkeypatch.setattr(files.os, "replace", around(os.replace, leave_a_part))
    monkeypatch.setattr(runs.shutil, "rmtree", around(shutil.rmtree, delete_half))


NETWORKS = {"gan": {"network": "conv", "channels": 4}, "vae": {}}


@pytest.fixture(scope="module")
def finished(request, tmp_path_factory):
    """A small experiment with this model, a folder with its data and one that is finished."""
    made = experiment("digits", request.param, NETWORKS[request.param], steps=2)
    data, whole = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("whole")
    prepare_dataset(Store(made, data), "digits")
    shutil.copytree(data, whole, dirs_exist_ok=True)
    train_block(Store(made, whole), "digits", request.param, 0)
    return made, data, whole


@pytest.mark.parametrize(
    ("finished", "before"),
    [("gan", "nothing"), ("vae", "other code"), ("vae", "fewer samples")],
    indirect=["finished"],
)
def test_a_job_killed_at_any_write_leaves_no_result_and_is_repaired(finished, tmp_path, monkeypatch, before):
    made, data, whole = finished
    (model,) = made.models
    expected = digests(Store(made, whole), "digits", model)
    if before == "fewer samples":
        made = changed(made, {"samples": 60})
        store = Store(made, shutil.copytree(whole, tmp_path / "more"))
        train_block(store, "digits", model, 0)
        expected = digests(store, "digits", model)
    stopped = 0
    for moment in count():
        store = Store(made, shutil.copytree(data if before == "nothing" else whole, tmp_path / f"at_{moment}"))
        with monkeypatch.context() as patch:
            if before == "other code":
                patch.setattr(Store, "model_code", lambda *_: "other")
            with patch.context() as killer:
                kill(killer, moment)
                try:
                    train_block(store, "digits", model, 0)
                except Killed:
                    pass
                else:
                    break
            # a later stage takes no half-written file for a result
            try:
                measure_samples(store, "digits", model, 0)
            except Damaged:
                stopped += 1
            else:
                assert digests(store, "digits", model) == expected
            train_block(store, "digits", model, 0)
            assert digests(store, "digits", model) == expected
            measure_samples(store, "digits", model, 0)
            assert not leftovers(store.root)
        shutil.rmtree(store.root)
    assert moment > 10 and 0 < stopped <= moment


@pytest.mark.parametrize("finished", ["gan"], indirect=True)
def test_trained_groups_are_not_trained_again(finished, tmp_path, monkeypatch, capsys):
    made, data, _ = finished
    (model,) = made.models
    store = Store(made, shutil.copytree(data, tmp_path / "results"))
    keeps = []
    save = Checkpointer.save

    def kill_in_the_second_group(self, *state):
        save(self, *state)
        keeps.append(state[:2])
        if state[:2] == ([1], 1):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpointer, "save", kill_in_the_second_group)
        with pytest.raises(Killed):
            train_block(store, "digits", model, 0)
        assert keeps == [([0], 1), ([0], 2), ([1], 1)]
        train_block(store, "digits", model, 0)
        assert keeps[3:] == [([1], 2)]
    resumed = [Replicate(store.run_dir("digits", model, seed)).info["resumed_at"] for seed in (0, 1)]
    assert resumed == [[], [1]] and "seed_0.checkpoint: training goes on after step 1" in capsys.readouterr().err


def test_the_interval_changes_no_identity():
    plans = [Plan(experiment("digits", "vae", {}, 3, checkpoint_seconds=seconds)) for seconds in (1, 60)]
    assert len({plan.train("digits", "vae", 0) for plan in plans}) == 1
    assert len({plan.store.checkpoint("digits", "vae", 0) for plan in plans}) == 1
