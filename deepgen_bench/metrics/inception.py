"""The Inception network of 2015-12-05 (torch-fidelity's `inception-v3-compat`), by which FID and IS are defined."""

import os
from pathlib import Path

import numpy as np
import torch

from deepgen_bench.errors import UserError
from deepgen_bench.files import sha256_of, write_atomic
from deepgen_bench.metrics.features import Features, check_images
from deepgen_bench.metrics.networks import in_batches

WEIGHTS_NAME = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS_NAME}"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
WEIGHTS_SIZE = 95_628_359
BATCH = 64


class Inception:
    """Images to the 2,048 pooled features (FID, KID, precision and recall) and 1,008 logits without bias (IS).

    Takes uint8 levels 0 … `levels` - 1, grey or colour; levels are stretched to 0 … 255 and rounded, grey is repeated
    in three channels, and the network itself resizes to 299 x 299 as TensorFlow 1 did: images must not be resized
    before.
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

    The file is a pickle, so it is opened only if its SHA-256 is `expected_sha256`. Raises `UserError` if it is not,
    or if the download fails, with the address and the place to put the file.
    """
    path = weights or Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME
    if not path.is_file():
        if weights:
            raise UserError(f"{path}: no such file; the Inception weights are at {WEIGHTS_URL}")
        _download(path, expected_sha256)
    digest = sha256_of(path)
    if digest != expected_sha256:
        raise UserError(
            f"{path}: {path.stat().st_size} bytes with SHA-256 {digest}, expected {expected_sha256}"
            f" (the published weights have {WEIGHTS_SIZE} bytes)"
        )
    return Inception(_network(path), digest, device, levels)


def _network(path: Path) -> torch.nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # building the layers draws an initialisation, from the global generator, that the weights then replace
    with torch.random.fork_rng(devices=[]):
        try:
            return FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=os.fspath(path)
            )
        except RuntimeError as error:
            raise UserError(f"{path}: not the weights of inception-v3-compat ({str(error).splitlines()[0]})") from None


def _download(path: Path, expected_sha256: str) -> None:
    from urllib.request import urlopen

    try:
        with urlopen(WEIGHTS_URL, timeout=60) as response:
            data = response.read()
    except OSError as error:
        where = f"place the file at {path}, or name it in inception_weights"
        raise UserError(f"cannot download {WEIGHTS_URL} ({error}); {where}") from None
    if sha256_of(data) != expected_sha256:
        raise UserError(f"{WEIGHTS_URL}: {len(data)} bytes with SHA-256 {sha256_of(data)}, expected {expected_sha256}")
    write_atomic(path, lambda file: file.write(data))
