"""The classifier and the Inception network as feature extractors."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.features.classifier import Classifier, train_classifier
from deepgen_bench.metrics.features.inception import load_inception
from deepgen_bench.metrics.features.inception_weights import WEIGHTS_NAME, published
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import sha256_of

DIGITS = DataSpec((1, 8, 8), "image", levels=17, classes=10)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = data.images.astype(np.uint8)[:, None], data.target
    order = np.random.default_rng(0).permutation(len(images))
    parts = {"train": order[:1000], "validation": order[1000:1300], "test": order[1300:]}
    return {name: (images[index], labels[index]) for name, index in parts.items()}


@pytest.fixture(scope="module")
def classifier(digits: dict[str, tuple[np.ndarray, np.ndarray]]) -> Classifier:
    return train_classifier(*digits["train"], *digits["validation"], DIGITS, seed=0)


def test_classifier_recognises_digits(classifier: Classifier, digits: dict) -> None:
    images, labels = digits["test"]
    assert classifier.accuracy(images, labels) >= 0.97
    result = classifier(images)
    assert result.features.shape == (len(images), 128) and result.features.dtype == np.float64
    assert result.logits is not None and result.logits.shape == (len(images), 10)
    assert (result.logits.argmax(axis=1) == labels).mean() == classifier.accuracy(images, labels)
    mapped = images[::-1]
    mapped.flags.writeable = False  # stored arrays are mapped read-only, and batches of them are views
    np.testing.assert_allclose(classifier(mapped).features[::-1], result.features, atol=1e-5)


def test_classifier_training_repeats_and_leaves_the_global_generator_alone(digits: dict) -> None:
    few = {name: (images[:200], labels[:200]) for name, (images, labels) in digits.items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, again, other = (train_classifier(*few["train"], *few["validation"], DIGITS, seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert torch.equal(torch.get_rng_state(), state)


def test_classifier_survives_saving(classifier: Classifier, digits: dict, tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    classifier.save(path)
    loaded = Classifier.load(path)
    assert loaded.digest == classifier.digest and loaded.spec == classifier.spec
    images, _ = digits["test"]
    np.testing.assert_array_equal(loaded(images).features, classifier(images).features)
    loaded.save(tmp_path / "again.safetensors")
    assert sha256_of(tmp_path / "again.safetensors") == sha256_of(path)


@pytest.mark.parametrize(
    "shape, levels", [((1, 28, 28), 256), ((3, 32, 32), 256), ((1, 28, 28), 2), ((3, 64, 48), 256)]
)
def test_classifier_fits_other_images(shape: tuple[int, ...], levels: int) -> None:
    spec = DataSpec(shape, "image", levels=levels, classes=3)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, levels, (20, *shape)).astype(np.uint8), np.arange(20) % 3
    result = train_classifier(images, labels, images, labels, spec, seed=0)(images)
    assert result.features.shape == (20, 128) and np.isfinite(result.features).all()


def test_classifier_names_wrong_input(classifier: Classifier, digits: dict, tmp_path: Path) -> None:
    images, labels = digits["test"]
    with pytest.raises(UserError, match="expected uint8"):
        classifier(images.astype(np.float32))
    with pytest.raises(UserError, match="the value 17"):
        classifier(images + np.uint8(1))
    with pytest.raises(UserError, match=r"shape \(1, 4, 8\), the classifier's"):
        classifier(images[:, :, :4])
    with pytest.raises(UserError, match="labels: 1 to 10, valid are 0 to 9"):
        classifier.accuracy(images, labels + 1)
    with pytest.raises(UserError, match="needs images with levels and classes"):
        train_classifier(images, labels, images, labels, DataSpec((1, 8, 8), "image", levels=17), seed=0)
    with pytest.raises(UserError, match="no such file"):
        Classifier.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not a tensor in sight")
    with pytest.raises(UserError, match="not a saved classifier"):
        Classifier.load(tmp_path / "text.safetensors")


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published layout with random numbers: the published file has 96 MB and is not needed for what is tested."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict: dict) -> None:
            pass

    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save({}, path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Untrained("untrained", ["2048"], feature_extractor_weights_path=path)
    torch.save(network.state_dict(), path)
    return path


def test_inception_features_and_logits(random_weights: Path) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    extractor = load_inception(random_weights, expected_sha256=sha256_of(random_weights))
    assert torch.equal(torch.get_rng_state(), state)
    assert extractor.digest == sha256_of(random_weights)
    grey = np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28)).astype(np.uint8)
    result = extractor(grey)
    assert result.features.shape == (2, 2048) and result.logits is not None and result.logits.shape == (2, 1008)
    # the layers and the resizing are torch-fidelity's own
    reference = extractor.network(torch.from_numpy(np.repeat(grey, 3, axis=1)))
    np.testing.assert_allclose(result.features, reference[0].double().numpy(), rtol=1e-6)
    np.testing.assert_allclose(result.logits, reference[1].double().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        result.logits, result.features @ extractor.network.fc.weight.double().numpy().T, rtol=1e-3, atol=1e-5
    )
    # 17 levels are stretched to the same 256
    digits = np.random.default_rng(0).integers(0, 17, (1, 1, 8, 8)).astype(np.uint8)
    stretched = np.round(digits * (255 / 16)).astype(np.uint8)
    seventeen = load_inception(random_weights, levels=17, expected_sha256=extractor.digest)
    np.testing.assert_array_equal(seventeen(digits).features, extractor(stretched).features)
    with pytest.raises(UserError, match="c = 1 or 3"):
        extractor(np.zeros((1, 4, 8, 8), np.uint8))
    with pytest.raises(UserError, match="the value 200; valid: 0 … 16"):
        seventeen(np.full((1, 1, 8, 8), 200, np.uint8))


def test_inception_refuses_unchecked_weights(tmp_path: Path) -> None:
    """A pickle with another digest is not opened: this one would write a file."""

    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "opened",)

    path = tmp_path / "weights.pth"
    torch.save(Bomb(), path)
    with pytest.raises(UserError, match=f"{path}: .* bytes with SHA-256 .*95628359"):
        load_inception(path)
    assert not (tmp_path / "opened").exists()
    with pytest.raises(UserError, match="no such file; the Inception weights are at https://"):
        load_inception(tmp_path / "none.pth")


def test_inception_with_the_wrong_layout(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"conv": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="not the weights of inception-v3-compat"):
        load_inception(path, expected_sha256=sha256_of(path))


def test_a_hostile_pickle_runs_nothing_though_its_digest_is_known(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "opened",)

    path = tmp_path / "weights.pth"
    torch.save(Bomb(), path)
    with pytest.raises(UserError, match=f"{path}: not the weights of inception-v3-compat"):
        load_inception(path, expected_sha256=sha256_of(path))
    assert not (tmp_path / "opened").exists()


def test_inception_weights_lie_where_torch_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("XDG_CACHE_HOME", "/a"), ("TORCH_HOME", "/b"), ("TORCH_HOME", "~/c")):
        monkeypatch.setenv(name, value)
        assert published().path == Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME


def test_inception_download_into_the_cache(
    random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, web: Any
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = published().path
    web.files["/weights.pth"] = random_weights.read_bytes()
    monkeypatch.setattr("deepgen_bench.metrics.features.inception_weights.WEIGHTS_URL", f"{web.address}/weights.pth")
    with pytest.raises(UserError, match="does not have the digest sha256:6726825d.*place weights.*pth from .* in "):
        load_inception()
    assert not cached.exists()
    digest = sha256_of(random_weights)
    assert load_inception(expected_sha256=digest).digest == digest
    assert sha256_of(cached) == digest


def test_a_classifier_s_bits_do_not_hang_on_the_processor_s_kernels_for_convolutions():
    """oneDNN is told of a lesser processor, whose convolutions are summed in another order."""
    script = """
from deepgen_bench.runtime.device import set_threads
set_threads()
import hashlib, torch
torch.set_num_threads(1)
from deepgen_bench.datasets.digits import Digits, DigitsSettings
from deepgen_bench.metrics.features.classifier import train_classifier
s = Digits(DigitsSettings()).splits(0)
parts = [part for split in ("train", "validation") for part in (getattr(s, split)[:200], s.labels[split][:200])]
made = train_classifier(*parts, s.spec, 0)
print(made.digest, hashlib.sha256(made(s.test).features.tobytes()).hexdigest())
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for isa in ("SSE41", "DEFAULT")
    ]
    assert said[0] == said[1] and len(said[0].split()) == 2
