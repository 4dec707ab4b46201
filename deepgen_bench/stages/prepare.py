"""Write a dataset's fixed splits into the store."""

from deepgen_bench.config import named
from deepgen_bench.datasets.prepared import Prepared, prepare
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.inception_weights import read_weights
from deepgen_bench.runs import make_model
from deepgen_bench.stages.extractor import check_classifier
from deepgen_bench.store import Store


def prepare_dataset(store: Store, dataset: str) -> None:
    """Prepare the splits under their identity.

    Every fault in the source shows here, before any training, and so does one in what the data will meet later: a model
    or a classifier that cannot take images of this size, the weights of Inception.
    """
    experiment, directory = store.experiment, store.data_dir(dataset)
    for weights in experiment.weights(dataset):
        read_weights(weights)

    def accept(spec: DataSpec) -> None:
        if not spec.levels:
            return  # what vectors do not go with is known from the experiment file
        for label, entry in experiment.models.items():
            name, settings = entry.model or label, experiment.model_settings(label, dataset)
            named(f"models.{label} on datasets.{dataset}", lambda n=name, s=settings: make_model(n, s, spec, "cpu"))
        if experiment.uses_extractor(dataset, "classifier"):
            named(f"metrics.fidelity on datasets.{dataset}", lambda: check_classifier(spec))

    prepare(experiment.dataset(dataset), experiment.base_seed, directory, accept)
    prepared = Prepared(directory)
    print(f"{dataset}: {prepared.sizes}, digest {prepared.digest[:12]}")
