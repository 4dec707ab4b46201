"""Measure one claim of the experiment's theory."""

from dataclasses import asdict

from deepgen_bench.experiment.store import Store
from deepgen_bench.runtime.device import open_device
from deepgen_bench.storage.files import write_json


def measure_claim(store: Store, label: str) -> None:
    """Write what the claim says, the rows that were measured with their verdicts, and what its figure is drawn from."""
    open_device("cpu")
    resolved = store.experiment.theory[label]
    claim = resolved.study(label, resolved.settings, store)
    evidence = claim.evidence()
    rows = [asdict(row) | {"verdict": row.verdict} for row in evidence.rows]
    words = {name: getattr(claim, name) for name in ("title", "statement", "source", "formula", "text")}
    name = store.experiment.file.theory[label].claim or label
    write_json(store.theory(label), {"claim": name, **words, "rows": rows, "tables": evidence.tables})
    for row in evidence.rows:
        predicted = "" if row.prediction is None else f" of {row.prediction:.6g}"
        print(f"{row.quantity}, {row.setting}: {row.measurement:.6g}{predicted}, {row.verdict}")
