"""A small classifier trained on the labels of a dataset: a feature extractor for images unlike those of Inception."""

import copy
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors import torch as safetensors
from torch import Tensor, nn
from torch.nn import functional

from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.context import Features
from deepgen_bench.metrics.features.networks import check_images, in_batches, without_onednn
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import canonical_json, sha256_of, write_bytes

FEATURES = 128
BATCH = 100
EVALUATION_BATCH = 500
LEARNING_RATE = 2e-3
PRESENTATIONS = 200_000


class Network(nn.Module):
    """Two convolutions with pooling, a feature layer of 128 rectified units, and logits."""

    def __init__(self, spec: DataSpec, generator: torch.Generator | None = None):
        super().__init__()
        channels, height, width = spec.shape
        assert spec.levels is not None and spec.classes is not None
        self.scale = spec.levels - 1
        # images of 16 pixels and more (28x28, 32x32) are halved twice, 8x8 digits once
        self.halvings = 2 if min(height, width) >= 16 else 1
        flat = 32 * (height >> self.halvings) * (width >> self.halvings)
        # built on the meta device and initialised below, so that the global generator of torch is not used
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, device="meta")
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, device="meta")
        self.feature = nn.Linear(flat, FEATURES, device="meta")
        self.classes = nn.Linear(FEATURES, spec.classes, device="meta")
        self.to_empty(device="cpu")
        for layer in (self.conv1, self.conv2, self.feature, self.classes):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, 128) and logits (n, classes) of uint8 `images` (n, c, h, w)."""
        x = functional.relu(self.conv1(images.float() / self.scale))
        if self.halvings == 2:
            x = functional.max_pool2d(x, 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        features = functional.relu(self.feature(x.flatten(1)))
        return features, self.classes(features)


class Classifier:
    """A trained network as a feature extractor (`Extractor`); `digest` is the SHA-256 of its weights."""

    name = "classifier"

    def __init__(self, spec: DataSpec, network: Network, device: str = "cpu"):
        self.spec, self.device = spec, device
        self.network = network.to(device).eval()

    @cached_property
    def digest(self) -> str:
        return sha256_of(safetensors.save(self._tensors()))

    def __call__(self, images: np.ndarray) -> Features:
        """Features (n, 128) and logits (n, classes) of uint8 levels (n, c, h, w) of the dataset's shape."""
        _check(images, self.spec)
        with without_onednn():
            features, logits = in_batches(self.network, images, EVALUATION_BATCH, self.device)
        return Features(features, logits)

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Share of `images` (n, c, h, w) whose most likely class is their label (n,)."""
        _check_labels("labels", labels, len(images), self.spec)
        logits = self(images).logits
        assert logits is not None
        return float((logits.argmax(axis=1) == labels).mean())

    def save(self, path: Path) -> None:
        # a single metadata key, because safetensors writes several in an order that differs between processes
        data = safetensors.save(self._tensors(), {"classifier": canonical_json({"spec": self.spec.to_json()})})
        write_bytes(path, data)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> "Classifier":
        import json

        try:
            with safe_open(path, "pt") as file:
                spec = DataSpec.from_json(json.loads(file.metadata()["classifier"])["spec"])
                network = Network(spec)
                network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except MemoryError:
            raise
        except Exception as error:  # an edited specification can raise anything
            raise UserError(f"{path}: not a saved classifier ({type(error).__name__})") from None
        return cls(spec, network, device)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}


@without_onednn()
def train_classifier(
    train_images: np.ndarray,
    train_labels: np.ndarray,
    validation_images: np.ndarray,
    validation_labels: np.ndarray,
    spec: DataSpec,
    seed: int,
    device: str = "cpu",
) -> Classifier:
    """Train on uint8 levels (n, c, h, w) with labels 0 … classes - 1 (n,), and return the best epoch's classifier.

    Adam with a linearly decaying learning rate for 200,000 presentations (2 to 40 epochs); the epoch is chosen by
    validation cross-entropy. On 8x8 digits and MNIST the test accuracy is about 99 %, after 3 and 30 seconds on one
    thread. Random numbers come from a generator of this call and the order of sums is fixed, so equal inputs give equal
    bits on a CPU: numbers of two machines are comparable if the digests agree.
    """
    if spec.support == "continuous" or len(spec.shape) != 3 or not spec.levels or not spec.classes:
        raise UserError(f"spec: a classifier needs images with levels and classes, found {spec}")
    _check(train_images, spec)
    _check(validation_images, spec)
    _check_labels("train_labels", train_labels, len(train_images), spec)
    _check_labels("validation_labels", validation_labels, len(validation_images), spec)
    generator = torch.Generator().manual_seed(seed)
    network = Network(spec, generator).to(device)
    best, best_loss = copy.deepcopy(network), float("inf")
    images = torch.from_numpy(train_images.copy()).to(device)
    labels = torch.from_numpy(train_labels.astype(np.int64)).to(device)
    epochs = min(max(round(PRESENTATIONS / len(images)), 2), 40)
    batches = -(-len(images) // BATCH)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=epochs * batches)
    for _ in range(epochs):
        for index in torch.randperm(len(images), generator=generator).to(device).split(BATCH):
            loss = functional.cross_entropy(network(images[index])[1], labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        validation_loss = _cross_entropy(network, validation_images, validation_labels, device)
        if validation_loss < best_loss:
            best, best_loss = copy.deepcopy(network), validation_loss
    return Classifier(spec, best, device)


def _cross_entropy(network: Network, images: np.ndarray, labels: np.ndarray, device: str) -> float:
    _, logits = in_batches(network, images, EVALUATION_BATCH, device)
    return float(functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels.astype(np.int64))))


def _check(images: np.ndarray, spec: DataSpec) -> None:
    check_images(images, spec.levels or 256, (spec.shape[0],))
    if images.shape[1:] != spec.shape:
        raise UserError(f"images: shape {images.shape[1:]}, the classifier's are {spec.shape}")


def _check_labels(name: str, labels: np.ndarray, n: int, spec: DataSpec) -> None:
    assert spec.classes is not None
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise UserError(f"{name}: {labels.dtype} of shape {labels.shape}, expected integers ({n},)")
    if n and (labels.min() < 0 or labels.max() >= spec.classes):
        raise UserError(f"{name}: {labels.min()} to {labels.max()}, valid are 0 to {spec.classes - 1}")
