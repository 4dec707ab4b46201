"""Choose the default hyper-parameters by random search, with equally many trials for every model and dataset.

    python benchmarks/tune.py --jobs 2                                          all trials, written to docs/tuning.csv
    python benchmarks/tune.py --dataset digits --model vae wgan_gp              repeats these trials
    python benchmarks/tune.py --winners                                         prints the winners; trains nothing

Each trial trains replicates whose seeds the benchmark does not use and scores their final checkpoints on validation
data, never on the test split. Rows of a dataset and model that are searched again are replaced. docs/tuning.md explains
the space and the scores.
"""

import argparse
import csv
import io
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from deepgen_bench.datasets.base import Splits
from deepgen_bench.models.base import DiffusionProcess, Streams, TrainingData
from deepgen_bench.models.replicate import make_model
from deepgen_bench.plugins import DATASETS, MODELS
from deepgen_bench.runtime.device import set_threads
from deepgen_bench.runtime.seeds import derive_rng, derive_seed
from deepgen_bench.storage.files import write_text
from deepgen_bench.training.result import TrainingResult

TABLE = Path(__file__).resolve().parents[1] / "docs" / "tuning.csv"
BASE_SEED = 0
SEEDS = (1000, 1001, 1002)
TRIALS = 6
PROJECTIONS = 200

# training examples seen by the generator or decoder, the same for every model
BUDGETS = {"sine_mixture": 200_000, "gaussian_ring": 300_000, "gaussian_grid": 400_000, "digits": 300_000}

Space = dict[str, tuple[Any, ...]]

# values from which a trial draws each hyper-parameter uniformly; a single value was fixed by hand before the search
GAN: Space = {
    "batch_size": (64, 128),
    "learning_rate": (3e-4, 1e-3),
    "discriminator_learning_rate": (3e-4, 1e-3),
    "beta1": (0.0, 0.5),
    "critic_steps": (1, 2),
}
SPACES: dict[str, Space] = {
    "vae": {},
    "gan": GAN,
    "gan_ns": GAN,
    "wgan": {
        "batch_size": (64, 128),
        "learning_rate": (5e-4, 1e-3, 2e-3),
        "clip": (0.05, 0.1, 0.2, 0.3),
        "critic_steps": (2, 3, 5),
    },
    "wgan_gp": {"batch_size": (64, 128), "learning_rate": (5e-4, 1e-3, 2e-3), "critic_steps": (2, 3, 5)},
    "flow": {"transform": ("spline",)},
    "diffusion": {"batch_size": (64, 128), "learning_rate": (1e-3, 2e-3, 4e-3), "fourier_features": (2, 3)},
}
# parts of the space that depend on the data
ADVERSARIAL_VECTORS: Space = {"hidden": ([64, 64], [128, 128]), "latent_dim": (2,)}
ADVERSARIAL_IMAGES: Space = {"hidden": ([128, 128], [256, 256]), "latent_dim": (16,)}
VECTORS: dict[str, Space] = {
    "vae": {
        "batch_size": (32, 64),
        "learning_rate": (1e-3, 2e-3, 3e-3),
        "hidden": ([128, 128], [128, 128, 128]),
        "latent_dim": (2,),
        "initial_tau": (0.03, 0.1, 0.3),
    },
    "gan": ADVERSARIAL_VECTORS,
    "gan_ns": ADVERSARIAL_VECTORS,
    "wgan": ADVERSARIAL_VECTORS,
    "wgan_gp": ADVERSARIAL_VECTORS | {"penalty": (0.1, 1.0)},
    "flow": {
        "structure": ("autoregressive",),
        "transforms": (2, 3),
        "hidden": ([64, 64], [128, 128]),
        "bins": (16, 32),
        "batch_size": (128, 256),
        "learning_rate": (2e-3, 3e-3, 5e-3),
    },
    "diffusion": {"noise_levels": (2, 4), "hidden": ([128, 128], [128, 128, 128])},
}
IMAGES: dict[str, Space] = {
    "vae": {
        "decoder": ("bernoulli",),
        "batch_size": (64, 128),
        "learning_rate": (5e-4, 1e-3, 2e-3),
        "hidden": ([128, 128], [256, 256]),
        "latent_dim": (8, 16),
    },
    "gan": ADVERSARIAL_IMAGES,
    "gan_ns": ADVERSARIAL_IMAGES,
    "wgan": ADVERSARIAL_IMAGES,
    "wgan_gp": ADVERSARIAL_IMAGES | {"penalty": (1.0, 10.0)},
    "flow": {
        "structure": ("coupling",),
        "transforms": (2,),
        "hidden": ([64], [128], [256]),
        "bins": (4,),
        "batch_size": (256,),
        "learning_rate": (5e-4, 1e-3, 2e-3),
        "alpha": (1e-3, 1e-2),
        "weight_decay": (0.3, 1.0, 3.0),
    },
    "diffusion": {"noise_levels": (1, 2), "hidden": ([256, 256], [192, 192, 192])},
}
# differences in one dimension
NARROW: Space = {"hidden": ([64, 64],), "latent_dim": (1, 2)}
ONE_DIMENSION: dict[str, Space] = {
    "vae": NARROW,
    "gan": NARROW,
    "gan_ns": NARROW,
    "wgan": NARROW,
    "wgan_gp": NARROW | {"batch_size": (128,), "penalty": (0.01, 0.1)},
    # the flow has no network in one dimension
    "flow": {"transforms": (1, 2, 3), "hidden": ([64, 64],), "learning_rate": (5e-3, 1e-2, 2e-2)},
    "diffusion": {"hidden": ([64, 64],)},
}

# width × critic steps beyond which five replicates take too long for the default experiment
WORK = 384


def draw_settings(dataset: str, model: str) -> list[dict[str, Any]]:
    """The trials of a dataset and model: distinct points of its space, the same at every call."""
    space = SPACES[model] | (IMAGES if dataset == "digits" else VECTORS)[model]
    if dataset == "sine_mixture":
        space |= ONE_DIMENSION[model]
    rng = derive_rng(BASE_SEED, "tune", dataset, model)
    trials: list[dict[str, Any]] = []
    while len(trials) < TRIALS:
        trial = {name: values[rng.integers(len(values))] for name, values in space.items()}
        if trial not in trials and trial["hidden"][0] * trial.get("critic_steps", 1) <= WORK:
            trials.append(trial)
    return trials


@cache
def load(dataset: str) -> Splits:
    return DATASETS[dataset](DATASETS[dataset].Settings()).splits(BASE_SEED)


@cache
def classifier() -> Any:
    """The feature extractor for digits, trained on their training split."""
    from deepgen_bench.metrics.features.classifier import train_classifier

    data = load("digits")
    arrays = data.train, data.labels["train"], data.validation, data.labels["validation"]
    return train_classifier(*arrays, data.spec, derive_seed(BASE_SEED, "tune", "digits", "classifier"))


def distance(dataset: str, samples: np.ndarray) -> float:
    """The score of samples: sliced W2 (vectors) or the Fréchet distance in classifier features (digits)."""
    from deepgen_bench.metrics.features.frechet import frechet_distance
    from deepgen_bench.metrics.samples.transport import random_projections, sliced_wasserstein

    real = load(dataset).validation
    if dataset == "digits":
        return frechet_distance(classifier()(real).features, classifier()(samples).features).value
    directions = random_projections(real.shape[1], PROJECTIONS, derive_rng(BASE_SEED, "tune", dataset, "projections"))
    return sliced_wasserstein(samples, real, directions).value


def score(dataset: str, model: str, settings: Any, fit: TrainingResult, seed: int) -> float:
    """The score of one replicate's final checkpoint, lower is better; infinite if it diverged."""
    if fit.status != "ok":
        return math.inf
    if MODELS[model].family_name in ("latent", "tractable") or (model, dataset) == ("diffusion", "digits"):
        return fit.curves[-1]["validation_score"]
    replicate = make_model(model, settings, load(dataset).spec, "cpu")
    replicate.load(fit.checkpoints["final"])
    if isinstance(replicate, DiffusionProcess):
        from deepgen_bench.metrics.likelihood.diffusion import bound

        noise = derive_seed(BASE_SEED, "tune", dataset, "noise")
        return -float(bound(replicate, load(dataset).validation[:2000], noise)[0].mean())
    samples = replicate.sample(4000, Streams(BASE_SEED, dataset, model).seed("sample", seed))
    return distance(dataset, list(samples.values())[-1])


def run_trial(dataset: str, model: str, trial: int, given: dict[str, Any]) -> dict[str, Any]:
    """Train and score one point of the space; one row of the table. `seconds` are CPU seconds of training."""
    import torch

    torch.set_num_threads(1)
    data, settings = load(dataset), MODELS[model].settings.model_validate(given)
    network, training = make_model(model, settings, data.spec, "cpu"), TrainingData(data.train, data.validation)
    started = time.process_time()
    fits = network.fit(
        training, list(SEEDS), Streams(BASE_SEED, dataset, model), BUDGETS[dataset], lambda done, total, note: None
    )
    seconds = time.process_time() - started
    scores = {f"score_{k}": score(dataset, model, settings, fit, k) for k, fit in zip(SEEDS, fits, strict=True)}
    row = {"dataset": dataset, "model": model, "trial": trial, "settings": json.dumps(given)}
    return row | {name: f"{value:.6g}" for name, value in scores.items()} | {"seconds": f"{seconds:.1f}"}


def read_table() -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(TABLE.read_text()))) if TABLE.exists() else []


def write_table(rows: list[dict[str, Any]]) -> None:
    datasets, models = list(BUDGETS), list(SPACES)
    rows.sort(key=lambda row: (datasets.index(row["dataset"]), models.index(row["model"]), int(row["trial"])))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(TABLE, text.getvalue())


def scores(row: dict[str, Any]) -> list[float]:
    return [float(row[f"score_{seed}"]) for seed in SEEDS]


def ranked(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """The trials of every dataset and model, best first: by the mean over seeds, then by the worst seed."""
    for (dataset, model), trials in groupby(rows, key=lambda row: (row["dataset"], row["model"])):
        yield dataset, model, sorted(trials, key=lambda row: (np.mean(scores(row)), max(scores(row))))


def print_winners() -> None:
    print("| dataset | model | winner's scores by seed | mean | runner-up | settings | CPU s |\n|" + " --- |" * 7)
    for dataset, model, trials in ranked(read_table()):
        first, second = trials[0], trials[min(1, len(trials) - 1)]
        each = ", ".join(f"{value:.3g}" for value in scores(first))
        settings = ", ".join(f"{name} {value}" for name, value in json.loads(first["settings"]).items())
        means = f"{np.mean(scores(first)):.3g} | {np.mean(scores(second)):.3g}"
        print(f"| {dataset} | {model} | {each} | {means} | {settings} | {first['seconds']} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", nargs="+", choices=list(BUDGETS), default=list(BUDGETS))
    parser.add_argument("--model", nargs="+", choices=list(SPACES), default=list(SPACES))
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--winners", action="store_true", help="train nothing, print the winners of the table")
    arguments = parser.parse_args()
    if not arguments.winners:
        set_threads()  # read when a worker imports torch
        chosen = [(dataset, model) for dataset in arguments.dataset for model in arguments.model]
        rows = [row for row in read_table() if (row["dataset"], row["model"]) not in chosen]
        with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
            futures = [
                pool.submit(run_trial, dataset, model, trial, given)
                for dataset, model in chosen
                for trial, given in enumerate(draw_settings(dataset, model))
            ]
            for future in as_completed(futures):
                row = future.result()
                rows.append(row)
                write_table(rows)
                print(*row.values(), flush=True)
    print_winners()


if __name__ == "__main__":
    main()
