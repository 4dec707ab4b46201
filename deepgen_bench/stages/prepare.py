"""Write a dataset's fixed splits into the store."""

import sys
from collections.abc import Callable

from deepgen_bench.datasets.prepared import Prepared, prepare
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.experiment.load import Experiment
from deepgen_bench.experiment.store import Store
from deepgen_bench.metrics.features.inception_weights import read_weights
from deepgen_bench.runtime.errors import UserError, named
from deepgen_bench.storage.files import Damaged, read_sealed


def prepare_dataset(store: Store, dataset: str) -> None:
    """Prepare the splits under their identity, unless they are there.

    Every fault in the source is reported here, before any training, and so is one that later jobs would meet: a model
    or a classifier that cannot take images of this size, unusable weights of Inception. Errors: `UserError`; nothing is
    written then.
    """
    for weights in store.experiment.weights(dataset):
        read_weights(weights)

    def check(spec: DataSpec, n_test: int) -> None:
        check_uses(store.experiment, dataset, spec, n_test)

    prepared = write_splits(store, dataset, check)
    check(prepared.spec, prepared.sizes["test"])
    print(f"{dataset}: {prepared.sizes}, digest {prepared.digest[:12]}")


def write_splits(
    store: Store, dataset: str, check: Callable[[DataSpec, int], None] = lambda spec, n_test: None
) -> Prepared:
    """Prepare the splits, unless they are there, and write the experiment's manifest of them. `check` may refuse data
    of this spec with so many test examples before they are written."""
    directory, source = store.data_dir(dataset), store.experiment.dataset(dataset)
    with store.locked(directory):
        try:
            prepared = Prepared(directory)
            prepared.check()
            current = prepared.source == source.fingerprint()
        except Damaged as error:
            if directory.is_dir():
                print(f"{error}; it is prepared again", file=sys.stderr)
            current = False
        if not current:
            prepare(source, store.experiment.base_seed, directory, check)
            prepared = Prepared(directory)
    store.write_manifest(store.data_manifest(dataset), {"folder": directory.name, "digest": prepared.digest})
    return prepared


def check_uses(experiment: Experiment, dataset: str, spec: DataSpec, n_test: int) -> None:
    """Raise `UserError` for a model or an extractor of the experiment that cannot take data of this spec, and for
    samples from files that do not fit the data."""
    for label in experiment.models:
        check_contents(experiment, dataset, label, spec, n_test)
        settings = experiment.model_settings(label, dataset)
        named(f"models.{label} on datasets.{dataset}", lambda s=settings: s.check(spec.support, spec))
    if spec.levels and experiment.uses_extractor(dataset, "classifier") and min(spec.shape[1:]) < 2:
        raise UserError(
            f"metrics.fidelity on datasets.{dataset}: extractors: classifier needs images of at least 2 × 2, "
            f"found {spec.shape[1:]}; valid here: data"
        )


def check_contents(experiment: Experiment, dataset: str, model: str, spec: DataSpec, n_test: int) -> None:
    """Raise `UserError` for samples from files that do not fit the data, or are too few for the experiment."""
    measured = min(n_test, experiment.likelihood.n) if experiment.likelihood else 0
    settings = experiment.model_settings(model, dataset)
    named(f"models.{model} on datasets.{dataset}", lambda: settings.check_contents(experiment.seeds, spec, measured))


def open_data(store: Store, dataset: str) -> Prepared:
    """The prepared splits. Errors: `Damaged` if they are missing, altered, or of another experiment's files."""
    prepared, manifest = Prepared(store.data_dir(dataset)), store.data_manifest(dataset)
    if manifest.is_file() and read_sealed(manifest)["digest"] != prepared.digest:
        raise Damaged(store.data_dir(dataset), "not the data of this experiment, but of another one's files")
    return prepared
