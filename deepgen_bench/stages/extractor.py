"""Train the classifier whose features stand in for Inception's on small images. Part of measuring: it opens the test
split."""

import numpy as np

from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.device import open_device
from deepgen_bench.errors import UserError
from deepgen_bench.files import write_json
from deepgen_bench.metrics.features import Extractor
from deepgen_bench.seeds import derive_seed
from deepgen_bench.store import Store

WEIGHTS, INFO = "classifier.safetensors", "classifier.json"


def check_classifier(spec: DataSpec) -> None:
    """Raise `UserError` if the classifier cannot take images of this size."""
    if min(spec.shape[1:]) < 2:
        raise UserError(f"extractors: classifier needs images of at least 2 × 2, found {spec.shape[1:]}; valid: data")


def train_extractor(store: Store, dataset: str) -> None:
    """Train on training labels, choose on validation, report test accuracy; too low an accuracy is an error."""
    from deepgen_bench.metrics.classifier import train_classifier

    prepared, made = Prepared(store.data_dir(dataset)), store.experiment.dataset(dataset)
    device = open_device(store.experiment.device)
    seed = derive_seed(store.experiment.base_seed, "metric", dataset, "classifier")

    def labelled(split: str) -> tuple[np.ndarray, np.ndarray]:
        labels = prepared.labels(split)
        assert labels is not None, "the experiment is checked: no classifier without labels"
        return prepared.split(split), labels

    classifier = train_classifier(*labelled("train"), *labelled("validation"), prepared.spec, seed, device)
    accuracy = classifier.accuracy(*labelled("test"))
    print(f"{dataset}: the classifier's test accuracy is {accuracy:.4f} on {prepared.sizes['test']} images")
    if made.minimum_accuracy is not None and accuracy < made.minimum_accuracy:
        raise UserError(
            f"extractor of {dataset}: test accuracy {accuracy:.4f}, at least {made.minimum_accuracy} is needed "
            "before its features may serve a metric"
        )
    directory = store.extractor_dir(dataset)
    classifier.save(directory / WEIGHTS)
    info = {"test_accuracy": accuracy, "n_test": prepared.sizes["test"], "digest": classifier.digest, "device": device}
    write_json(directory / INFO, info)


def load_extractors(store: Store, dataset: str, device: str) -> dict[str, Extractor]:
    """The extractors that the experiment's metrics name and that this dataset has."""
    extractors: dict[str, Extractor] = {}
    if store.experiment.uses_extractor(dataset, "classifier"):
        from deepgen_bench.metrics.classifier import Classifier

        extractors["classifier"] = Classifier.load(store.extractor_dir(dataset) / WEIGHTS, device)
    for weights in store.experiment.weights(dataset):
        from deepgen_bench.metrics.inception import load_inception

        levels = Prepared(store.data_dir(dataset)).spec.levels
        extractors["inception"] = load_inception(weights, device, levels or 256)
    return extractors
