"""Files of users are read as every viewer shows them, or refused in one line; of an ordered file a part is random."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import deepgen_bench.stages.score as stage
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.datasets.user.files import random_subset, read_source
from deepgen_bench.datasets.user.image_folder import ImageFolder
from deepgen_bench.metrics.features.score import score
from deepgen_bench.models.external import read_samples
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.score import score_files

ORIENTATION = 0x0112


def pictures(n=12, height=6, width=4, seed=0):
    """uint8 (n, h, w, 3), smooth enough for JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 1, 1, 3)).astype(float)
    ramp = np.linspace(-40, 40, height)[:, None, None] + np.linspace(0, 60, width)[:, None]
    return np.clip(coarse + ramp, 0, 255).astype(np.uint8)


def folder_of(path, images, suffix="png", **options):
    path.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(path / f"{i:03}.{suffix}", **options)
    return path


def deep_png(pixels):
    """A PNG file with 16 bits a channel, which Pillow cannot write; `pixels` (h, w, 3)."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)))
    chunks = [
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in (*parts, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def readers(path):
    """The ways to a folder of images: `score`, `image_folder` and `external`."""
    spec = DataSpec((3, 6, 4), "image", levels=256)
    return {
        "score": lambda: score(path, path, extractor="data"),
        "image_folder": lambda: ImageFolder(ImageFolder.Settings(path=path)).splits(0),
        "external": lambda: read_samples(path, spec),
    }


@pytest.mark.parametrize("way", ["score", "image_folder", "external"])
def test_colours_of_16_bits_are_refused(tmp_path, way):
    path = folder_of(tmp_path / "x", pictures())
    (path / "003.png").write_bytes(deep_png(np.arange(72).reshape(6, 4, 3) * 56))
    with pytest.raises(UserError, match=r"x/003.png: 16-bit RGB, valid: 8-bit grey \(L\) or RGB; convert"):
        readers(path)[way]()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_pictures_are_turned_as_their_orientation_says(tmp_path, capsys, suffix, orientation):
    straight = pictures()
    turns = {3: 2, 6: 1, 8: 3}[orientation]  # quarter turns against the clock that a camera's turn undoes
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"exif": exif} | ({"quality": 100} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {})
    turned = folder_of(tmp_path / "turned", np.rot90(straight, turns, axes=(1, 2)), suffix, **options)
    images = read_source(turned)[""]
    expected = straight.transpose(0, 3, 1, 2)[random_subset(len(straight))]
    np.testing.assert_allclose(images.astype(int), expected, atol=20 if suffix == "jpg" else 0)
    assert "turned: 12 of 12 images turned to their EXIF orientation" in capsys.readouterr().err


def test_a_file_of_several_pictures_as_cameras_write_gives_the_first(tmp_path):
    first, preview = (Image.fromarray(np.full((8, 8, 3), grey, np.uint8)) for grey in (200, 20))
    (tmp_path / "x").mkdir()
    for name in "ab":
        first.save(tmp_path / "x" / f"{name}.jpg", "MPO", save_all=True, append_images=[preview])
    assert (np.abs(read_source(tmp_path / "x")[""].astype(int) - 200) <= 2).all()


@pytest.mark.parametrize("way", ["score", "image_folder", "external"])
def test_skipped_files_are_counted(tmp_path, capsys, way):
    path = folder_of(tmp_path / "x", pictures())
    for i in range(3):
        Image.fromarray(pictures()[i]).save(path / f"{i}.tif")
    (path / "notes").touch()
    readers(path)[way]()
    assert "x: 12 images, 4 files skipped, 3 .tif, 1 without suffix; read: .png, .jpg" in capsys.readouterr().err


def test_a_folder_without_readable_files_names_the_suffixes(tmp_path):
    path = folder_of(tmp_path / "x", pictures(2), "tif")
    for read in readers(path).values():
        with pytest.raises(UserError, match=r"x: no image files; found 2 \.tif; valid: \.png, \.jpg"):
            read()


def test_a_part_of_class_folders_is_of_all_classes(tmp_path):
    """The first 40 of 200 would be of one class: their distance to all is 100 times as large."""
    rng = np.random.default_rng(0)
    for name, grey in (("a", 60), ("b", 190)):
        folder_of(tmp_path / "x" / name, rng.normal(grey, 10, (100, 4, 4)).astype(np.uint8))
    part, whole = (score(tmp_path / "x", tmp_path / "x", extractor="data", n=n)[0] for n in (40, None))
    assert (part.n_real, whole.n_real) == (40, 200) and [part.value, whole.value] == pytest.approx([0, 0], abs=1e-6)
    x = read_source(tmp_path / "x", 40)[""]
    assert len(x) == 40 and 10 <= (x.mean((1, 2, 3)) < 120).sum() <= 30
    np.save(tmp_path / "x.npy", read_source(tmp_path / "x")[""][np.argsort(random_subset(200))])
    spec = DataSpec((1, 4, 4), "image", levels=256)
    # the same part in the same order, in whatever form it comes
    np.testing.assert_array_equal(read_samples(tmp_path / "x.npy", spec)[:40], x)
    np.testing.assert_array_equal(read_samples(tmp_path / "x", spec)[:40], x)


def test_images_of_two_values_deserve_a_warning(tmp_path, capsys):
    binary = (pictures() > 128).astype(np.uint8)
    np.save(tmp_path / "x.npy", binary)
    score(tmp_path / "x.npy", tmp_path / "x.npy", extractor="data")
    assert "warning: " in (err := capsys.readouterr().err) and "x.npy: holds only 0 and 1, of 0 … 255" in err
    np.save(tmp_path / "x.npy", binary * 255)
    score(tmp_path / "x.npy", tmp_path / "x.npy", extractor="data")
    assert not capsys.readouterr().err


def test_too_little_memory_is_one_line(tmp_path, monkeypatch):
    def exhausted(*arguments):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(stage, "score", exhausted)
    with pytest.raises(UserError, match=r"scoring y: out of memory \(Unable to allocate 9 TiB\); lower --n"):
        score_files(tmp_path, "y", "data", None, None, None)
