"""Write a dataset's fixed splits into the store."""

from deepgen_bench.datasets.prepared import Prepared, prepare
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.experiment.schema import Experiment
from deepgen_bench.experiment.store import Store
from deepgen_bench.metrics.features.inception_weights import read_weights
from deepgen_bench.models.replicate import make_model
from deepgen_bench.runtime.errors import UserError, named
from deepgen_bench.storage.damage import or_anew
from deepgen_bench.storage.files import Damaged, read_sealed


def prepare_dataset(store: Store, dataset: str) -> None:
    """Prepare the splits under their identity, unless they are there.

    Every fault in the source shows here, before any training, and so does one in what the data will meet later: a model
    or a classifier that cannot take images of this size, the weights of Inception.
    """
    directory, made = store.data_dir(dataset), store.experiment.dataset(dataset)
    for weights in store.experiment.weights(dataset):
        read_weights(weights)

    def accept(spec: DataSpec, n_test: int) -> None:
        check_takers(store.experiment, dataset, spec, n_test)

    with store.locked(directory):
        try:
            prepared = Prepared(directory)
            prepared.check()
            whole = prepared.source == made.fingerprint()
        except Damaged:
            whole = False
        if whole:
            accept(prepared.spec, prepared.sizes["test"])
        else:
            prepare(made, store.experiment.base_seed, directory, accept)
            prepared = Prepared(directory)
    store.write_manifest(store.data_manifest(dataset), {"folder": directory.name, "digest": prepared.digest})
    print(f"{dataset}: {prepared.sizes}, digest {prepared.digest[:12]}")


def check_takers(experiment: Experiment, dataset: str, spec: DataSpec, n_test: int) -> None:
    """Raise `UserError` for a model or an extractor of the experiment that cannot take images of this size, and for
    samples made elsewhere that are not of such data."""
    for label, entry in experiment.models.items():
        check_contents(experiment, dataset, label, spec, n_test)
        key, settings = f"models.{label} on datasets.{dataset}", experiment.model_settings(label, dataset)
        if spec.levels:  # what vectors do not go with is known from the experiment file
            named(key, lambda n=entry.model or label, s=settings: make_model(n, s, spec, "cpu"))
    if not spec.levels:
        return
    if experiment.uses_extractor(dataset, "classifier") and min(spec.shape[1:]) < 2:
        raise UserError(
            f"metrics.fidelity on datasets.{dataset}: extractors: classifier needs images of at least 2 × 2, "
            f"found {spec.shape[1:]}; valid here: data"
        )


def check_contents(experiment: Experiment, dataset: str, model: str, spec: DataSpec, n_test: int) -> None:
    """Raise `UserError` for samples made elsewhere that are not of such data, or not enough for the experiment."""
    measured = min(n_test, experiment.likelihood.n) if experiment.likelihood else 0
    settings = experiment.model_settings(model, dataset)
    named(f"models.{model} on datasets.{dataset}", lambda: settings.check_contents(experiment.seeds, spec, measured))


def open_data(store: Store, dataset: str) -> Prepared:
    """The prepared splits; what is damaged, gone, or of another experiment's files of the same name is made anew."""

    def prepare_again() -> None:
        prepare_dataset(store, dataset)

    def read() -> Prepared:
        prepared, manifest = Prepared(store.data_dir(dataset)), store.data_manifest(dataset)
        if manifest.is_file() and read_sealed(manifest)["digest"] != prepared.digest:
            raise Damaged(f"{store.data_dir(dataset)}: not the data of this experiment, but of another one's files")
        return prepared

    return or_anew(read, prepare_again)
