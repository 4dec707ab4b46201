"""Images from arrays: every layout read exactly, given splits kept, every fault named, no pickle loaded."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepgen_bench.datasets.user.npz import Npz
from deepgen_bench.runtime.errors import UserError


def pixels(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def npz_splits(path, seed=0, **settings):
    return Npz(Npz.Settings(path=path, **settings)).splits(seed)


def rows(*arrays):
    return sorted(bytes(image) for array in arrays for image in array)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(10, 40),
    height=st.integers(2, 6),
    width=st.integers(4, 6),
    channels=st.sampled_from([1, 3]),
    layout=st.sampled_from(["nhw", "nhwc", "nchw"]),
)
def test_npz_layouts_come_back_exactly(tmp_path, n, height, width, channels, layout):
    channels = 1 if layout == "nhw" else channels
    images = pixels(n, channels, height, width)
    stored = {"nhw": images[:, 0], "nhwc": images.transpose(0, 2, 3, 1), "nchw": images}[layout]
    np.savez(tmp_path / "x.npz", images=stored)
    ambiguous = layout == "nhwc" and height in (1, 3)
    splits = npz_splits(tmp_path / "x.npz", layout=layout if ambiguous else None)
    assert splits.spec.shape == (channels, height, width)
    assert rows(splits.train, splits.validation, splits.test) == rows(images)


def test_npy_with_default_names(tmp_path):
    images = pixels(20, 4, 4)
    np.save(tmp_path / "x.npy", images)
    splits = npz_splits(tmp_path / "x.npy")
    assert rows(splits.train, splits.validation, splits.test) == rows(images)
    with pytest.raises(UserError, match="no array 'y'; found: images"):
        npz_splits(tmp_path / "x.npy", labels="y")


def test_npz_labels_stay_with_their_images(tmp_path):
    labels = np.arange(100) % 4
    images = np.broadcast_to(labels[:, None, None], (100, 5, 5)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", x=images, y=labels[:, None])
    splits = npz_splits(tmp_path / "x.npz", images="x", labels="y")
    assert splits.spec.classes == 4
    for split, values in splits.labels.items():
        assert values.dtype == np.int64
        np.testing.assert_array_equal(getattr(splits, split)[:, 0, 0, 0], values)


def test_npz_splits_that_are_there_are_kept(tmp_path):
    arrays = {name: pixels(n, 4, 4, seed=n) for name, n in (("a", 30), ("b", 5), ("c", 7))}
    labels = {f"{name}_y": np.arange(len(array)) % 2 for name, array in arrays.items()}
    np.savez_compressed(tmp_path / "x.npz", **arrays, **labels)
    names = {"train": "a", "validation": "b", "test": "c"}
    splits = npz_splits(tmp_path / "x.npz", images=names, labels={k: f"{v}_y" for k, v in names.items()})
    for split, name in names.items():
        given = {image.tobytes(): label for image, label in zip(arrays[name], labels[f"{name}_y"], strict=True)}
        kept = [image.tobytes() for image in getattr(splits, split)[:, 0]]
        assert sorted(kept) == sorted(given) and kept != list(given)  # all of them, in an order of their own
        assert [given[image] for image in kept] == splits.labels[split].tolist()
    splits = npz_splits(tmp_path / "x.npz", images={"train": "a", "test": "c"})
    assert rows(splits.test) == rows(arrays["c"])
    assert len(splits.validation) == 3 and rows(splits.train, splits.validation) == rows(arrays["a"])


IMAGES = pixels(20, 4, 5)


@pytest.mark.parametrize(
    "arrays, options, message",
    [
        ({"images": IMAGES[0]}, {}, r"'images': shape \(4, 5\); valid: \(n, h, w\)"),
        ({"images": pixels(20, 4, 5, 2)}, {}, r"shape \(20, 4, 5, 2\); valid"),
        ({"images": pixels(20, 3, 5, 3)}, {}, "ambiguous shape .*, nchw or nhwc; set layout"),
        ({"images": IMAGES}, {"layout": "nchw"}, r"shape \(20, 4, 5\), which is not nchw"),
        ({"images": pixels(20, 3, 4, 5)}, {"layout": "nhwc"}, "which is not nhwc with c = 1 or 3"),
        ({"images": IMAGES, "y": np.arange(20) % 2 + 1}, {"labels": "y"}, "no training image has label 0"),
        ({"images": IMAGES, "y": np.arange(20) % 2 * 10**9}, {"labels": "y"}, "no training image has label 1"),
        ({"images": IMAGES}, {"labels": {"train": "y", "test": "z"}}, "labels name train, test, but images train"),
        (
            {"a": IMAGES, "b": IMAGES, "y": np.arange(20) % 2, "z": np.arange(20) % 3},
            {"images": {"train": "a", "test": "b"}, "labels": {"train": "y", "test": "z"}},
            "label 2 of test does not occur in train",
        ),
    ],
)
def test_a_wrong_array_is_named(tmp_path, arrays, options, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=f"x.npz: .*{message}"):
        npz_splits(tmp_path / "x.npz", **options)


class Unpickled:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was loaded')",)


def test_pickles_are_never_loaded(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.array([Unpickled()], dtype=object))
    np.save(tmp_path / "x.npy", np.array([Unpickled()], dtype=object))
    for name in ("x.npz", "x.npy"):
        with pytest.raises(UserError, match=f"{name}: not a .npz or .npy file of plain arrays"):
            npz_splits(tmp_path / name)


def test_the_fingerprint_follows_the_file_and_the_identity_does_not_follow_the_path(tmp_path):
    dataset = Npz(Npz.Settings(path=tmp_path / "x.npz"))
    with pytest.raises(UserError, match="x.npz: no such file"):
        dataset.fingerprint()
    np.savez(tmp_path / "x.npz", images=IMAGES)
    before = dataset.fingerprint()
    assert dataset.fingerprint() == before
    np.savez(tmp_path / "x.npz", images=IMAGES[:11])
    assert dataset.fingerprint() != before
    assert dataset.settings.identity() == Npz.Settings(path="/elsewhere").identity()
