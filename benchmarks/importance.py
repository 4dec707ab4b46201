"""Importance-weighted bounds of one VAE, 784-200-200-50: examples × K per second, compared with pythae's `get_nll`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contest import OURS, Contender, Contest
from benchmarks.measure import seconds_of

SETTINGS: dict[str, Any] = {
    "decoder": "bernoulli",
    "hidden": [200, 200],
    "latent_dim": 50,
    "batch_size": 100,
    "learning_rate": 0.001,
}
SHAPE = [1, 28, 28]
# (threads, processes)
WAYS = ((1, 1), (2, 1), (1, 2))
Measured = Callable[[], dict[str, Any]]


def digits() -> np.ndarray:
    """scikit-learn's digits, enlarged to 28 × 28 and 256 grey levels, so that nothing is downloaded."""
    from sklearn.datasets import load_digits

    small = (load_digits().images * 15).astype(np.uint8)
    return np.pad(np.kron(small, np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2)))[:, None]


def trained() -> tuple[Any, np.ndarray]:
    """A briefly trained VAE, the same in every process, and binary test examples (n, 784)."""
    from deepgen_bench.datasets.representation import binarise
    from deepgen_bench.datasets.spec import DataSpec
    from deepgen_bench.models.base import Streams, TrainingData
    from deepgen_bench.models.replicate import make_model
    from deepgen_bench.plugins import MODELS
    from deepgen_bench.runtime.device import open_device

    open_device("cpu")
    images = digits()
    spec = DataSpec(tuple(SHAPE), "image", 256)
    model: Any = make_model("vae", MODELS["vae"].settings.model_validate(SETTINGS), spec, "cpu")
    data = TrainingData(images[:1000], images[1000:1200])
    fit = model.fit(data, [0], Streams(0, "benchmark", "vae"), 100_000, lambda *_: None)[0]
    model.load(fit.checkpoints["final"])
    return model, binarise(images[1200:], 256, np.random.default_rng(0))


def ours(n: int, k: int) -> Measured:
    from deepgen_bench.datasets.spec import DataSpec
    from deepgen_bench.metrics.likelihood.held_out import HeldOut
    from deepgen_bench.metrics.likelihood.importance import weigh_all

    model, x = trained()
    held_out = HeldOut(digits()[1200:], DataSpec(tuple(SHAPE), "image", 256), 0, "benchmark")
    set_threads_of_environment()

    def measured() -> dict[str, Any]:
        values: list[float] = []
        seconds = seconds_of(lambda: values.append(weigh_all(model, x[:n], [k], held_out, "test").bounds[k].mean()))
        return {"value": n * k / seconds, "check": float(values[0])}

    return measured


def pythae(n: int, k: int, rows: int) -> Measured:
    """`get_nll`, whose value is + log p; `rows` is its batch size."""
    import torch

    from benchmarks.plain import pythae_vae

    model, x = trained()
    peer = pythae_vae(SETTINGS, SHAPE).eval()
    for own, theirs in ((model.module.encoder, peer.encoder), (model.module.decoder, peer.decoder)):
        linears = [layer for layer in theirs.network if isinstance(layer, torch.nn.Linear)]
        for layer, stacked in zip(linears, [layer for layer in own if hasattr(layer, "weight")], strict=True):
            layer.weight.data, layer.bias.data = stacked.weight[0].T.contiguous(), stacked.bias[0, 0]
    # deepgen_bench shifts and scales the input of the encoder, and its logits are relative to the mean of the data
    first = peer.encoder.network[0]
    first.bias.data = first.bias - 2 * first.weight @ model.module.shift[0, 0]
    first.weight.data = 2 * first.weight
    last = [layer for layer in peer.decoder.network if isinstance(layer, torch.nn.Linear)][-1]
    nothing = torch.zeros(1, 1, SETTINGS["latent_dim"])
    last.bias.data = last.bias + (model.decode(nothing) - model.module.decoder(nothing))[0, 0]
    images = torch.as_tensor(x[:n], dtype=torch.float32).view(-1, *SHAPE)
    set_threads_of_environment()

    def measured() -> dict[str, Any]:
        values: list[float] = []
        with torch.no_grad():
            seconds = seconds_of(lambda: values.append(float(peer.get_nll(images, n_samples=k, batch_size=rows))))
        return {"value": n * k / seconds, "check": values[0]}

    return measured


def products(rows: int) -> Measured:
    """The decoder's matrix products alone, `rows` at a time."""
    import torch

    widths = [SETTINGS["latent_dim"], 200, 200, 784]
    layers = [(torch.randn(a, b), torch.empty(rows, b)) for a, b in zip(widths, widths[1:], strict=False)]
    z = torch.randn(rows, widths[0])

    def once() -> None:
        h = z
        for weight, out in layers:
            h = torch.mm(h, weight, out=out)

    return lambda: {"value": rows / seconds_of(once)}


def set_threads_of_environment() -> None:
    """Undo the settings of `open_device` for jobs that run in parallel, because this job has the machine alone."""
    import os

    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def contests() -> list[Contest]:
    n, k = 32, 5000
    contenders = [Contender(OURS, "importance", "ours", {"n": n, "k": k}, *way) for way in WAYS]
    contenders += [
        Contender("pythae", "importance", "pythae", {"n": n, "k": k, "rows": rows}, threads)
        for rows in (100, 1000)
        for threads in (1, 2)
    ]
    # two models at the same time, like our two seeds
    both = {"n": n, "k": k, "rows": 1000}
    contenders.append(Contender("pythae, a process a core", "importance", "pythae", both, 1, 2))
    contenders += [
        Contender("decoder's products alone", "importance", "products", {"rows": 1000}, *way) for way in WAYS
    ]
    # the Monte-Carlo errors of the values are about a tenth of the agreement
    case = f"IW-ELBO, K = {k:,}, {n} examples"
    # measured with torch's profiler
    remark = "half of our time are products, a third passes over the resulting logits"
    return [Contest(case, "examples·K/s", tuple(contenders), {"pythae": 4.0}, agreement=5e-3, remark=remark)]


def growth() -> list[tuple[str, Contender]]:
    """This package alone, in one process, by K and number of examples."""
    return [
        (f"IW-ELBO, K = {k:,}, {n} examples", Contender(OURS, "importance", "ours", {"n": n, "k": k}))
        for n, k in ((32, 500), (32, 5000), (320, 500), (320, 5000))
    ]
