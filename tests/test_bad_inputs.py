"""Wrong input of every kind, through the command line: one line, status 2, nothing left behind.

Tests beside a module hold that module's own faults; here is what they cannot see: that the fault passes through the
command as one printable line, before anything is written.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from engine import rules, run_rules
from PIL import Image
from refusals import Command, files_below, images, npy_header, refused
from tidy_rows import row

from deepgen_bench.storage.results import write_rows

# configuration

TRIAL = """
name: trial
datasets: {gaussian_ring: {budget: 100}, digits: {budget: 100}}
models: {vae: {}, gan: {}}
"""
DEEP = "{a: " * 500 + "1" + "}" * 500
SHALLOW = "{a: " * 30 + "1" + "}" * 30
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))

# a whole file, and parts of the line
FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "key twice": (TRIAL + "models: {gan: {}}\n", ["duplicate key 'models'", "(lines 4 and 5); valid: each key once"]),
    "nested key twice": (TRIAL + "metrics: {transport: {n: 5, n: 6}}", ["duplicate key 'n'"]),
    "label twice": (TRIAL.replace("gan: {}", 'vae: {}, "vae": {}'), ["duplicate key 'vae'"]),
    "tab": ("name: trial\n\tdatasets: {}", ["not valid YAML", "'\\t'"]),
    "nul byte": (TRIAL.encode() + b"\0", ["not valid YAML", "unacceptable character #x0000"]),
    "UTF-16": (TRIAL.encode("utf-16"), ["not valid YAML", "'utf-8' codec can't decode"]),
    "binary": (bytes(range(256)), ["not valid YAML"]),
    "two documents": (TRIAL + "---\nname: b", ["not valid YAML", "single document"]),
    "a text": ("hello", ["expected a mapping of keys, found str"]),
    "only a comment": ("# nothing", ["expected a mapping of keys, found NoneType"]),
    "python object": (TRIAL + "x: !!python/object/apply:os.system [touch pwned]", ["not valid YAML", "python/object"]),
    "unknown tag": (TRIAL + "x: !include other.yaml", ["not valid YAML", "!include"]),
    "undefined alias": (TRIAL + "metrics: *none", ["not valid YAML", "undefined alias"]),
    "alias of itself": (TRIAL + "metrics: &m {transport: *m}", ["the alias on line 5 contains itself"]),
    "aliases that explode": (LAUGHS, ["more than 100000 values with its aliases expanded"]),
    "very deep": (TRIAL + f"metrics: {DEEP}", ["nested too deeply"]),
    "deep": (TRIAL + f"metrics: {SHALLOW}", ["nested too deeply; valid: at most 20 levels"]),
    "merge of a list": (TRIAL + "<<: [1]", ["not valid YAML", "expected a mapping for merging"]),
    "list as a key": (TRIAL + "? [a]\n: 1", ["not valid YAML", "unhashable key"]),
    "number as a key": (TRIAL + "metrics: {transport: {1: 2}}", ["metrics.transport.1: input should be a valid str"]),
    "nothing as a key": (TRIAL + "~: 1", ["None: input should be a valid string, found None"]),
    "date": (TRIAL.replace("trial", "2020-01-01"), ["name: text or a number is needed, found the date", "quotes"]),
    "date as a label": (TRIAL.replace("vae:", "2020-01-01:"), ["models.2020-01-01: input should be a valid string"]),
    "bytes": (TRIAL.replace("trial", "!!binary dHJpYWw="), ["name: text or a number is needed, found the bytes"]),
    "set": (TRIAL + "seeds: !!set {1, 2}", ["seeds: text or a number is needed, found the set"]),
    "number of 5000 digits": (TRIAL + f"base_seed: {'9' * 5000}", ["not valid YAML", "4300 digits"]),
    "huge seed": (TRIAL + f"base_seed: {10**300}", ["base_seed: a number of at most 15 digits is needed, found 1000"]),
    "huge budget": (
        TRIAL.replace("100", str(10**30)),
        ["datasets.gaussian_ring.budget: a number of at most 15 digits is"],
    ),
    "huge samples": (TRIAL + f"samples: {10**14}", ["samples: input should be less than 1000000000, found"]),
    "1e400": (TRIAL + "checkpoint_seconds: 1e400", ["checkpoint_seconds: a finite number is needed, found '1e400'"]),
    "1.0e400": (TRIAL + "checkpoint_seconds: 1.0e+400", ["checkpoint_seconds: a finite number is needed, found inf"]),
    "huge rate": (
        TRIAL.replace("gan: {}", f"gan: {{settings: {{learning_rate: {10**400}}}}}"),
        ["models.gan.settings.learning_rate"],
    ),
    "rate of another world": (
        TRIAL.replace("gan: {}", "gan: {settings: {learning_rate: 1.0e+300}}"),
        ["models.gan.settings.learning_rate: 0 or a number of size 1e-30 to 1e30 is needed, found 1e+300"],
    ),
    "vanishing rate": (
        TRIAL.replace("gan: {}", "gan: {settings: {learning_rate: 1.0e-300}}"),
        ["models.gan.settings.learning_rate: 0 or a number of size"],
    ),
    "text for nothing": (TRIAL + "likelihood: none", ["likelihood: input should be a valid", "found 'none'"]),
    "truth for everything": (TRIAL + "metrics: true", ["metrics: input should be a valid dictionary, found True"]),
    "escape in a name": (TRIAL.replace("trial", '"a\\e[31mb"'), ["name: string should match", "'a\\x1b[31mb'"]),
    "escape in a key": (TRIAL + '"\\e[2Jx": 1', ["\\x1b[2Jx': unknown key; valid: base_seed"]),
    "line break in a setting": (TRIAL + 'device: "cpu\\nerror: x"', ["device: input should be", "'cpu\\nerror: x'"]),
    "direction marks": (TRIAL.replace("trial", '"\\u202Elairt"'), ["name: string should match", "'\\u202elairt'"]),
    "long name": (TRIAL.replace("trial", "x" * 100_000), ["name: string should match", "..."]),
    "long key": (TRIAL + f"? {'k' * 5000}\n: 1", ["...: unknown key; valid: base_seed"]),
    "name upwards": (TRIAL.replace("trial", '".."'), ["name: string should match", "found '..'"]),
    "absolute name": (TRIAL.replace("trial", "/tmp/x"), ["name: string should match", "found '/tmp/x'"]),
    "empty name": (TRIAL.replace("trial", '""'), ["name: string should match", "found ''"]),
    "name of the shared data": (TRIAL.replace("trial", "data"), ["name: data is a folder that experiments share"]),
    "zero byte in a path": (
        TRIAL + '\nmetrics: {fidelity: {inception_weights: "a\\0b"}}',
        ["metrics.fidelity.inception_weights: text without zero bytes", "'a\\x00b'"],
    ),
    "only overrides of an absent dataset": (
        TRIAL.replace("digits: {budget: 100}", "digits: {budget: 100, models: {VAE: {}}}"),
        ["datasets.digits.models.VAE: not in this experiment; valid: vae, gan"],
    ),
    "calibration of an absent run": (
        TRIAL + "calibration: {true_density: {tolerance: 1, settings: {dataset: x, model: vae, seed: 0}}}",
        ["calibration.true_density.settings"],
    ),
    "unknown check": (TRIAL + "calibration: {x: {tolerance: 1}}", ["calibration.x.check: unknown check 'x'; valid"]),
    "negative tolerance": (TRIAL + "calibration: {wasserstein_1d: {tolerance: -1}}", ["wasserstein_1d.tolerance"]),
}


@pytest.mark.parametrize(("content", "expected"), FILES.values(), ids=FILES)
def test_wrong_experiment_files(content: str | bytes, expected: list[str], tmp_path: Path, command: Command) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(command, tmp_path, ["check", path], f"error: {path}: ", *expected)


JSON_FILES: dict[str, tuple[str, list[str]]] = {
    "key twice": ('{"name": "a", "name": "b"}', ["duplicate key 'name'; valid: each key once"]),
    "deep": ('{"a":' * 100_000 + "1" + "}" * 100_000, ["nested too deeply"]),
    "lone surrogate": ('{"name": "\\ud800"}', ["name: text without zero bytes and lone surrogates", "'\\ud800'"]),
    "not a number": (
        '{"name": "a", "checkpoint_seconds": NaN, "datasets": {"digits": {"budget": 9}}, "models": {"vae": {}}}',
        ["checkpoint_seconds"],
    ),
    "YAML": (TRIAL, ["not valid JSON"]),
}


@pytest.mark.parametrize(("content", "expected"), JSON_FILES.values(), ids=JSON_FILES)
def test_wrong_json_files(content: str, expected: list[str], tmp_path: Path, command: Command) -> None:
    (tmp_path / "x.json").write_text(content)
    refused(command, tmp_path, ["check", tmp_path / "x.json"], "x.json: ", *expected)


def test_a_byte_order_mark_anchors_and_merges_are_fine(tmp_path: Path, command: Command) -> None:
    text = TRIAL.replace("vae: {}", "vae: {settings: &s {latent_dim: 3}}").replace(
        "gan: {}", "gan: {settings: {<<: *s, latent_dim: 4}}"
    )
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert command("check", tmp_path / "x.yaml")[0] == 0


# data


def folder_with(change: Callable[[Path], object], **settings: Any) -> Callable[[Path], dict[str, Any]]:
    def make(path: Path) -> dict[str, Any]:
        change(images(path / "images"))
        return {"dataset": "image_folder", "settings": {"path": str(path / "images"), **settings}}

    return make


def replaced(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "003.png").write_bytes(content)


def saved(image: Image.Image, name: str = "003.png", **options: Any) -> Callable[[Path], object]:
    return lambda folder: image.save(folder / name, **options)


def bomb_png() -> bytes:
    """A PNG whose header promises 60,000 × 60,000 pixels."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def array_file(name: str, write: Callable[[Path], object], **settings: Any) -> Callable[[Path], dict[str, Any]]:
    def make(path: Path) -> dict[str, Any]:
        write(path / name)
        return {"dataset": "npz", "settings": {"path": str(path / name), **settings}}

    return make


def npz(**arrays: Any) -> Callable[[Path], object]:
    return lambda path: np.savez(path, **arrays)


def zipped(name: str, content: bytes, **options: Any) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)

    return write


def damaged_npz(path: Path) -> None:
    np.savez_compressed(path, images=np.random.default_rng(0).integers(0, 256, (20, 9, 9), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)


def mnist(**files: bytes | None) -> Callable[[Path], dict[str, Any]]:
    def make(path: Path) -> dict[str, Any]:
        folder = path / "MNIST" / "raw"
        folder.mkdir(parents=True)
        names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
        for name in names:
            (folder / f"{name}-ubyte").write_bytes(files.get(name.replace("-", "_")) or b"")
        return {"dataset": "mnist", "settings": {"data_dir": str(path)}}

    return make


GREY = np.full((20, 6, 6), 7, np.uint8)
DATA: dict[str, tuple[Callable[[Path], dict[str, Any]], list[str]]] = {
    # folders of images
    "no folder": (
        lambda path: {"dataset": "image_folder", "settings": {"path": str(path / "none")}},
        ["none: not a folder"],
    ),
    "a file for a folder": (
        lambda path: {"dataset": "image_folder", "settings": {"path": str(path / "x.yaml")}},
        ["x.yaml: not a folder"],
    ),
    "no images": (
        folder_with(lambda f: [file.unlink() for file in f.iterdir()]),
        ["images: no image files; valid: .png"],
    ),
    "one image": (folder_with(lambda f: [file.unlink() for file in sorted(f.iterdir())[1:]]), ["1 images to split"]),
    "mixed sizes": (folder_with(saved(Image.new("L", (7, 6)))), ["003.png: 6 × 7 grey", "000.png is 6 × 6 grey"]),
    "mixed modes": (folder_with(saved(Image.new("RGB", (6, 6)))), ["003.png: 6 × 6 RGB", "000.png is 6 × 6 grey"]),
    "text as an image": (folder_with(replaced(b"hello")), ["003.png: not a readable image"]),
    "empty image": (folder_with(replaced(b"")), ["003.png: not a readable image"]),
    "truncated image": (
        folder_with(lambda f: (f / "003.png").write_bytes((f / "003.png").read_bytes()[:-30])),
        ["003.png: not a readable image"],
    ),
    "CMYK": (folder_with(saved(Image.new("CMYK", (6, 6)), "003.jpg")), ["003.jpg: mode CMYK, valid: 8-bit grey"]),
    "16 bit": (folder_with(saved(Image.fromarray(np.zeros((6, 6), np.uint16)))), ["003.png: mode I;16, valid: 8-bit"]),
    "transparent": (folder_with(saved(Image.new("RGBA", (6, 6)))), ["003.png: mode RGBA, valid: 8-bit grey"]),
    "palette": (folder_with(saved(Image.new("P", (6, 6)))), ["003.png: mode P, valid: 8-bit grey"]),
    "black and white": (folder_with(saved(Image.new("1", (6, 6)))), ["003.png: mode 1, valid: 8-bit grey"]),
    "animation": (
        folder_with(
            saved(
                Image.fromarray(np.zeros((6, 6), np.uint8)),
                save_all=True,
                append_images=[Image.fromarray(np.ones((6, 6), np.uint8))],
            )
        ),
        ["003.png: an animation; valid: one still image per file"],
    ),
    "bomb": (folder_with(replaced(bomb_png())), ["003.png: not a readable image"]),
    "broken link": (
        folder_with(lambda f: (f / "x.png").symlink_to("nowhere")),
        ["x.png: ", "No such file or directory"],
    ),
    "folder called an image": (folder_with(lambda f: images(f / "x.png", 1, 5, 5)), ["x.png/000.png: 5 × 5 grey"]),
    "class folder that is empty": (
        folder_with(
            lambda f: [images(f / "a"), (f / "b").mkdir(), [x.unlink() for x in f.glob("*.png")]],
            classes_from_folders=True,
        ),
        ["b: class folder without images"],
    ),
    "image outside the classes": (folder_with(lambda f: images(f / "a"), classes_from_folders=True), ["000.png: outs"]),
    "one class": (
        folder_with(lambda f: [images(f / "a"), [x.unlink() for x in f.glob("*.png")]], classes_from_folders=True),
        ["1 class", "at least 2"],
    ),
    "another size than said": (folder_with(lambda f: None, image_size=[6, 7]), ["but image_size is 6 × 7"]),
    "link in a circle": (
        folder_with(lambda f: (f / "again").symlink_to(f)),
        ["again: a link to a folder that contains it"],
    ),
    "escape in a file's name": (
        folder_with(saved(Image.new("L", (7, 6)), "\x1b[31m\n.png")),
        ["000.png: 6 × 6 grey", "\\x1b[31m\\n.png is 6 × 7"],
    ),
    # arrays
    "no file": (
        lambda path: {"dataset": "npz", "settings": {"path": str(path / "none.npz")}},
        ["none.npz: no such file"],
    ),
    "a folder for a file": (
        lambda path: {"dataset": "npz", "settings": {"path": str(path)}},
        ["cannot be read (Is a d"],
    ),
    "text as arrays": (array_file("x.npz", lambda p: p.write_text("hello")), ["x.npz: not a .npz or .npy file"]),
    "empty file": (array_file("x.npz", lambda p: p.write_bytes(b"")), ["x.npz: not a .npz or .npy file"]),
    "pickle": (
        array_file("x.npz", lambda p: p.write_bytes(b"\x80\x04\x95\x00.")),
        ["x.npz: not a .npz or .npy file"],
    ),
    "pickled objects": (
        array_file("x.npz", npz(images=np.array([{}, {}]))),
        ["x.npz: not a .npz", "pickled objects, which are never"],
    ),
    "zip of no arrays": (array_file("x.npz", zipped("readme.txt", b"hi")), ["x.npz: no array 'images'"]),
    "zip of text": (array_file("x.npz", zipped("images.npy", b"hi")), ["x.npz: not a .npz or .npy file"]),
    "empty zip": (array_file("x.npz", lambda p: zipfile.ZipFile(p, "w").close()), ["x.npz: no array 'images'"]),
    "truncated npz": (
        array_file("x.npz", lambda p: [np.savez(p, images=GREY), p.write_bytes(p.read_bytes()[:-50])]),
        ["x.npz: not a .npz or .npy file"],
    ),
    "damaged npz": (array_file("x.npz", damaged_npz), ["x.npz: not a .npz or .npy file"]),
    "truncated npy": (
        array_file("x.npy", lambda p: [np.save(p, GREY), p.write_bytes(p.read_bytes()[:-1])]),
        ["x.npy: not a .npz or .npy file"],
    ),
    "promise of exabytes": (
        array_file("x.npy", lambda p: p.write_bytes(npy_header((10**6, 10**6, 10**6)) + bytes(100))),
        ["x.npy: not a .npz or .npy file", "promises"],
    ),
    "promise of exabytes in a zip": (
        array_file("x.npz", zipped("images.npy", npy_header((10**6, 10**6, 10**6)) + bytes(100))),
        ["x.npz: not a .npz or .npy file", "promises"],
    ),
    "negative shape": (
        array_file("x.npy", lambda p: p.write_bytes(npy_header((-1, 6, 6)) + bytes(100))),
        ["x.npy: not a .npz or .npy file"],
    ),
    "code in a header": (
        array_file(
            "x.npy", lambda p: p.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + b"__import__('os').getcwd()".ljust(118))
        ),
        ["x.npy: not a .npz or .npy file"],
    ),
    "wrong dtype": (
        array_file("x.npz", npz(images=GREY.astype(np.int16))),
        ["'images': int16 of shape (20, 6, 6); valid: uint8"],
    ),
    "NaN": (
        array_file("x.npz", npz(images=np.full((20, 6, 6), np.nan))),
        ["'images': float64 with NaN of shape (20, 6, 6); valid: uint"],
    ),
    "text array": (
        array_file("x.npz", npz(images=np.array(["a"] * 20))),
        ["'images': <U1 of shape (20,); valid: uint8"],
    ),
    "no dimension": (array_file("x.npz", npz(images=np.uint8(3))), ["'images': shape (); valid: (n, h, w)"]),
    "vectors": (array_file("x.npz", npz(images=GREY.reshape(20, 36))), ["shape (20, 36); valid: (n, h, w)"]),
    "five dimensions": (array_file("x.npz", npz(images=GREY[None, None])), ["shape (1, 1, 20, 6, 6); valid"]),
    "four channels": (array_file("x.npz", npz(images=np.zeros((20, 4, 6, 6), np.uint8))), ["shape (20, 4, 6, 6)"]),
    "no examples": (array_file("x.npz", npz(images=GREY[:0])), ["'images': empty, shape (0, 6, 6)"]),
    "zero-size images": (array_file("x.npz", npz(images=GREY[:, :0])), ["'images': empty, shape (20, 0, 6)"]),
    "too few": (array_file("x.npz", npz(images=GREY[:3])), ["3 images to split, at least 10"]),
    "too large a level": (array_file("x.npz", npz(images=GREY), levels=5), ["the value 7; valid: 0 … 4"]),
    "absent array": (array_file("x.npz", npz(x=GREY)), ["no array 'images'; found: x"]),
    "array with a strange name": (array_file("x.npz", npz(**{"\x1b[1m\n": GREY})), ["found: \\x1b[1m\\n"]),
    "labels of floats": (
        array_file("x.npz", npz(images=GREY, y=np.zeros(20)), labels="y"),
        ["'y': float64; valid: integer labels"],
    ),
    "too few labels": (
        array_file("x.npz", npz(images=GREY, y=np.zeros(19, int)), labels="y"),
        ["'y': shape (19,), but there are 20 images"],
    ),
    "negative labels": (array_file("x.npz", npz(images=GREY, y=np.arange(20) - 1), labels="y"), ["labels must be 0 "]),
    "a label missing": (array_file("x.npz", npz(images=GREY, y=np.arange(20) % 2 * 2), labels="y"), ["label 1"]),
    "huge label": (
        array_file("x.npz", npz(images=GREY, y=np.full(20, 2**64 - 1, np.uint64)), labels="y"),
        ["labels must be 0 … classes - 1"],
    ),
    "one label": (array_file("x.npz", npz(images=GREY, y=np.zeros(20, int)), labels="y"), ["1 class", "at least 2"]),
    "splits of different sizes": (
        array_file("x.npz", npz(a=GREY, b=GREY[:, :5]), images={"train": "a", "test": "b"}),
        ["'b' has images of (1, 5, 6), but 'a' of (1, 6, 6)"],
    ),
    "one test image": (
        array_file("x.npz", npz(a=GREY, b=GREY[:1]), images={"train": "a", "test": "b"}),
        ["1 image in test; at least 2 are needed"],
    ),
    "sides that conv cannot halve": (
        array_file("x.npz", npz(images=GREY)),
        ["models.conv on datasets.mine: network: conv needs height and width divisible by 4, found (6, 6)"],
    ),
    "images too small for a classifier": (
        array_file("x.npz", npz(images=GREY[:, :1], y=np.arange(20) % 2), labels="y"),
        ["metrics.fidelity on datasets.mine: extractors: classifier needs images of at least 2 × 2, found (1, 6)"],
    ),
    # MNIST
    "empty idx": (mnist(), ["train-images-idx3-ubyte: altered or incomplete"]),
    "truncated idx": (mnist(train_images_idx3=b"\0\0\x08\x03\0\0\0\x01"), ["train-images-idx3-ubyte: altered or inco"]),
    "more validation than images": (
        lambda path: {"dataset": "mnist", "settings": {"data_dir": str(path), "n_validation": 40_001}},
        ["datasets.mine.settings.n_validation: input should be less than or equal to 40000, found 40001"],
    ),
}


@pytest.mark.parametrize(("make", "expected"), DATA.values(), ids=DATA)
def test_wrong_data(
    make: Callable[[Path], dict[str, Any]], expected: list[str], tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "x.yaml"
    path.touch()
    entry = {"budget": 100, **make(tmp_path)}
    models: dict[str, Any] = {"gaussian": {}}
    if "models.conv" in expected[0]:
        models["conv"] = {"model": "vae", "settings": {"network": "conv"}}
    path.write_text(json.dumps({"name": "trial", "datasets": {"mine": entry}, "models": models}))
    refused(command, tmp_path, ["prepare", path, "--dataset", "mine", "--results", tmp_path / "results"], *expected)


# tables of results


def edited(old: str, new: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        write_rows(path, [row(), row(seed=1)])
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return write


def rows(**cells: Any) -> Callable[[Path], object]:
    return lambda path: write_rows(path, [row(), row(seed=1, **cells)])


TABLES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no file": (lambda p: None, ["metrics.csv: no such file"]),
    "empty": (lambda p: p.write_text(""), ["metrics.csv: column experiment is missing; valid: experiment, dataset"]),
    "only a header": (
        lambda p: [edited("demo", "demo")(p), p.write_text(p.read_text().splitlines()[0] + "\n")],
        ["metrics.csv: no measurements"],
    ),
    "binary": (lambda p: p.write_bytes(bytes(range(256))), ["metrics.csv: not a readable CSV file"]),
    "nul byte": (edited("digits", "dig\0its"), ["metrics.csv: "]),
    "huge cell": (edited("demo", "x" * 200_000), ["metrics.csv: not a readable CSV file (field larger"]),
    "column missing": (edited("std_error", "error"), ["column std_error is missing"]),
    "column twice": (edited("std_error", "value"), ["a column appears twice"]),
    "unknown column": (edited("status,", "status ,"), ["column status is missing"]),
    "ragged": (edited("digits", "digits,digits"), ["row 1 has 24 cells, the header has 23 columns"]),
    "open quote": (edited("digits", '"digits'), ["not a readable CSV file"]),
    "no number": (edited("1.0", "one"), ["column value, row 1: found 'one', valid: a number"]),
    "huge seed": (edited(",0,w2", f",{2**70},w2"), [f"column seed, row 1: found '{2**70}', valid: a whole number"]),
    "seed of 5000 digits": (edited(",0,w2", f",{'9' * 5000},w2"), ["column seed, row 1: found '999", "..."]),
    "fraction of a seed": (edited(",0,w2", ",0.5,w2"), ["column seed, row 1: found '0.5', valid: a whole number"]),
    "wrong status": (edited("ok", "fine"), ["column status, row 1: found 'fine', valid: ok, diverged"]),
    "no value": (edited("1.0", ""), ["column value, row 1: found '', valid: a number where status is ok"]),
    "negative error": (edited("1.0,", "1.0,-1"), ["column std_error, row 1: found '-1', valid: a number from 0"]),
    "dataset that leads elsewhere": (edited("digits", "../../evil"), ["column dataset, row 1: found '../../evil'"]),
    "escape in a model": (edited("gan", "\x1b[31mgan"), ["column model, row 1: found '\\x1b[31mgan'"]),
    "escape in a run": (edited("settings/", "\x1b]0;x\x07"), ["run_id of demo / digits / gan: ", "x1b]0;x"]),
    "variant without a value": (edited("p=2", "p"), ["column variant, row 1: found 'p', valid: key=value"]),
    "K that is no number": (edited("p=2", "K=many"), ["column variant, row 1: found 'K=many'"]),
    "measurement twice": (lambda p: write_rows(p, [row(), row(value=2.0)]), ["duplicate measurement", "seed 0"]),
    "two settings": (rows(run_id="other/seed_1"), ["run_id of demo / digits / gan", "not comparable"]),
    "two directions": (rows(direction="max"), ["direction", "max"]),
}


@pytest.mark.parametrize(("write", "expected"), TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("name", ["show", "tables"])
def test_wrong_results(
    name: str, write: Callable[[Path], object], expected: list[str], tmp_path: Path, command: Command
) -> None:
    write(tmp_path / "metrics.csv")
    refused(command, tmp_path, [name, tmp_path / "metrics.csv"], *expected)


# results folders


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small experiment, trained and measured, beside its file."""
    from deepgen_bench.experiment.load import load_experiment
    from deepgen_bench.experiment.store import Store
    from deepgen_bench.stages.study import measure_study

    folder = tmp_path_factory.mktemp("trained")
    (folder / "x.yaml").write_text(
        "{name: t, seeds: [0], device: cpu, samples: 40, models: {gaussian: {}}, metrics: {transport: {n: 20}}, "
        "datasets: {ring: {dataset: gaussian_ring, budget: 9, settings: {n_train: 50, n_validation: 20, n_test: 30}}},"
        "likelihood: {n: 20}, calibration: {wasserstein_1d: {tolerance: 1, settings: {n: 50}}}}"
    )
    store = Store(load_experiment(folder / "x.yaml"), folder / "results")
    run_rules(store)
    measure_study(store, "calibration", "wasserstein_1d")
    return folder


GARBAGE: dict[str, bytes | None] = {
    **{"empty": b"", "text": b"hello", "binary": bytes(range(256)), "list": b"[]", "mapping": b"{}", "null": b"null"},
    **{"number": b"3", "deep": b"[" * 100_000, "missing": None},
}
RUN_FOLDER = "results/runs/ring/gaussian/*/seed_0"
REPAIRED, REFUSED = "repaired", "refused"
MANIFEST, MEASUREMENTS = "results/t/train/ring/gaussian/block_0.json", "results/t/measurements/ring/gaussian"
# files of a results folder, the command that reads them, and whether it repairs them, refuses them, or removes the
# manifest that stands for them, so that the next call of Snakemake rebuilds them
DAMAGED: dict[str, tuple[str, str, str]] = {
    "dataset.json, prepared": ("results/data/ring/*/dataset.json", "prepare", REPAIRED),
    "dataset.json, trained on": ("results/data/ring/*/dataset.json", "train", "results/t/data/ring.json"),
    "test split": ("results/data/ring/*/test.npy", "measure", "results/t/data/ring.json"),
    "manifest of data": ("results/t/data/ring.json", "train", "results/t/data/ring.json"),
    "run.json, trained": (f"{RUN_FOLDER}/run.json", "train", REPAIRED),
    "run.json, measured": (f"{RUN_FOLDER}/run.json", "measure", MANIFEST),
    "run.json, sampled": (f"{RUN_FOLDER}/run.json", "sample", REFUSED),
    "state": (f"{RUN_FOLDER}/final.safetensors", "sample", REFUSED),
    "kept measurements": (f"{RUN_FOLDER}/measurements/transport-*.json", "measure", REPAIRED),
    "kept likelihoods": (f"{RUN_FOLDER}/measurements/likelihood-*.json", "likelihood", REPAIRED),
    "kept vectors": (f"{RUN_FOLDER}/measurements/likelihood-*.npz", "likelihood", REPAIRED),
    "measurements": (f"{MEASUREMENTS}/sample_0.csv", "aggregate", f"{MEASUREMENTS}/sample_0.json"),
    "vectors": (f"{MEASUREMENTS}/likelihood_0.npz", "aggregate", f"{MEASUREMENTS}/likelihood_0.json"),
    "a study": ("results/t/calibration/wasserstein_1d.json", "study", REFUSED),
    "metrics.csv": ("results/t/metrics.csv", "tables", REFUSED),
    "paired.csv": ("results/t/paired.csv", "show", REFUSED),
}
# tables do without paired comparisons, and jobs called by hand without a manifest of data
HARMLESS = {("results/t/paired.csv", "missing"), ("results/t/data/ring.json", "missing")}
FIRST = {(f"{MEASUREMENTS}/sample_0.csv", "missing")}  # that job has not run


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize(("pattern", "stage", "outcome"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_results(
    pattern: str, stage: str, outcome: str, garbage: str, trained: Path, tmp_path: Path, command: Command
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (file,) = tmp_path.glob(pattern)
    file.unlink()
    if (content := GARBAGE[garbage]) is not None:
        file.write_bytes(content)
    file_argument, home = tmp_path / "x.yaml", tmp_path / "results" / "t"
    arguments = {"sample": [file.parent, "--output", tmp_path / "x.npy"], "tables": [home], "show": [home]}.get(
        stage, [file_argument, "--results", tmp_path / "results"]
    )
    if stage in ("prepare", "train", "measure", "likelihood"):
        arguments += ["--dataset", "ring"]
    if stage in ("train", "measure", "likelihood"):
        arguments += ["--model", "gaussian", "--block", 0]
    if stage == "study":
        arguments += ["--kind", "calibration"]
    if (pattern, garbage) in HARMLESS or outcome == REPAIRED:
        code, _, err = command(stage, *arguments)
        assert code == 0 and "Traceback" not in err
        assert content is None or str(file) in err and file.read_bytes() != content
    elif (pattern, garbage) in FIRST or outcome == REFUSED:
        refused(command, tmp_path, [stage, *arguments], str(file) if content is not None else file.name)
    else:
        invalidated_and_rebuilt(command, [stage, *arguments], file, trained, tmp_path, tmp_path / outcome)


def invalidated_and_rebuilt(
    command: Command, arguments: list[Any], file: Path, trained: Path, folder: Path, manifest: Path
) -> None:
    """The command fails in one line and removes the manifest alone; the next call of Snakemake restores the numbers."""
    from deepgen_bench.experiment.load import load_experiment
    from deepgen_bench.experiment.store import Store

    before = files_below(folder)
    code, out, err = command(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1) and err[:-1].isprintable()
    assert err.startswith(f"error: {file}: ") and err.endswith("; run snakemake again to rebuild it\n")
    assert set(before) - set(files_below(folder)) == {str(manifest)} & set(before)
    assert not manifest.exists()
    store = Store(load_experiment(folder / "x.yaml"), folder / "results")
    targets = [path for rule in rules(store) if rule.name in (arguments[0], "aggregate") for path in rule.outputs]
    for path in targets:  # as Snakemake does when a job fails
        path.unlink(missing_ok=True)
    run_rules(store, *targets)
    assert set(files_below(folder)) == set(before) | {str(file)}
    tables = [pd.read_csv(each / "results" / "t" / "metrics.csv") for each in (folder, trained)]
    pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in tables), check_exact=True)


# scores of one's own samples


def both(write: Callable[[Path], object], name: str = "y.npy") -> Callable[[Path], list[Any]]:
    def make(path: Path) -> list[Any]:
        np.save(path / "x.npy", np.random.default_rng(0).standard_normal((30, 4)))
        write(path / name)
        return [path / "x.npy", path / name, "--extractor", "data"]

    return make


def vectors(array: Any) -> Callable[[Path], object]:
    return lambda path: np.save(path, array)


def weights(write: Callable[[Path], object], extractor: str) -> Callable[[Path], list[Any]]:
    def make(path: Path) -> list[Any]:
        np.save(path / "x.npy", np.full((30, 6, 6), 7, np.uint8))
        write(path / "weights")
        return [path / "x.npy", path / "x.npy", "--extractor", extractor, "--weights", path / "weights"]

    return make


def tensors(metadata: dict[str, str] | None = None, **arrays: Any) -> Callable[[Path], object]:
    from safetensors.numpy import save

    return lambda path: path.write_bytes(save({name: np.asarray(a) for name, a in arrays.items()}, metadata))


SPEC = '{"spec": {"shape": [1, 6, 6], "support": "image", "levels": 256, "classes": 3}}'
Z = np.zeros((30, 4))
SCORES: dict[str, tuple[Callable[[Path], list[Any]], list[str]]] = {
    "other dimension": (both(vectors(Z[:, :3])), ["y.npy: examples of shape (3,), but", "x.npy has (4,)"]),
    "NaN": (both(vectors(np.full((30, 4), np.nan))), ["y.npy", "finite"]),
    "infinite": (both(vectors(Z + np.inf)), ["y.npy", "finite"]),
    "text": (both(vectors(np.full((30, 4), "a"))), ["y.npy: ", "<U1"]),
    "complex": (both(vectors(Z.astype(complex))), ["y.npy: ", "complex128"]),
    "dates": (both(vectors(np.zeros((30, 4), "datetime64[s]"))), ["y.npy: ", "datetime64"]),
    "records": (both(vectors(np.zeros((30, 4), [("a", float)]))), ["y.npy: "]),
    "truth": (both(vectors(Z.astype(bool))), ["y.npy: bool"]),
    "one example": (both(vectors(Z[:1])), ["y.npy", "at least 2"]),
    "no examples": (both(vectors(Z[:0])), ["y.npy", "at least 2"]),
    "no coordinates": (both(vectors(Z[:, :0])), ["y.npy: empty, shape (30, 0)"]),
    "one number": (both(vectors(np.float64(3))), ["y.npy: float64 of shape ()"]),
    "huge numbers": (both(vectors(Z + 1e200)), ["y.npy: not all values are finite and below 1e+150"]),
    "images against vectors": (both(vectors(np.full((30, 6, 6), 7, np.uint8))), ["y.npy: examples of shape (1, 6, 6)"]),
    "objects": (both(vectors(np.array([{}] * 30, dtype=object))), ["y.npy: not a .npz or .npy", "pickled objects"]),
    "text file": (both(lambda p: p.write_text("a,b\n1,2")), ["y.npy: not a .npz or .npy file"]),
    "no arrays": (both(npz(), "y.npz"), ["y.npz: arrays none; expected mu and sigma"]),
    "two arrays": (both(npz(a=Z, b=Z), "y.npz"), ["y.npz: arrays a, b; expected mu and sigma, arr_0"]),
    "moments of another dimension": (both(npz(mu=np.zeros(3), sigma=np.eye(3)), "y.npz"), ["y.npz: mu: 3 coordinates"]),
    "moments that do not fit": (
        both(npz(mu=np.zeros(4), sigma=np.eye(3)), "y.npz"),
        ["y.npz: sigma: shape (3, 3), ex"],
    ),
    "moments of text": (both(npz(mu=np.full(4, "a"), sigma=np.eye(4)), "y.npz"), ["y.npz: mu: dtype <U1"]),
    "moments with NaN": (both(npz(mu=np.full(4, np.nan), sigma=np.eye(4)), "y.npz"), ["y.npz: mu: ", "NaN"]),
    "no covariance": (
        both(npz(mu=np.zeros(4), sigma=-np.eye(4)), "y.npz"),
        ["y.npz: sigma: not positive semi"],
    ),
    "lopsided covariance": (
        both(npz(mu=np.zeros(4), sigma=np.eye(4) + np.eye(4, k=1)), "y.npz"),
        ["sigma: not sym"],
    ),
    "nowhere": (both(lambda p: None), ["y.npy: no such file or folder"]),
    "empty folder": (both(lambda p: p.mkdir(), "y"), ["y: no image files; valid: .png"]),
    "no extractor": (
        lambda p: [*both(vectors(Z))(p)[:2], "--extractor", "vgg"],
        ["--extractor: 'vgg'; valid: inception, classifier, data"],
    ),
    "classifier without weights": (
        lambda p: [*weights(lambda path: None, "classifier")(p)[:2], "--extractor", "classifier"],
        ["weights: the classifier needs the file"],
    ),
    "vectors for a network": (
        lambda p: both(vectors(Z))(p)[:2],
        ["x.npy: vectors, of which inception has no features; valid: --extractor data"],
    ),
    "a single image": (
        both(vectors(np.full((30, 8, 3), 7, np.uint8))),
        ["y.npy: shape (30, 8, 3), as of a single image; valid: (n, h, w), (n, h, w, c)"],
    ),
    "a single grey image": (both(vectors(np.full((30, 8), 7, np.uint8))), ["y.npy: uint8 of shape (30, 8); valid: fl"]),
    "an ambiguous shape": (
        both(vectors(np.full((30, 3, 8, 3), 7, np.uint8))),
        ["y.npy: ambiguous shape (30, 3, 8, 3), nchw or nhwc"],
    ),
    "n of one": (lambda p: [*both(vectors(Z))(p), "--n", 1], ["n: 1, at least 2 are needed"]),
    "classifier of text": (weights(lambda p: p.write_text("hello"), "classifier"), ["weights: not a saved classifier"]),
    "classifier of nothing": (weights(lambda p: p.touch(), "classifier"), ["weights: not a saved classifier"]),
    "classifier folder": (weights(lambda p: p.mkdir(), "classifier"), ["weights: "]),
    "no classifier": (weights(lambda p: None, "classifier"), ["weights: no such file"]),
    "other tensors": (weights(tensors(a=Z), "classifier"), ["weights: not a saved classifier"]),
    "no specification": (
        weights(tensors({"classifier": "{}"}, a=Z), "classifier"),
        ["weights: not a saved classifier"],
    ),
    "wrong specification": (weights(tensors({"classifier": "[1"}, a=Z), "classifier"), ["weights: not a saved class"]),
    "wrong tensors": (weights(tensors({"classifier": SPEC}, a=Z), "classifier"), ["weights: not a saved classifier"]),
    "no Inception": (weights(lambda p: None, "inception"), ["weights: no such file; the Inception weights are at htt"]),
    "other Inception": (
        weights(lambda p: p.write_bytes(b"x"), "inception"),
        ["weights: 1 bytes with SHA-256 2d711642"],
    ),
    "Inception folder": (weights(lambda p: p.mkdir(), "inception"), ["weights: "]),
}


@pytest.mark.parametrize(("make", "expected"), SCORES.values(), ids=SCORES)
def test_wrong_samples_and_weights(
    make: Callable[[Path], list[Any]], expected: list[str], tmp_path: Path, command: Command
) -> None:
    refused(command, tmp_path, ["score", *make(tmp_path), "--output", tmp_path / "scores.csv"], *expected)


# arguments

ARGUMENTS: dict[str, tuple[list[Any], list[str]]] = {
    "no experiment": (["train"], ["Missing argument 'experiment'; see deepgen-bench train --help"]),
    "no command": (["nonsense"], ["No such command 'nonsense'; see deepgen-bench --help"]),
    "no option": (["check", "x.yaml", "--fast"], ["No such option: --fast"]),
    "too much": (["schema", "x"], ["unexpected extra argument", "(x)"]),
    "block of text": (["train", "x.yaml", "--dataset", "digits", "--model", "vae", "--block", "x"], ["'--block'"]),
    "block of nowhere": (
        ["train", "x.yaml", "--dataset", "digits", "--model", "vae", "--block", 10**30],
        ["; valid: 0"],
    ),
    "no dataset": (
        ["prepare", "x.yaml", "--dataset", "\x1b[31m"],
        ["--dataset: '\\x1b[31m' is not in x.yaml; val"],
    ),
    "no such study": (
        ["study", "x.yaml", "--kind", "calibration", "--label", "a\nb"],
        ["--label: 'a\\nb' is not in calibration of x.yaml; valid: none"],
    ),
    "no file": (["check", "a\n\x1b[1m.yaml"], ["a\\n\\x1b[1m.yaml: cannot be read (No such file"]),
    "bytes of a file": (["check", "\udcff.yaml"], ["\\udcff.yaml: cannot be read"]),
    "zero byte": (["check", "a\0b"], ["embedded null byte"]),
    "folder for a file": (["check", "."], [".: cannot be read (Is a directory)"]),
    "file for a folder": (
        ["prepare", "x.yaml", "--dataset", "gaussian_ring", "--results", "x.yaml"],
        ["x.yaml/format.json: cannot be written"],
    ),
    "no results": (["show", "none"], ["none: no such file"]),
    "another file": (["show", "x.yaml"], ["x.yaml: row 1 has 1 cells, the header has 0 columns"]),
    "checkpoint": (["tables", "x", "--checkpoint", "last"], ["'--checkpoint'", "'last' is not one of 'final', 'best'"]),
    "no samples": (["sample", "x", "-n", "0"], ["'-n'", "greater than or equal to 1"]),
    "huge seed": (["sample", "x", "--seed", 2**70], ["'--seed'", "less than or equal to 9223372036854775807"]),
    "negative seed": (["sample", "x", "--seed", "-1"], ["'--seed'", "greater than or equal to 0"]),
    "no run": (["sample", "x"], ["x/run.json: no such file"]),
    "picture": (["sample", "x", "--output", "x.jpg"], ["--output: x.jpg; valid: a name that ends in .png or .npy"]),
}


@pytest.mark.parametrize(("arguments", "expected"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_wrong_arguments(
    arguments: list[Any], expected: list[str], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(TRIAL)
    refused(command, tmp_path, arguments, *expected)


# real processes


@pytest.mark.parametrize(
    ("content", "arguments", "expected"),
    [
        (TRIAL + "models: {}", ["check", "x.yaml"], "error: x.yaml: duplicate key 'models'"),
        (TRIAL, ["train", "x.yaml", "--dataset", "x"], "error: Missing option '--model'"),
        (TRIAL.replace("gan:", '"\\e[1m":'), ["check", "x.yaml"], "error: x.yaml: models.'\\x1b[1m': valid: up to 40"),
        (
            TRIAL,
            ["prepare", "x.yaml", "--dataset", "digits", "--results", "x.yaml"],
            "error: x.yaml/format.json: cannot be written",
        ),
    ],
)
def test_processes_end_with_one_line_and_status_2(
    content: str, arguments: list[str], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "x.yaml").write_text(content)
    program = Path(sys.executable).with_name("deepgen-bench")
    done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(expected)
    assert os.listdir(tmp_path) == ["x.yaml"]
