"""What jobs ask a batch scheduler for, by the size of the experiment: memory, wall time, a GPU. Imports no torch.

A job that exceeds what it asked for is killed, so these are generous; each attempt asks for twice as much as the last.
Snakemake counts resources only where it is told of a limit, and never reruns a job because they changed.
"""

from typing import Any

from deepgen_bench.datasets.base import SPLITS, SyntheticDataset
from deepgen_bench.experiment.load import Experiment
from deepgen_bench.models.specs import DecoderSettings, DiffusionSettings, FlowSettings, TrainedSettings, VAESettings
from deepgen_bench.runtime.device import resolve

# Measured peaks of a process, in MB: 110 to 210 without torch, 750 to 850 with it, 3,000 more with CUDA. Exact optimal
# transport between 5,000 points takes 1,000.
PLAIN, TORCH, CUDA = 1000, 2000, 4000
# examples and numbers in each; the last of what is known only once it is read, as the user's own images
IMAGES = {"digits": (1_797, 64), "mnist": (70_000, 784), "fashion_mnist": (70_000, 784), "cifar10": (60_000, 3072)}
UNKNOWN = (20_000, 3072)
# every stage may hold float64 copies
COPIES = 3
# Minutes that a job of any size is given: imports from a slow shared disk, evaluations, sampling, writing.
LEAST = 10
# Seconds of an update's overhead, and floating-point operations a second: the speed of one core is a fifth of what was
# measured, the GPU's that of a small one.
OVERHEAD, SPEED = 0.005, {"cpu": 1e10, "cuda": 1e12}
# of models whose networks are known
NETWORKS = DecoderSettings | DiffusionSettings | FlowSettings
# a U-Net's numbers for each pixel and channel of its widest layers; 64 were measured
ACTIVATIONS = 80
# a flow's numbers for each parameter of its maps, twice as many as are kept for the gradient at most (3 to 7)
PIECES = 15
# gradients on the way to a mode
ASCENT = 200
# seconds of all sample metrics between 1,000 samples and as many real examples; they are quadratic in that number
METRICS = 3.0


def wanted_gpus(device: str, here: bool) -> int:
    """GPUs that a job asks for: one where its device is CUDA.

    Jobs that run on this machine (`here`) find what it has, and `device: cuda` is refused where that is nothing.
    Elsewhere each job looks for itself, and is given a GPU to find unless the experiment says `device: cpu`.
    """
    return int(device != "cpu" and (not here or resolve(device) == "cuda"))


class Demand:
    """Memory in MB and time in minutes of the first attempt of an experiment's jobs, which have so many `gpus`."""

    def __init__(self, experiment: Experiment, gpus: int):
        self.experiment, self.gpus = experiment, gpus
        self.speed = SPEED["cuda" if gpus else "cpu"]

    # memory

    def prepare_mb(self, dataset: str) -> int:
        return PLAIN + self._copies_mb(dataset)

    def torch_mb(self, dataset: str) -> int:
        """Of the extractor, sample metrics and likelihoods."""
        return TORCH + self.gpus * CUDA + self._copies_mb(dataset)

    def train_mb(self, dataset: str, model: str) -> int:
        settings = self.experiment.model_settings(model, dataset)
        if not isinstance(settings, NETWORKS):
            return self.torch_mb(dataset)
        dimension = values_of(self.experiment.dataset(dataset))[1]
        if isinstance(settings, DiffusionSettings) and settings.network == "unet":
            # what is kept for the gradient, of one replicate at a time
            rows = settings.batch_size * settings.noise_levels
            return self.torch_mb(dataset) + mb(4 * ACTIVATIONS * rows * dimension * settings.channels)
        # parameters, gradients, two moments, the best and the kept state, in float32
        numbers = 6 * multiplications(settings, dimension)
        if isinstance(settings, FlowSettings) and not self.gpus:
            # what is kept for the gradient, which a GPU keeps itself
            numbers += PIECES * settings.batch_size * settings.transforms * parameters_of_maps(settings, dimension)
        return self.torch_mb(dataset) + mb(4 * numbers * self.experiment.seeds_per_job)

    def _copies_mb(self, dataset: str) -> int:
        examples, dimension = values_of(self.experiment.dataset(dataset))
        return mb(8 * COPIES * dimension * (examples + self.experiment.samples))

    # time

    def _replicates(self, block: int) -> int:
        return sum(seed // self.experiment.seeds_per_job == block for seed in self.experiment.seeds)

    def train_minutes(self, dataset: str, model: str, block: int) -> int:
        settings = self.experiment.model_settings(model, dataset)
        if not isinstance(settings, NETWORKS):
            return LEAST
        weights = multiplications(settings, values_of(self.experiment.dataset(dataset))[1])
        # forward and backward
        rows: float = settings.batch_size * getattr(settings, "noise_levels", 1) * self._replicates(block)
        if isinstance(settings, VAESettings):
            # draws of z pass through the decoder, about half of the network
            rows *= (1 + settings.samples) / 2
        overhead = OVERHEAD
        if isinstance(settings, FlowSettings):
            # layers come one after the other
            overhead *= settings.transforms
        of_update = overhead + rows * 6 * weights / self.speed
        updates = self.experiment.datasets[dataset].budget / settings.batch_size * (1 + critic_steps(settings))
        # of two checkpoints
        sampled = 2 * self._replicates(block) * self.experiment.samples * passes(settings)
        return minutes(updates * of_update + sampled * 2 * weights / self.speed)

    def measure_minutes(self, block: int) -> int:
        # checkpoints and outputs
        sets = 4 * self._replicates(block)
        return minutes(sets * METRICS * (self.experiment.samples / 1000) ** 2)

    def likelihood_minutes(self, dataset: str, model: str, block: int) -> int:
        settings, likelihood = self.experiment.model_settings(model, dataset), self.experiment.likelihood
        if likelihood is None or not isinstance(settings, DecoderSettings | DiffusionSettings):
            return LEAST
        operations = 2 * multiplications(settings, values_of(self.experiment.dataset(dataset))[1])
        # of checkpoints, and test and training examples
        examples, updates = 4 * likelihood.n, 0
        evaluated: float
        if isinstance(settings, DiffusionSettings):
            # two draws a step, and as much again for its flow's density
            evaluated = examples * 4 * passes(settings)
        else:
            evaluated = examples * max(likelihood.k)
            # a gradient costs as much as three evaluations
            if likelihood.laplace:
                evaluated += 2 * likelihood.n * (3 * ASCENT * likelihood.laplace.starts + likelihood.laplace.k)
            if ais := likelihood.ais:
                # adapted, forwards, and adapted, forwards and backwards on simulated data
                updates = 5 * ais.steps * (ais.leapfrog + 1)
                evaluated += 3 * updates / 5 * (2 * ais.n + 3 * ais.simulated) * ais.chains
        return minutes(self._replicates(block) * (evaluated * operations / self.speed + updates * OVERHEAD))


def values_of(dataset: Any) -> tuple[int, int]:
    """Examples of all splits, and numbers in each."""
    if isinstance(dataset, SyntheticDataset):
        return sum(getattr(dataset.settings, f"n_{split}") for split in SPLITS), dataset.dim
    return IMAGES.get(dataset.name, UNKNOWN)


def multiplications(settings: TrainedSettings, dimension: int) -> float:
    """Multiplications of one example's pass through all networks of a model, about as many as weights of an MLP."""
    if isinstance(settings, FlowSettings):
        return settings.transforms * connections([dimension, *settings.hidden, parameters_of_maps(settings, dimension)])
    if isinstance(settings, DiffusionSettings):
        if settings.network == "unet":
            # kernels of 3 × 3, half of the work at the full resolution
            return 115 * dimension * settings.channels**2
        return connections([dimension * (1 + 2 * settings.octaves), *settings.hidden, dimension])
    assert isinstance(settings, DecoderSettings)
    widths = [dimension, *settings.hidden, settings.latent_dim]
    if settings.network != "mlp":
        # two layers of 4 × 4 filters that halve each side, with `channels` and twice as many
        inner = settings.channels
        convolutions = dimension / 4 * 16 * inner + dimension / 16 * 16 * 2 * inner**2
        widths[0] = round(dimension / 16 * 2 * inner)
        return 2 * (convolutions + connections(widths))
    return 2 * connections(widths)


def parameters_of_maps(settings: FlowSettings, dimension: int) -> int:
    """What the network of a flow's layer gives for one example."""
    return dimension * (3 * settings.bins - 1 if settings.transform == "spline" else 2)


def connections(widths: list[int]) -> int:
    return sum(a * b for a, b in zip(widths, widths[1:], strict=False))


def critic_steps(settings: TrainedSettings) -> int:
    return getattr(settings, "critic_steps", 0)


def passes(settings: TrainedSettings) -> int:
    """Passes through the networks that all kinds of a sample take."""
    return settings.steps + settings.ddim_steps if isinstance(settings, DiffusionSettings) else 1


def mb(size: float) -> int:
    return round(size / 1e6)


def minutes(seconds: float) -> int:
    return LEAST + round(seconds / 60)
