"""Write a dataset's fixed splits into the store."""

from deepgen_bench.config import Experiment, named
from deepgen_bench.damage import Damaged
from deepgen_bench.datasets.prepared import Prepared, prepare
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.errors import UserError
from deepgen_bench.metrics.inception_weights import read_weights
from deepgen_bench.runs import make_model
from deepgen_bench.store import Store


def prepare_dataset(store: Store, dataset: str) -> None:
    """Prepare the splits under their identity, unless they are there.

    Every fault in the source shows here, before any training, and so does one in what the data will meet later: a model
    or a classifier that cannot take images of this size, the weights of Inception.
    """
    directory, made = store.data_dir(dataset), store.experiment.dataset(dataset)
    for weights in store.experiment.weights(dataset):
        read_weights(weights)

    def accept(spec: DataSpec) -> None:
        check_takers(store.experiment, dataset, spec)

    with store.locked(directory):
        try:
            prepared = Prepared(directory)
            prepared.check()
            whole = prepared.source == made.fingerprint()
        except Damaged:
            whole = False
        if whole:
            accept(prepared.spec)
        else:
            prepare(made, store.experiment.base_seed, directory, accept)
            prepared = Prepared(directory)
    store.write_manifest(store.data_manifest(dataset), {"folder": directory.name, "digest": prepared.digest})
    print(f"{dataset}: {prepared.sizes}, digest {prepared.digest[:12]}")


def check_takers(experiment: Experiment, dataset: str, spec: DataSpec) -> None:
    """Raise `UserError` for a model or an extractor of the experiment that cannot take images of this size."""
    if not spec.levels:
        return  # what vectors do not go with is known from the experiment file
    for label, entry in experiment.models.items():
        name, settings = entry.model or label, experiment.model_settings(label, dataset)
        named(f"models.{label} on datasets.{dataset}", lambda n=name, s=settings: make_model(n, s, spec, "cpu"))
    if experiment.uses_extractor(dataset, "classifier") and min(spec.shape[1:]) < 2:
        raise UserError(
            f"metrics.fidelity on datasets.{dataset}: extractors: classifier needs images of at least 2 × 2, "
            f"found {spec.shape[1:]}; valid here: data"
        )


def open_data(store: Store, dataset: str) -> Prepared:
    """The prepared splits; what is damaged or gone is made anew."""
    return Prepared(store.data_dir(dataset), lambda: prepare_dataset(store, dataset))
