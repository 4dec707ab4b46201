"""Rows of the tidy table for tests."""

CLASSIFIER = "digest=0a1b2c3d4e5f;extractor=classifier"
INCEPTION = "digest=6726825d0af5;extractor=inception"


def row(**cells):
    role = "oracle" if cells.get("model") == "oracle" else "model"
    return {
        "role": role,
        **{"experiment": "demo", "dataset": "digits", "model": "gan", "seed": 0, "metric": "w2", "variant": "p=2"},
        **{"value": 1.0, "std_error": None, "mc_error": None, "bound": "estimate", "unit": "", "direction": "min"},
        **{"n_real": 360, "n_generated": 360, "reference_split": "test", "checkpoint": "final", "status": "ok"},
        **{"reason": "", "seconds": 0.5, "device": "cpu", "run_id": "settings/seed_0", "protocol_version": "1"},
        **cells,
    }


def seeds(values, **cells):
    """One row for each value; None is a diverged seed."""
    lost = {"value": None, "status": "diverged", "reason": "loss became NaN at step 7"}
    return [row(seed=k, **cells, **({"value": v} if v is not None else lost)) for k, v in enumerate(values)]


def n_a(**cells):
    return row(value=None, status="not_applicable", variant="", n_real=None, n_generated=None, **cells)
