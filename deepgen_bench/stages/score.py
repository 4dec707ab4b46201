"""Score a user's own samples."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import pandas as pd

from deepgen_bench.metrics.features.score import score
from deepgen_bench.runtime.device import open_device
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.memory import suggest_on_out_of_memory
from deepgen_bench.storage.files import write_text
from deepgen_bench.storage.keys import Variant


def score_files(
    real: Path, generated: Path, extractor: str, weights: Path | None, n: int | None, output: Path | None
) -> str:
    """Measure, write a CSV file to `output` if given, and return the table as text. Errors: `UserError`."""
    if extractor not in ("inception", "classifier", "data"):
        raise UserError(f"--extractor: {extractor!r}; valid: inception, classifier, data")
    device = "cpu" if extractor == "data" else open_device("auto")
    with suggest_on_out_of_memory("--n", f"scoring {generated}"):
        measured = score(real, generated, cast(Any, extractor), weights, n, device)
    columns = ["metric", "value", "std_error", "variant", "direction", "n_real", "n_generated", "status", "reason"]
    rows = [dataclasses.asdict(m) | {"variant": str(Variant.of(m.variant))} for m in measured]
    table = pd.DataFrame(rows)[columns]
    if output is not None:
        write_text(output, table.to_csv(index=False))
    return table.loc[:, (table != "").any()].to_string(index=False)
