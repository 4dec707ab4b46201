"""Checks of a GPU in less than ten minutes: `python benchmarks/gpu.py` in the package's environment.

They compare numbers with the CPU, up to rounding; check that two trainings have the same bits and that a captured step
equals one that is not captured; and measure speeds. `--device cpu` runs all checks on a machine without a GPU, with
small sizes, and compares the CPU with itself. The output is Markdown; `--output` also writes it to a file.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deepgen_bench.runtime.device import open_device, set_threads
from deepgen_bench.runtime.memory import keep_freed_memory

set_threads()
keep_freed_memory()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from deepgen_bench.datasets.spec import DataSpec  # noqa: E402
from deepgen_bench.metrics.likelihood.annealing import annealed_log_weights  # noqa: E402
from deepgen_bench.metrics.likelihood.decoder import Decoder  # noqa: E402
from deepgen_bench.metrics.likelihood.held_out import HeldOut  # noqa: E402
from deepgen_bench.metrics.likelihood.importance import weigh_all  # noqa: E402
from deepgen_bench.metrics.likelihood.marginal import annealing_of  # noqa: E402
from deepgen_bench.metrics.likelihood.settings import AnnealingSettings  # noqa: E402
from deepgen_bench.models.base import Streams, TrainingData  # noqa: E402
from deepgen_bench.models.replicate import make_model  # noqa: E402
from deepgen_bench.plugins import MODELS  # noqa: E402
from deepgen_bench.training.graph import captured  # noqa: E402
from deepgen_bench.training.loop import TrainingState  # noqa: E402

VAE = {"decoder": "bernoulli", "hidden": [200, 200], "latent_dim": 50, "batch_size": 100, "learning_rate": 0.001}
CONV = {"network": "conv", "channels": 32, "hidden": [256], "latent_dim": 64, "batch_size": 64}
MODELS_TRIED: dict[str, tuple[str, dict[str, Any]]] = {
    "VAE 784-200-200-50": ("vae", VAE),
    "Gaussian VAE": ("vae", VAE | {"decoder": "gaussian", "initial_tau": 0.5}),
    "convolutional VAE": ("vae", VAE | {"network": "conv", "hidden": [256], "channels": 16}),
    "GAN, MLP": ("gan_ns", {"hidden": [512, 256], "latent_dim": 64, "batch_size": 64}),
    "GAN, convolutional": ("gan_ns", CONV),
    "WGAN, clipped": ("wgan", {"hidden": [512, 256], "latent_dim": 64, "batch_size": 64}),
    "WGAN-GP": ("wgan_gp", {"hidden": [512, 256], "latent_dim": 64, "batch_size": 64}),
    "flow": ("flow", {"hidden": [256], "transforms": 2, "transform": "affine", "batch_size": 128}),
    "diffusion, U-Net": ("diffusion", {"network": "unet", "channels": 16, "batch_size": 64, "steps": 20}),
}
SPEC = DataSpec((1, 28, 28), "image", 256)


@dataclass(frozen=True)
class Sizes:
    """Sizes of the checks; small on a CPU, where the checks only have to run."""

    steps: int
    images: int
    k: int
    replicates: tuple[int, ...]
    bursts: int


SIZES = {"cuda": Sizes(200, 10_000, 5000, (1, 5, 10), 30), "cpu": Sizes(2, 16, 50, (1, 2), 0)}


def images(n: int) -> np.ndarray:
    """Blurred blobs, uint8 (n, 1, 28, 28): the speed of a step does not depend on what they show."""
    rng = np.random.default_rng(0)
    centre, grid = rng.uniform(8, 20, (n, 2, 1, 1)), np.mgrid[:28, :28]
    distance = np.square(grid - centre).sum(1)
    return (255 * np.exp(-distance / rng.uniform(8, 40, (n, 1, 1))))[:, None].astype(np.uint8)


def model_of(name: str, device: str, precision: str = "float32") -> Any:
    kind, settings = MODELS_TRIED[name]
    return make_model(kind, MODELS[kind].settings.model_validate(settings | {"precision": precision}), SPEC, device)


def trained(name: str, device: str, replicates: int, steps: int, precision: str = "float32") -> tuple[Any, list[Any]]:
    """A model after `steps` steps, and the training results of its replicates."""
    model, data = model_of(name, device, precision), images(2000)
    fits = model.fit(
        TrainingData(data[:1800], data[1800:]),
        list(range(replicates)),
        Streams(0, "gpu", name),
        steps * model.settings.batch_size,
        lambda *_: None,
    )
    return model, fits


def started(name: str, device: str, replicates: int, precision: str = "float32") -> TrainingState:
    """A training after its first step."""
    model, _ = trained(name, device, replicates, 1, precision)
    return TrainingState(model, len(model.module.shift))


def difference(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """The largest difference of two states, relative to the largest number of each tensor."""
    pairs = [(np.asarray(a[key], float), np.asarray(b[key], float)) for key in a]
    return max(float(np.abs(x - y).max() / (np.abs(x).max() + 1e-12)) for x, y in pairs)


# correctness


def same_as_cpu(device: str) -> Iterator[tuple[str, float, float]]:
    """Name, relative difference and tolerance of networks with the same weights on the same inputs."""
    for name in MODELS_TRIED:
        _, (fit, *_) = trained(name, "cpu", 2, 2)
        outputs = []
        for place in ("cpu", device):
            model = model_of(name, place)
            model.load(fit.checkpoints["final"])
            generator = torch.Generator().manual_seed(0)
            x = torch.as_tensor(images(64).reshape(1, 64, -1) / 256, dtype=torch.float32).to(place)
            if name == "flow":
                found = model.log_density(x.to(model.module.scale))
            elif name.startswith("diffusion"):
                found = model.denoise(model.scaled(x), torch.zeros(1, 64, 1, device=place))
            else:
                found = model.from_latent(torch.randn(1, 64, model.settings.latent_dim, generator=generator).to(place))
            outputs.append({"": found.detach().double().cpu().numpy()})
        yield f"{name}, output", difference(*outputs), 1e-4


def iw_elbo(device: str, n: int, k: int) -> tuple[float, float, float]:
    """Mean of the bound, its Monte-Carlo error, and seconds, for one trained VAE."""
    _, (fit, *_) = trained("VAE 784-200-200-50", "cpu", 2, 50)
    model = model_of("VAE 784-200-200-50", device)
    model.load(fit.checkpoints["final"])
    held_out = HeldOut(images(n), SPEC, 0, "gpu")
    x = held_out.represent("binarised")[1]
    weigh_all(model, x[:16], [k], held_out, "test")
    began = time.perf_counter()
    found = weigh_all(model, x, [k], held_out, "test")
    seconds = time.perf_counter() - began
    error = float(np.sqrt(np.square(found.errors[k]).sum())) / n
    return float(found.bounds[k].mean()), error, seconds


def determinism(device: str, steps: int) -> Iterator[tuple[str, str, str]]:
    """Whether two trainings, and a replicate in blocks of two and five, have the same bits."""
    for name in MODELS_TRIED:
        first, second = (trained(name, device, 2, steps)[1] for _ in range(2))
        five = trained(name, device, 5, steps)[1]
        state = first[0].checkpoints["final"]
        again, among = (difference(state, other[0].checkpoints["final"]) for other in (second, five))
        yield name, "same bits" if again == 0 else f"{again:.1e} off", "same bits" if among == 0 else f"{among:.1e} off"


def graph_like_eager(device: str, steps: int) -> Iterator[tuple[str, str]]:
    """Compare a captured step with single kernels, from the same state."""
    for name in MODELS_TRIED:
        ends = []
        for capture in (False, True):
            course = started(name, device, 2)
            course.advance(1.0)
            if capture:
                course.take = capturing(course, device)
            for _ in range(steps):
                course.advance(1.0)
            ends.append({key: tensor.cpu().numpy() for key, tensor in course.tensors.items()})
        off = difference(*ends)
        yield name, "same bits" if off == 0 else f"{off:.1e} off"


def capturing(course: TrainingState, device: str) -> Callable[[], None]:
    return captured(course.update) if device == "cuda" else course.update


# speed


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def milliseconds(action: Callable[[], Any], device: str, bursts: int) -> float:
    """Median duration of a call over `bursts` of 20 calls, or of a single call if `bursts` is 0."""
    action()
    times, calls = [], 20 if bursts else 1
    for _ in range(max(bursts, 1)):
        synchronise(device)
        began = time.perf_counter()
        for _ in range(calls):
            action()
        synchronise(device)
        times.append((time.perf_counter() - began) / calls)
    return float(np.median(times)) * 1e3


def kernels(course: TrainingState, device: str) -> float:
    """Milliseconds that the kernels of a step take by themselves; NaN without a GPU."""
    if device != "cuda":
        return float("nan")
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(10):
            course.update()
        torch.cuda.synchronize()
    return sum(event.self_device_time_total for event in found.key_averages()) / 10 / 1e3


def speeds(device: str, sizes: Sizes) -> Iterator[list[str]]:
    """Rows of the table: model, replicates, and milliseconds per step: single kernels, captured, kernels alone, and
    without deterministic algorithms."""
    for name in ("VAE 784-200-200-50", "GAN, MLP", "GAN, convolutional", "WGAN-GP", "diffusion, U-Net"):
        for replicates in sizes.replicates:
            course = started(name, device, replicates)
            eager = milliseconds(partial(course.advance, 1.0), device, sizes.bursts)
            alone = kernels(course, device)
            torch.set_deterministic_debug_mode("default")
            free = milliseconds(partial(course.advance, 1.0), device, sizes.bursts)
            torch.set_deterministic_debug_mode("warn")
            course.take = capturing(course, device)
            graph = milliseconds(partial(course.advance, 1.0), device, sizes.bursts)
            yield [name, str(replicates), *(f"{value:.3f}" for value in (eager, graph, alone, free))]
            if len(course.best_score) == 1:
                break  # convolutions are trained one replicate after the other


def precisions(device: str, sizes: Sizes) -> Iterator[list[str]]:
    """Rows of the table: model, precision of its products, milliseconds per captured step, and the relative difference
    of the losses of the second step."""
    for name in ("VAE 784-200-200-50", "GAN, convolutional", "WGAN-GP", "diffusion, U-Net"):
        exact: dict[str, np.ndarray] = {}
        for precision in ("float32", "tf32", "bf16"):
            course = started(name, device, 2, precision)
            course.advance(1.0)
            losses = {key: total.cpu().numpy() for key, total in course.sums.items()}
            exact = exact or losses
            course.take = capturing(course, device)
            graph = milliseconds(partial(course.advance, 1.0), device, sizes.bursts)
            yield [name, precision, f"{graph:.3f}", f"{difference(exact, losses):.1e}"]


def annealing(device: str, sizes: Sizes) -> str:
    """Duration of annealed importance sampling with all examples and chains as one batch."""
    _, (fit, *_) = trained("Gaussian VAE", "cpu", 2, 20)
    model = model_of("Gaussian VAE", device)
    model.load(fit.checkpoints["final"])
    network, tau = model.observation()
    decoder = Decoder(network, model.settings.latent_dim, tau)
    x = torch.as_tensor(images(sizes.images // 100 + 1).reshape(-1, 784) / 256, dtype=torch.float32, device=device)
    how = annealing_of(AnnealingSettings(steps=sizes.k // 5, chains=16), at_modes=False)
    began = time.perf_counter()
    weights = annealed_log_weights(decoder, x, None, how, torch.Generator(device).manual_seed(0))
    seconds = time.perf_counter() - began
    chains = f"{len(x)} images × {weights.shape[1]} chains × {sizes.k // 5:,} temperatures"
    return f"Annealed importance sampling, {chains}: {seconds:.1f} s, adaptation included."


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report(device: str) -> Iterator[str]:
    sizes = SIZES[device]
    card = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    yield f"# Checks of {card}\n\n{datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}, CUDA {torch.version.cuda}\n"
    yield "## Comparison with the CPU\n"
    rows = []
    for name, off, tolerance in same_as_cpu(device):
        rows.append([name, f"{off:.1e}", f"{tolerance:g}", "yes" if off <= tolerance else "**no**"])
    yield table(["output", "relative difference", "tolerance", "within tolerance"], rows)
    few = min(sizes.images, 64)
    here, there = (iw_elbo(place, few, sizes.k) for place in ("cpu", device))
    off, error = abs(here[0] - there[0]), float(np.hypot(here[1], there[1]))
    values = f"{here[0]:.4f} and {there[0]:.4f} nats, {off / error:.1f} errors apart"
    yield f"\nIW-ELBO, K = {sizes.k:,}, {few} images: {values}.\n"
    yield "## Determinism\n"
    header = ["model", "two trainings", "in a block of two and of five"]
    yield table(header, [list(row) for row in determinism(device, sizes.steps)])
    yield "\n## Captured and single kernels\n"
    yield table(["model", "after equally many steps"], [list(row) for row in graph_like_eager(device, sizes.steps)])
    yield "\n## Speed\n"
    header = ["model", "replicates", "ms per step, single kernels", "captured", "kernels alone"]
    yield table([*header, "not deterministic"], list(speeds(device, sizes)))
    yield "\n## Precision of products in training\n"
    header = ["model", "precision", "ms per step, captured", "relative difference of losses in the second step"]
    yield table(header, list(precisions(device, sizes)))
    value, _, seconds = iw_elbo(device, sizes.images, sizes.k)
    yield f"\nIW-ELBO, K = {sizes.k:,}, {sizes.images:,} images: {seconds:.1f} s ({value:.3f} nats)."
    yield f"\n{annealing(device, sizes)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--output", type=Path, help="a Markdown file")
    given = parser.parse_args()
    device = open_device(given.device)
    began, parts = time.perf_counter(), []
    for part in report(device):
        print(part, flush=True)
        parts.append(part)
    parts.append(f"\nTotal time: {time.perf_counter() - began:.0f} s.")
    print(parts[-1])
    if given.output:
        given.output.write_text("\n".join(parts) + "\n")
    sys.exit("**no**" in "".join(parts))


if __name__ == "__main__":
    main()
