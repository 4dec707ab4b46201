"""Write a dataset's fixed splits into the store."""

from deepgen_bench.datasets.prepared import Prepared, prepare
from deepgen_bench.metrics.inception_weights import read_weights
from deepgen_bench.store import Store


def prepare_dataset(store: Store, dataset: str) -> None:
    """Prepare the splits under their identity; every fault in the source, and in weights that it will be measured with,
    shows here, before any training."""
    for weights in store.experiment.weights(dataset):
        read_weights(weights)
    directory = store.data_dir(dataset)
    prepare(store.experiment.dataset(dataset), store.experiment.base_seed, directory)
    prepared = Prepared(directory)
    print(f"{dataset}: {prepared.sizes}, digest {prepared.digest[:12]}")
