"""The Inception network of 2015-12-05 (torch-fidelity's `inception-v3-compat`), which defines FID and IS."""

import io
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch

from deepgen_bench.metrics.context import Features
from deepgen_bench.metrics.features.inception_weights import WEIGHTS_SHA256, published, read_weights
from deepgen_bench.metrics.features.networks import check_images, in_batches
from deepgen_bench.runtime.errors import UserError

BATCH = 64


class Inception:
    """Maps images to 2,048 pooled features (FID, KID, precision and recall) and 1,008 logits without bias (IS).

    Takes uint8 levels 0 … `levels` - 1, grey or colour. Levels are scaled to 0 … 255 and rounded, grey is repeated in
    three channels, and the network resizes to 299 x 299 as TensorFlow 1 did: images must not be resized before.
    """

    name = "inception"

    def __init__(self, network: torch.nn.Module, digest: str, device: str = "cpu", levels: int = 256):
        self.network, self.digest, self.device, self.levels = network.to(device), digest, device, levels

    def __call__(self, images: np.ndarray) -> Features:
        """Features (n, 2048) and logits (n, 1008) of uint8 `images` (n, 1 or 3, h, w)."""
        check_images(images, self.levels, (1, 3))
        return Features(*in_batches(self._forward, images, BATCH, self.device))

    def _forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.levels != 256:
            images = (images.double() * (255 / (self.levels - 1))).round().to(torch.uint8)
        return self.network(images.expand(-1, 3, -1, -1))


def load_inception(
    weights: Path | None = None, device: str = "cpu", levels: int = 256, expected_sha256: str = WEIGHTS_SHA256
) -> Inception:
    """The extractor with its published weights: from `weights`, else torch's cache, else downloaded into that cache.

    The file is a pickle, so it is opened only if its SHA-256 is `expected_sha256`, and as tensors only. Raises
    `UserError` if it differs, or if the download fails, with the address and the path where the file is expected.
    """
    data = read_weights(weights, expected_sha256)
    return Inception(_network(data, published(weights).path), expected_sha256, device, levels)


def _network(data: bytes, path: Path) -> torch.nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # building the layers draws an initialisation from the global generator, which the weights then replace
    with torch.random.fork_rng(devices=[]):
        try:
            # torch-fidelity unpickles any file, so it gets one that was written from tensors only
            tensors = io.BytesIO()
            torch.save(torch.load(io.BytesIO(data), weights_only=True), tensors)
            tensors.seek(0)
            return FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=tensors
            )
        except (RuntimeError, UnpicklingError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: not the weights of inception-v3-compat ({str(error).splitlines()[0]})") from None
