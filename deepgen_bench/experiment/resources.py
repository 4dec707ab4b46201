"""Memory, wall time and GPUs that jobs ask a batch scheduler for. Imports no torch.

A job that exceeds its request is killed, so the numbers are generous; each attempt asks for twice as much as the last.
Snakemake counts resources only where a limit is given, and never runs a job again because they changed.
"""

from deepgen_bench.experiment.load import Experiment
from deepgen_bench.models.base import DiffusionProcess, Implicit, LatentVariable
from deepgen_bench.models.settings import Cost
from deepgen_bench.runtime.device import resolve

# Measured peaks of a process, in MB: 110 to 210 without torch, 750 to 850 with it, 3,000 more with CUDA. Exact optimal
# transport between 5,000 points takes 1,000.
PLAIN, TORCH, CUDA = 1000, 2000, 4000
# examples and numbers in each of data whose size is known only once they are read, such as the user's own images
UNKNOWN = (20_000, 3072)
# float64 copies of the data that a stage may hold
COPIES = 3
# minutes of any job: imports from a slow shared disk, evaluations, sampling, writing
LEAST = 10
# Seconds of an update's overhead, and floating-point operations a second. The speed of one core is a fifth of what was
# measured, the GPU's that of a small one.
OVERHEAD, SPEED = 0.005, {"cpu": 1e10, "cuda": 1e12}
# gradients on the way to a mode
ASCENT = 200
# seconds of all sample metrics between 1,000 samples and as many real examples; they are quadratic in that number
METRICS = 3.0


def wanted_gpus(device: str, here: bool) -> int:
    """Number of GPUs that a job asks for: one if its device is CUDA.

    Jobs that run on this machine (`here`) use what it has, and `device: cuda` is refused if that is nothing. Elsewhere
    each job looks for a GPU itself, and is given one to find unless the experiment says `device: cpu`.
    """
    return int(device != "cpu" and (not here or resolve(device) == "cuda"))


class Demand:
    """Memory in MB and time in minutes of the first attempt of an experiment's jobs with so many `gpus`."""

    def __init__(self, experiment: Experiment, gpus: int):
        self.experiment, self.gpus = experiment, gpus
        self.speed = SPEED["cuda" if gpus else "cpu"]

    def _size(self, dataset: str) -> tuple[int, int]:
        """Examples of all splits and numbers in each."""
        return self.experiment.dataset(dataset).expected_size() or UNKNOWN

    def _cost(self, dataset: str, model: str) -> Cost | None:
        return self.experiment.model_settings(model, dataset).cost(self._size(dataset)[1], bool(self.gpus))

    def _replicates(self, block: int) -> int:
        return sum(seed // self.experiment.seeds_per_job == block for seed in self.experiment.seeds)

    # memory

    def prepare_mb(self, dataset: str) -> int:
        return PLAIN + self._copies_mb(dataset)

    def torch_mb(self, dataset: str) -> int:
        """Memory of the extractor, sample metrics and likelihoods."""
        return TORCH + self.gpus * CUDA + self._copies_mb(dataset)

    def train_mb(self, dataset: str, model: str) -> int:
        cost = self._cost(dataset, model)
        if cost is None:
            return self.torch_mb(dataset)
        numbers = cost.numbers * self.experiment.seeds_per_job + cost.shared_numbers
        return self.torch_mb(dataset) + _mb(4 * numbers)

    def _copies_mb(self, dataset: str) -> int:
        examples, dim = self._size(dataset)
        return _mb(8 * COPIES * dim * (examples + self.experiment.samples))

    # time

    def train_minutes(self, dataset: str, model: str, block: int) -> int:
        cost = self._cost(dataset, model)
        if cost is None:
            return LEAST
        replicates = self._replicates(block)
        # forward and backward
        update = OVERHEAD * cost.depth + cost.rows * replicates * 6 * cost.multiplications / self.speed
        updates = self.experiment.datasets[dataset].budget / cost.batch_size * cost.updates
        # samples of two checkpoints
        passes = 2 * replicates * self.experiment.samples * cost.passes
        return _minutes(updates * update + passes * 2 * cost.multiplications / self.speed)

    def measure_minutes(self, block: int) -> int:
        # two checkpoints with two outputs
        sets = 4 * self._replicates(block)
        return _minutes(sets * METRICS * (self.experiment.samples / 1000) ** 2)

    def likelihood_minutes(self, dataset: str, model: str, block: int) -> int:
        cost, likelihood = self._cost(dataset, model), self.experiment.likelihood
        family = self.experiment.model_spec(model).family
        if cost is None or likelihood is None or family not in (LatentVariable, Implicit, DiffusionProcess):
            return LEAST
        # test and training examples of two checkpoints
        examples, updates = 4 * likelihood.n, 0
        if family is DiffusionProcess:
            # two draws a step, and as much again for the density of the probability flow
            evaluations: float = examples * 4 * cost.passes
        else:
            evaluations = examples * max(likelihood.k)
            # a gradient costs as much as three evaluations
            if laplace := likelihood.laplace:
                evaluations += 2 * likelihood.n * (3 * ASCENT * laplace.starts + laplace.k)
            if ais := likelihood.ais:
                # adaptation and forward chains, and on simulated data adaptation, forward and backward chains
                updates = 5 * ais.steps * (ais.leapfrog + 1)
                evaluations += 3 * updates / 5 * (2 * ais.n + 3 * ais.simulated) * ais.chains
        operations = evaluations * 2 * cost.multiplications
        return _minutes(self._replicates(block) * (operations / self.speed + updates * OVERHEAD))


def _mb(size: float) -> int:
    return round(size / 1e6)


def _minutes(seconds: float) -> int:
    return LEAST + round(seconds / 60)
