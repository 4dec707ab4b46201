"""What the tests of killed jobs share: a small experiment, its digests, and what a killed job leaves."""

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.models.replicate import Replicate
from deepgen_bench.storage import files

SMALL = {"hidden": [16], "batch_size": 16, "latent_dim": 2}


def experiment(dataset, model, settings, steps, **other):
    return load_experiment(
        {
            "name": "small",
            "device": "cpu",
            "seeds": [0, 1],
            "samples": 40,
            "checkpoint_seconds": 0,
            "datasets": {dataset: {"budget": steps * SMALL["batch_size"]}},
            "models": {model: {"settings": SMALL | settings}},
            "metrics": {"transport": {"n": 40}},
        }
        | other
    )


def digests(store, dataset, model):
    """The digest of states, samples and status of each seed, all of which are what it says they are."""
    found = []
    for seed in store.experiment.seeds:
        run = Replicate(store.run_dir(dataset, model, seed))
        assert all(run.state(checkpoint) for checkpoint in run.checkpoints)
        for name, digest in run.info["samples"].items():
            assert files.sha256_of(run.directory / name) == digest
        found.append(run.info["digest"])
    return found


def leftovers(root):
    return [*root.rglob("*.checkpoint"), *root.rglob("*.part")]
