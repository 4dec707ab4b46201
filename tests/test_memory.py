"""Memory that runs out, for real: the address space of a process is limited, and the allocator says so."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from killing import experiment

from deepgen_bench.experiment.store import Store
from deepgen_bench.runtime.memory import evaluate_in_halves
from deepgen_bench.stages.prepare import prepare_dataset

LIMITED = """
import resource
from deepgen_bench.runtime.device import set_threads
set_threads()
import numpy as np, torch
torch.set_num_threads(1)


def limit(megabytes):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, -1))

"""


def run(script, *arguments):
    command = [sys.executable, "-c", LIMITED + textwrap.dedent(script), *map(str, arguments)]
    # what is freed goes back to the system, or the allocator would serve later demands from it, on some machines
    allocator = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | allocator)


def test_rows_are_halved_until_they_fit():
    tried = []

    def evaluate(rows):
        tried.append((rows.start, rows.stop))
        if rows.stop - rows.start > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return list(range(rows.start, rows.stop))

    assert sum(evaluate_in_halves(evaluate, 10, 5), []) == list(range(5, 15))
    assert tried[:3] == [(5, 15), (5, 10), (5, 7)]
    with pytest.raises(MemoryError):
        evaluate_in_halves(lambda rows: np.zeros(10**15), 4)
    with pytest.raises(RuntimeError, match="shapes"):
        evaluate_in_halves(lambda rows: (_ for _ in ()).throw(RuntimeError("shapes do not fit")), 4)


MODEL = """
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood.importance import weigh
from deepgen_bench.metrics.features.networks import in_batches
from deepgen_bench.plugins import MODELS
from deepgen_bench.models.replicate import make_model

settings = dict(hidden=(64, 4096)) if "{name}" != "flow" else dict(hidden=(64,), transform="affine", transforms=1)
model = make_model("{name}", MODELS["{name}"].settings(**settings), DataSpec((3, 64, 64), "image", 256), "cpu")
model.module = model.build([torch.Generator().manual_seed(0)]).eval()
x = torch.rand(8, model.spec.dim, generator=torch.Generator().manual_seed(1))
images = (x.repeat(64, 1) * 256).to(torch.uint8).view(-1, 3, 64, 64).numpy()
layer = torch.nn.Linear(model.spec.dim, 10)
"""
# what is evaluated: of which model, and the megabytes that are too few for it in one piece
EVALUATIONS = {
    "samples of a VAE": ("vae", 'model.sample(1000, 7)["draw"]', 160),
    "samples of a GAN": ("gan", 'model.sample(1000, 7)[""]', 70),
    "features": ("gan", "in_batches(lambda x: (layer(x.flatten(1).float()),), images, 512, 'cpu')[0]", 15),
    "exact likelihoods": ("flow", "model.log_prob(x.repeat(64, 1).double().numpy())", 125),
    "importance weights": ("vae", "weigh(model, x, 200, torch.Generator().manual_seed(2))[2]", 30),
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluations_adapt_to_memory_with_the_same_draws(name):
    model, evaluate, megabytes = EVALUATIONS[name]
    script = f"""
        evaluate = lambda: {evaluate}
        from deepgen_bench.runtime import memory
        calls, real = [], memory.is_out_of_memory
        memory.is_out_of_memory = lambda error: calls.append(1) or real(error)
        with torch.inference_mode():
            whole = evaluate()
            assert not calls
            limit({megabytes})
            small = evaluate()
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        assert calls, "it fits: the test shows nothing"
        assert whole.dtype == small.dtype and whole.shape == small.shape
        # grey levels beside a rounding edge may fall on the other side
        difference = np.abs(whole.astype(float) - small.astype(float))
        scale = 1 if whole.dtype == np.uint8 else 1e-4 * np.abs(whole).max()
        print(len(calls), difference.max(), (difference > 0).mean())
        assert difference.max() <= scale and (whole.dtype != np.uint8 or (difference > 0).mean() < 1e-3)
    """
    done = run(MODEL.format(name=model) + textwrap.dedent(script))
    assert done.returncode == 0, done.stdout + done.stderr
    print(name, done.stdout)


def test_a_training_that_does_not_fit_names_the_settings_to_lower(tmp_path):
    made = experiment("digits", "vae", {"hidden": [4096], "batch_size": 65536}, 100)
    file, store = tmp_path / "small.json", Store(made, tmp_path / "results")
    file.write_text(made.file.model_dump_json())
    prepare_dataset(store, "digits")
    script = """
        import sys
        from deepgen_bench import cli
        import deepgen_bench.stages.train
        limit(1000)
        sys.argv = ["deepgen-bench", "train", *sys.argv[1:], "--dataset", "digits", "--model", "vae", "--block", "0"]
        cli.main()
    """
    done = run(script, file, "--results", store.root)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: digits/vae seeds [0, 1]: out of memory (") and "Traceback" not in done.stderr
    assert last.endswith("; lower batch_size (65536) or hidden ((4096,)) of vae on digits, or seeds_per_job (5)")
    assert not list(store.root.glob("runs/**/run.json"))
