"""Train the classifier whose features stand in for Inception's on small images. Opens the test split, as measuring
does."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from deepgen_bench.experiment.store import Store
from deepgen_bench.metrics.context import Extractor
from deepgen_bench.runtime.device import open_device
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.seeds import derive_seed
from deepgen_bench.stages.prepare import open_data
from deepgen_bench.storage.files import Damaged, check_sha256, read_sealed, sha256_of, write_sealed

WEIGHTS, INFO = "classifier.safetensors", "classifier.json"


def train_extractor(store: Store, dataset: str) -> None:
    """Put a classifier of a dataset into the store, unless there is one: trained on the training split, selected on the
    validation split, with a sufficient test accuracy. Errors: `UserError` if the accuracy is too low."""
    directory = store.extractor_dir(dataset)
    with store.locked(directory):
        digest = open_data(store, dataset).digest
        try:
            info = read_info(directory)
        except Damaged as error:
            if directory.is_dir():
                print(f"{error}; it is trained again", file=sys.stderr)
            info = {}
        if info.get("data_digest") != digest:
            (directory / INFO).unlink(missing_ok=True)
            info = train(store, dataset)
    store.write_manifest(store.extractor_manifest(dataset), {"folder": directory.name, "sha256": info["sha256"]})
    accuracy, n = info["test_accuracy"], info["n_test"]
    print(f"{dataset}: the classifier's test accuracy is {accuracy:.4f} on {n} images")


def train(store: Store, dataset: str) -> dict[str, Any]:
    """Train the classifier, write it, and return the content of its information file."""
    from deepgen_bench.metrics.features.classifier import train_classifier

    prepared, source = open_data(store, dataset), store.experiment.dataset(dataset)
    device = open_device(store.experiment.device)
    seed = derive_seed(store.experiment.base_seed, "metric", dataset, "classifier")

    def labelled(split: str) -> tuple[np.ndarray, np.ndarray]:
        labels = prepared.labels(split)
        assert labels is not None, "an experiment with a classifier on data without labels is refused when it is read"
        return prepared.split(split), labels

    classifier = train_classifier(*labelled("train"), *labelled("validation"), prepared.spec, seed, device)
    accuracy, n = classifier.accuracy(*labelled("test")), prepared.sizes["test"]
    if source.minimum_accuracy is not None and accuracy < source.minimum_accuracy:
        raise UserError(
            f"extractor of {dataset}: test accuracy {accuracy:.4f} on {n} images, at least {source.minimum_accuracy} "
            "is needed before its features may serve a metric"
        )
    directory = store.extractor_dir(dataset)
    classifier.save(directory / WEIGHTS)
    info = {"test_accuracy": accuracy, "n_test": n, "device": device, "data_digest": prepared.digest}
    info |= {"sha256": sha256_of(directory / WEIGHTS)}
    write_sealed(directory / INFO, info)
    return info


def read_info(directory: Path) -> dict[str, Any]:
    """Information on the classifier in a folder. Errors: `Damaged` if its weights are not as written."""
    info = read_sealed(directory / INFO)
    check_sha256(directory / WEIGHTS, info["sha256"])
    return info


def load_extractors(store: Store, dataset: str, device: str) -> dict[str, Extractor]:
    """The extractors that the experiment's metrics use on a dataset, by name. Errors: `Damaged`."""
    extractors: dict[str, Extractor] = {}
    if store.experiment.uses_extractor(dataset, "classifier"):
        from deepgen_bench.metrics.features.classifier import Classifier

        directory = store.extractor_dir(dataset)
        read_info(directory)
        extractors["classifier"] = Classifier.load(directory / WEIGHTS, device)
    for weights in store.experiment.weights(dataset):
        from deepgen_bench.metrics.features.inception import load_inception

        levels = open_data(store, dataset).spec.levels
        extractors["inception"] = load_inception(weights, device, levels or 256)
    return extractors
