"""Run one check of the experiment's calibration."""

from dataclasses import asdict

from deepgen_bench.experiment.store import Store
from deepgen_bench.storage.files import write_json
from deepgen_bench.studies.estimators.check import judge


def calibrate(store: Store, name: str) -> None:
    """Write the check's lines with their verdicts; whether they are as expected is for the table to say."""
    entry = store.experiment.file.calibration[name]
    check = store.experiment.calibration[name]
    lines = check.study(name, check.settings, store).lines()
    rows = []
    for line in lines:
        verdict = judge(line, entry.tolerance)
        expected = "pass" if line.companion else entry.expect
        rows.append(
            asdict(line) | {"check": name, "tolerance": entry.tolerance, "verdict": verdict, "expected": expected}
        )
        print(f"{line.estimator}, {line.setting}: {line.estimate:.6g} of {line.truth:.6g}, {verdict}")
    write_json(store.calibration(name), rows)
