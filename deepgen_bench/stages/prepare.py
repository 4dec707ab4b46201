"""Write a dataset's fixed splits into the store."""

from deepgen_bench.damage import Damaged
from deepgen_bench.datasets.prepared import Prepared, prepare
from deepgen_bench.store import Store


def prepare_dataset(store: Store, dataset: str) -> None:
    """Prepare the splits under their identity, unless they are there; every fault in the source shows here, before any
    training."""
    directory, made = store.data_dir(dataset), store.experiment.dataset(dataset)
    with store.locked(directory):
        try:
            prepared = Prepared(directory)
            prepared.check()
            whole = prepared.source == made.fingerprint()
        except Damaged:
            whole = False
        if not whole:
            prepare(made, store.experiment.base_seed, directory)
            prepared = Prepared(directory)
    store.write_manifest(store.data_manifest(dataset), {"folder": directory.name, "digest": prepared.digest})
    print(f"{dataset}: {prepared.sizes}, digest {prepared.digest[:12]}")


def open_data(store: Store, dataset: str) -> Prepared:
    """The prepared splits; what is damaged or gone is made anew."""
    return Prepared(store.data_dir(dataset), lambda: prepare_dataset(store, dataset))
