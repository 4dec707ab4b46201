"""Wrong samples made elsewhere, through the command line: one line, status 2, nothing left behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import Command, images, npy_header, refused

Write = Callable[[Path], object]


def saved_array(array: Any, name: str = "x.npy") -> Write:
    return lambda folder: np.save(folder / name, array)


VECTORS, VALUES = np.random.default_rng(0).standard_normal((40, 2)), np.arange(30.0)
WITH_VALUES = {"log_likelihoods": "y.npy", "bound": "exact", "representation": "dequantised"}
# the dataset, what writes the files, the settings, and parts of the line: what `check` knows, and what `prepare` does
HEADERS: dict[str, tuple[str, Write, dict[str, Any], list[str]]] = {
    "no samples": ("ring", lambda f: None, {}, ["samples: missing; valid: a folder of images, or a .npy or .npz file"]),
    "no file": ("ring", lambda f: None, {"samples": "x.npy"}, ["x.npy: no such file or folder"]),
    "no file of a seed": (
        "ring",
        saved_array(VECTORS, "x_0.npy"),
        {"samples": "x_{seed}.npy"},
        ["x_1.npy: no such file or folder"],
    ),
    "a folder for vectors": (
        "ring",
        lambda f: images(f / "images"),
        {"samples": "images"},
        ["images: a folder, and the dataset holds vectors; valid: a .npy or .npz file"],
    ),
    "an empty folder": ("digits", lambda f: (f / "x").mkdir(), {"samples": "x"}, ["x: no image files; valid: .png"]),
    "one image": ("digits", lambda f: images(f / "x", 1), {"samples": "x"}, ["x: 1 image; valid: at least 2"]),
    "text": ("ring", lambda f: (f / "x.npy").write_text("hello"), {"samples": "x.npy"}, ["x.npy: not a .npz or .npy"]),
    "whole numbers for vectors": (
        "ring",
        saved_array(VECTORS.astype(int)),
        {"samples": "x.npy"},
        ["x.npy: int64 of shape (40, 2); valid: floating point (n, d)"],
    ),
    "numbers for vectors": ("ring", saved_array(VECTORS[:, 0]), {"samples": "x.npy"}, ["of shape (40,); valid: float"]),
    "one vector": ("ring", saved_array(VECTORS[:1]), {"samples": "x.npy"}, ["(1, 2); valid", "with n of at least 2"]),
    "a number": ("digits", saved_array(np.uint8(3)), {"samples": "x.npy"}, ["uint8 of shape (); valid: uint8 (n, …)"]),
    "floats for images": (
        "digits",
        saved_array(np.zeros((9, 8, 8))),
        {"samples": "x.npy"},
        ["x.npy: float64 of shape (9, 8, 8); valid: uint8 (n, …)"],
    ),
    "two arrays": (
        "ring",
        lambda f: np.savez(f / "x.npz", a=VECTORS, b=VECTORS),
        {"samples": "x.npz"},
        ["x.npz: arrays a, b; expected arr_0, or a single array"],
    ),
    "a promise that is not kept": (
        "ring",
        lambda f: (f / "x.npy").write_bytes(npy_header((10**9, 2), "<f8") + bytes(100)),
        {"samples": "x.npy"},
        ["x.npy: not a .npz or .npy file", "promises"],
    ),
    "no bound": (
        "ring",
        saved_array(VECTORS),
        {"samples": "x.npy", "log_likelihoods": "y.npy"},
        ["bound: missing, what log_likelihoods are; valid: exact, lower, estimate"],
    ),
    "no representation": (
        "digits",
        saved_array(VECTORS),
        {"samples": "x.npy", "log_likelihoods": "y.npy", "bound": "exact"},
        ["representation: missing, that of log_likelihoods; valid: dequantised, binarised"],
    ),
    "seeds of the samples alone": (
        "ring",
        saved_array(VECTORS),
        {"samples": "x_{seed}.npy", **WITH_VALUES},
        ["log_likelihoods: {seed} stands in one of the paths; valid: in samples too, or in neither"],
    ),
    "no values": (
        "ring",
        saved_array(VECTORS),
        {"samples": "x.npy", **WITH_VALUES},
        ["log_likelihoods: y.npy: no such file"],
    ),
    "values of more dimensions": (
        "ring",
        lambda f: [saved_array(VECTORS)(f), saved_array(VECTORS, "y.npy")(f)],
        {"samples": "x.npy", **WITH_VALUES},
        ["log_likelihoods: y.npy: float64 of shape (40, 2); valid: floating point (n,)"],
    ),
}
DIGITS = np.random.default_rng(0).integers(0, 17, (9, 8, 8)).astype(np.uint8)
CONTENTS: dict[str, tuple[str, Write, dict[str, Any], list[str]]] = {
    "three dimensions": (
        "ring",
        saved_array(np.zeros((9, 3))),
        {"samples": "x.npy"},
        ["samples: x.npy: vectors of shape (9, 3); valid here: (n, 2)"],
    ),
    "NaN": (
        "ring",
        saved_array(np.where(np.arange(80).reshape(40, 2) < 3, np.nan, 0)),
        {"samples": "x.npy"},
        ["samples: x.npy: 2 of 40 examples hold NaN, infinity or values beyond 1e+150"],
    ),
    "too large": ("ring", saved_array(VECTORS * 1e200), {"samples": "x.npy"}, ["40 of 40 examples hold NaN, inf"]),
    "another size": (
        "digits",
        saved_array(DIGITS[:, :7]),
        {"samples": "x.npy"},
        ["x.npy: examples of shape (9, 7, 8); valid here: (n, 1, 8, 8) or (n, 8, 8, 1) or (n, 8, 8)"],
    ),
    "images of another size": (
        "digits",
        lambda f: images(f / "x"),
        {"samples": "x"},
        ["samples: x: examples of shape (15, 1, 6, 6); valid here: (n, 1, 8, 8)"],
    ),
    "a damaged image": (
        "digits",
        lambda f: (images(f / "x", 15, 8, 8) / "003.png").write_bytes(b"hello"),
        {"samples": "x"},
        ["samples: x/003.png: not a readable image"],
    ),
    "levels of 8 bits": (
        "digits",
        saved_array(DIGITS + 200),
        {"samples": "x.npy"},
        ["x.npy: the value 216; valid: 0 … 16"],
    ),
    "the same for two seeds": (
        "ring",
        lambda f: [saved_array(VECTORS, f"x_{seed}.npy")(f) for seed in (0, 1)],
        {"samples": "x_{seed}.npy"},
        ["samples: x_1.npy holds the same as x_0.npy; valid: ", "samples", " for each seed"],
    ),
    "too few values": (
        "ring",
        lambda f: [saved_array(VECTORS)(f), saved_array(VALUES, "y.npy")(f)],
        {"samples": "x.npy", **WITH_VALUES},
        ["log_likelihoods: y.npy: 30 values; valid: at least 50, one for each test example that is measured"],
    ),
    "NaN among the values": (
        "ring",
        lambda f: [saved_array(VECTORS)(f), saved_array(np.log(np.arange(60) - 1.0), "y.npy")(f)],
        {"samples": "x.npy", **WITH_VALUES},
        ["log_likelihoods: y.npy: NaN or +inf for 1 of 60 examples"],
    ),
}


@pytest.mark.filterwarnings("ignore:.*encountered in log")
@pytest.mark.parametrize(
    ("stage", "dataset", "write", "settings", "expected"),
    [("check", *case) for case in HEADERS.values()] + [("prepare", *case) for case in (HEADERS | CONTENTS).values()],
    ids=[f"check: {name}" for name in HEADERS] + [f"prepare: {name}" for name in HEADERS | CONTENTS],
)
def test_wrong_samples_made_elsewhere(
    stage: str,
    dataset: str,
    write: Write,
    settings: dict[str, Any],
    expected: list[str],
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    small = {"n_train": 100, "n_validation": 50, "n_test": 50}
    entry = {"ring": {"dataset": "gaussian_ring", "budget": 9, "settings": small}, "digits": {"budget": 9}}[dataset]
    experiment = {"name": "trial", "seeds": [0, 1], "datasets": {dataset: entry}}
    experiment |= {"models": {"mine": {"model": "external", "settings": settings}}}
    Path("x.yaml").write_text(json.dumps(experiment))
    arguments = ["x.yaml"] if stage == "check" else ["x.yaml", "--dataset", dataset]
    refused(command, tmp_path, [stage, *arguments], f"models.mine on datasets.{dataset}: ", *expected)


def test_one_set_of_samples_for_seeds_without_0(tmp_path: Path, command: Command) -> None:
    saved_array(VECTORS)(tmp_path)
    models = {"mine": {"model": "external", "settings": {"samples": str(tmp_path / "x.npy")}}}
    experiment = {"name": "trial", "seeds": [3, 4], "datasets": {"gaussian_ring": {"budget": 9}}, "models": models}
    (tmp_path / "x.yaml").write_text(json.dumps(experiment))
    expected = "samples: one set of samples was given, which stands for seed 0, found seeds [3, 4]; valid: {seed} in"
    refused(command, tmp_path, ["check", tmp_path / "x.yaml"], expected)
