"""Training steps: stacked replicates compared with a plain PyTorch loop and DataLoader, pythae and the arithmetic."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from benchmarks.contest import OURS, Contender, Contest
from benchmarks.measure import rate

# the data are random numbers, because the duration of a step does not depend on them
EXAMPLES = 10_000
VAE = {"decoder": "bernoulli", "hidden": [200, 200], "latent_dim": 50, "batch_size": 100, "learning_rate": 0.001}
DIGITS = {"decoder": "bernoulli", "hidden": [256, 256], "latent_dim": 8, "batch_size": 64, "learning_rate": 0.002}
GAN = {"hidden": [128, 128], "latent_dim": 2, "batch_size": 128, "learning_rate": 0.001, "critic_steps": 1}
CONV = {"network": "conv", "channels": 32, "hidden": [256], "latent_dim": 64, "batch_size": 64, "learning_rate": 0.0002}
IMAGES, SMALL, PLANE = (1, 28, 28), (1, 8, 8), (2,)

Measured = Callable[[], dict[str, Any]]


def examples(shape: list[int], count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if len(shape) == 1:
        return rng.standard_normal((count, *shape))
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8)


def ours(
    model: str, settings: dict[str, Any], shape: list[int], replicates: int, count: int = EXAMPLES, device: str = "cpu"
) -> Measured:
    """Steps of the training loop between evaluations, as the pipeline runs them."""
    from deepgen_bench.datasets.spec import DataSpec
    from deepgen_bench.models.base import Streams, TrainingData
    from deepgen_bench.models.replicate import make_model
    from deepgen_bench.plugins import MODELS
    from deepgen_bench.runtime.device import open_device
    from deepgen_bench.training.loop import TrainingState

    open_device(device)
    image = len(shape) > 1
    spec = DataSpec(tuple(shape), "image" if image else "continuous", 256 if image else None)
    network: Any = make_model(model, MODELS[model].settings.model_validate(settings), spec, device)
    seeds = list(range(replicates))
    data = TrainingData(examples(shape, count), examples(shape, 100))
    # one step, which makes networks, optimisers and batches
    network.fit(data, seeds, Streams(0, "benchmark", model), settings["batch_size"], lambda *_: None)
    stacked = len(network.module.shift)
    course = TrainingState(network, stacked)
    # a replicate alone has a twin beside it, and convolutions are trained one after the other
    useful = min(replicates, stacked)
    return lambda: {"value": rate(lambda: course.advance(1.0), useful)}


def loop(model: str, settings: dict[str, Any], shape: list[int], workers: int, count: int = EXAMPLES) -> Measured:
    """One network, a DataLoader and default Adam, as in PyTorch's examples for VAE and DCGAN."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from benchmarks import plain

    x = torch.as_tensor(examples(shape, count), dtype=torch.float32)
    data = TensorDataset(x / 255 if len(shape) > 1 else x)
    loader = DataLoader(
        data, settings["batch_size"], shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )

    def batches() -> Any:
        while True:
            yield from loader

    source, step = batches(), plain.STEPS[model](settings, shape)
    step(next(source)[0])
    return lambda: {"value": rate(lambda: step(next(source)[0]), 1)}


def pythae(settings: dict[str, Any], shape: list[int], workers: int, count: int = EXAMPLES) -> Measured:
    """pythae's own trainer on the same networks: whole epochs, without the files that it saves after each."""
    import tempfile

    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    from benchmarks.plain import pythae_vae

    x = torch.as_tensor(examples(shape, count), dtype=torch.float32) / 255
    config = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=settings["batch_size"],
        learning_rate=settings["learning_rate"],
        train_dataloader_num_workers=workers,
        no_cuda=True,
    )
    data = BaseDataset(x, torch.zeros(len(x)))
    trainer = BaseTrainer(pythae_vae(settings, shape), train_dataset=data, training_config=config)
    trainer.prepare_training()
    trainer.train_step(1)
    return lambda: {"value": rate(lambda: trainer.train_step(2), len(trainer.train_loader))}


def arithmetic(flop: float) -> Measured:
    """Steps per second if matrix products took all the time, at the best rate of this machine."""
    import torch

    a, b = torch.randn(2, 1024, 1024).unbind()
    out = torch.empty(1024, 1024)
    torch.mm(a, b, out=out)
    return lambda: {"value": rate(lambda: torch.mm(a, b, out=out), 2 * 1024**3) / flop}


def vae_flop(settings: dict[str, Any], dim: int) -> float:
    """Operations of one step of an MLP VAE: forward, gradients of weights, and of inputs except the first layer's."""
    widths = [dim, *settings["hidden"], 2 * settings["latent_dim"]]
    back = [settings["latent_dim"], *settings["hidden"][::-1], dim]
    products = [a * b for layers in (widths, back) for a, b in zip(layers, layers[1:], strict=False)]
    return 2.0 * settings["batch_size"] * (3 * sum(products) - products[0])


def conv_gan_flop(settings: dict[str, Any], side: int) -> float:
    """Operations of one step of a convolutional GAN for grey images: the discriminator on real and generated images,
    then the generator through it. A product with weights costs the same forward and for each gradient."""
    c, small, width = settings["channels"], (side // 4) ** 2, settings["hidden"][0]
    first_up, last_up = settings["latent_dim"] * 4 * c * small, small * 128 * c**2 + 4 * small * 32 * c
    first_down, last_down = 4 * small * 16 * c, small * 32 * c**2 + small * 2 * c * width + width
    # forward without gradients, then with both gradients, except that of the first layer's inputs
    generator = (1 + 2) * first_up + (1 + 3) * last_up
    # twice as many examples with both gradients, except that of the first layer's inputs; then once, of inputs alone
    critic = (2 * 2 + 2) * first_down + (2 * 3 + 2) * last_down
    return 2.0 * settings["batch_size"] * (generator + critic)


def contest(
    case: str, model: str, settings: dict[str, Any], shape: tuple[int, ...], target: float, remark: str
) -> Contest:
    """Both cores with five replicates each (convolutions: one), compared with one network."""
    common = {"model": model, "settings": settings, "shape": list(shape)}
    replicates = 1 if settings.get("network") == "conv" else 5
    ours_too = Contender(OURS, "training", "ours", common | {"replicates": replicates}, 1, 2)
    peers = [
        Contender("plain loop", "training", "loop", common | {"workers": workers}, threads)
        for workers, threads in ((0, 1), (0, 2), (1, 1), (1, 2))
    ]
    # uses both cores, which a loop in one process cannot use equally well
    peers.append(Contender("plain loop, a process a core", "training", "loop", common | {"workers": 0}, 1, 2))
    targets = {"plain loop": target}
    if model == "vae":
        own = {"settings": settings, "shape": list(shape), "workers": 0}
        peers += [Contender("pythae", "training", "pythae", own, threads) for threads in (1, 2)]
        peers.append(Contender("arithmetic", "training", "arithmetic", {"flop": vae_flop(settings, prod(shape))}, 1, 2))
        targets |= {"arithmetic": 0.5} if shape == IMAGES else {}
    if settings.get("network") == "conv":
        flop = conv_gan_flop(settings, shape[1])
        peers.append(Contender("arithmetic", "training", "arithmetic", {"flop": flop}, 1, 2))
    return Contest(f"training, {case}", "seed-steps/s", (ours_too, *peers), targets, remark=remark)


def contests() -> list[Contest]:
    return [
        contest("VAE 784-200-200-50", "vae", VAE, IMAGES, 2.0, PRODUCTS),
        contest("VAE of digits", "vae", DIGITS, SMALL, 2.0, ""),
        contest("GAN in 2-D", "gan", GAN, PLANE, 2.0, ""),
        contest("convolutional GAN 28 × 28", "gan_ns", CONV, IMAGES, 1.5, CONVOLUTIONS),
    ]


# shares of our steps, measured with torch's profiler
PRODUCTS = "58 % of our time are products, 10 % binarisation and noise, 6 % Adam"
CONVOLUTIONS = (
    "69 % of our time are convolutions of the same library, one replicate after the other; our generator's step draws "
    "new samples, while the loop reuses those of the discriminator's step"
)


def growth() -> list[tuple[str, Contender]]:
    """This package alone, in one process, by replicates, batch size and number of training examples."""
    vae: dict[str, Any] = {"model": "vae", "settings": VAE, "shape": list(IMAGES), "replicates": 5}
    digits = {"model": "vae", "settings": DIGITS, "shape": list(SMALL)}
    plane = {"model": "gan", "settings": GAN, "shape": list(PLANE)}
    conv = {"model": "gan_ns", "settings": CONV, "shape": list(IMAGES), "replicates": 1}
    cases: list[tuple[str, dict[str, Any]]] = [
        *((f"VAE 784-200-200-50, S = {count}", vae | {"replicates": count}) for count in (1, 2, 5, 10)),
        *(
            (f"VAE 784-200-200-50, S = 5, batch {size}", vae | {"settings": VAE | {"batch_size": size}})
            for size in (20, 500)
        ),
        *(
            (f"VAE 784-200-200-50, S = 5, {count:,} training images", vae | {"count": count})
            for count in (1000, 60_000)
        ),
        *((f"VAE of digits, S = {count}", digits | {"replicates": count}) for count in (1, 5, 10)),
        *((f"GAN in 2-D, S = {count}", plane | {"replicates": count}) for count in (1, 5, 10)),
        ("convolutional GAN 28 × 28, any S", conv),
    ]
    return [(case, Contender(OURS, "training", "ours", settings)) for case, settings in cases]
