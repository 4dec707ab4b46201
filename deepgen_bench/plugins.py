"""Registries of datasets, models, metrics and studies by name, and the base class of their settings.

Nothing is imported before it is used. Outside packages add names through entry points.
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from deepgen_bench.runtime.errors import UserError


def not_identity(**kwargs: Any) -> Any:
    """A field that changes where or how fast something is computed, but no number: it is not part of an identity."""
    return Field(json_schema_extra={"identity": False}, **kwargs)


class Settings(BaseModel):
    """Base class of settings: immutable, and unknown keys are errors. Importing a subclass must not import torch.

    `renamed` maps old names of keys to new ones; an old name in an experiment file still works, with a warning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    renamed: ClassVar[dict[str, str]] = {}

    def identity(self) -> dict[str, Any]:
        """The settings that change numbers, as plain JSON data."""
        hidden = {
            name
            for name, field in type(self).model_fields.items()
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("identity") is False
        }
        return self.model_dump(mode="json", exclude=hidden)


class Registry:
    """Names mapped to `module:attribute`, imported on first use.

    An outside package adds a name with an entry point in the group `deepgen_bench.<kind>s`: `deepgen_bench.datasets`,
    `.models`, `.metrics`, `.checks` (studies under `calibration`) or `.claims` (studies under `theory`).
    """

    def __init__(self, kind: str, targets: dict[str, str]):
        self.kind = kind
        self._targets = dict(targets)
        self._origins = dict.fromkeys(targets, "built-in")
        for entry in entry_points(group=f"deepgen_bench.{kind}s"):
            if entry.name in targets and entry.value != targets[entry.name]:
                raise UserError(f"entry point {entry.name} = {entry.value}: the {kind} name is already taken")
            if entry.name not in targets:
                self._targets[entry.name] = entry.value
                self._origins[entry.name] = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def target(self, name: str) -> str:
        """The `module:attribute` that `name` stands for."""
        if name not in self._targets:
            raise UserError(f"unknown {self.kind} {name!r}; valid: {', '.join(sorted(self._targets))}")
        return self._targets[name]

    def origin(self, name: str) -> str:
        """Where a known name comes from: "built-in", or the package that registers it and its version."""
        return self._origins[name]

    def __getitem__(self, name: str) -> Any:
        target = self.target(name)
        module, _, attribute = target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"{self.kind} {name} = {target}: cannot be imported ({error})") from error


DATASETS = Registry(
    "dataset",
    {
        "sine_mixture": "deepgen_bench.datasets.synthetic:SineMixture",
        "gaussian_ring": "deepgen_bench.datasets.synthetic:GaussianRing",
        "gaussian_grid": "deepgen_bench.datasets.synthetic:GaussianGrid",
        "digits": "deepgen_bench.datasets.digits:Digits",
        "mnist": "deepgen_bench.datasets.public.mnist:MNIST",
        "fashion_mnist": "deepgen_bench.datasets.public.mnist:FashionMNIST",
        "cifar10": "deepgen_bench.datasets.public.cifar10:CIFAR10",
        "image_folder": "deepgen_bench.datasets.user.image_folder:ImageFolder",
        "npz": "deepgen_bench.datasets.user.npz:Npz",
    },
)

MODELS = Registry(
    "model",
    {
        "oracle": "deepgen_bench.models.oracle:ORACLE",
        "external": "deepgen_bench.models.external:EXTERNAL",
        "gaussian": "deepgen_bench.models.classical.gaussian:GAUSSIAN",
        "gmm": "deepgen_bench.models.classical.gmm:GMM_SPEC",
        "kde": "deepgen_bench.models.classical.kde:KDE_SPEC",
        "vae": "deepgen_bench.models.vae.settings:VAE",
        "gan": "deepgen_bench.models.adversarial.settings:GAN",
        "gan_ns": "deepgen_bench.models.adversarial.settings:GAN_NS",
        "wgan": "deepgen_bench.models.adversarial.settings:WGAN",
        "wgan_gp": "deepgen_bench.models.adversarial.settings:WGAN_GP",
        "flow": "deepgen_bench.models.flow.settings:FLOW",
        "diffusion": "deepgen_bench.models.diffusion.settings:DIFFUSION",
    },
)

METRICS = Registry(
    "metric",
    {
        "fidelity": "deepgen_bench.metrics.features.fidelity:Fidelity",
        "transport": "deepgen_bench.metrics.samples.transport:TransportDistances",
        "two_sample": "deepgen_bench.metrics.samples.two_sample:TwoSample",
        "modes": "deepgen_bench.metrics.samples.modes:ModeCoverage",
        "memorisation": "deepgen_bench.metrics.samples.memorisation:Memorisation",
        "parzen": "deepgen_bench.metrics.samples.parzen:Parzen",
    },
)

CHECKS = Registry(
    "check",
    {
        "linear_gaussian_vae": "deepgen_bench.studies.estimators.likelihood:LinearGaussianVAE",
        "linear_gaussian_decoder": "deepgen_bench.studies.estimators.decoder:LinearGaussianDecoder",
        "trained_decoder": "deepgen_bench.studies.estimators.decoder:TrainedDecoder",
        "parzen_gaussian": "deepgen_bench.studies.estimators.parzen:ParzenGaussian",
        "trained_vae": "deepgen_bench.studies.estimators.trained:TrainedVAE",
        "density_integral": "deepgen_bench.studies.estimators.normalisation:DensityIntegral",
        "true_density": "deepgen_bench.studies.estimators.trained:TrueDensity",
        "wasserstein_1d": "deepgen_bench.studies.estimators.transport:OneDimension",
        "translation": "deepgen_bench.studies.estimators.transport:Translation",
        "transport_solver": "deepgen_bench.studies.estimators.transport:Solver",
        "gaussian_transport": "deepgen_bench.studies.estimators.transport:GaussianTransport",
        "frechet_gaussian": "deepgen_bench.studies.estimators.fidelity:FrechetGaussian",
        "kernel_null": "deepgen_bench.studies.estimators.fidelity:KernelNull",
        "inception_one_hot": "deepgen_bench.studies.estimators.fidelity:InceptionOneHot",
        "precision_recall": "deepgen_bench.studies.estimators.fidelity:PrecisionRecall",
        "sensitivity": "deepgen_bench.studies.estimators.sensitivity:Sensitivity",
    },
)

CLAIMS = Registry(
    "claim",
    {
        "mixture": "deepgen_bench.studies.textbook.mixture:Mixture",
        "transformation": "deepgen_bench.studies.textbook.transformation:Transformation",
        "bound": "deepgen_bench.studies.textbook.bound:Bound",
        "optimal_discriminator": "deepgen_bench.studies.textbook.discriminator:OptimalDiscriminator",
        "objective": "deepgen_bench.studies.textbook.discriminator:Objective",
        "disjoint_supports": "deepgen_bench.studies.textbook.supports:DisjointSupports",
        "stability": "deepgen_bench.studies.textbook.stability:Stability",
        "critic": "deepgen_bench.studies.textbook.critic:Critic",
        "observation_noise": "deepgen_bench.studies.textbook.observation_noise:ObservationNoise",
    },
)

# by the key of the experiment file under which the studies are named
StudyKind = Literal["calibration", "theory"]
STUDIES: dict[StudyKind, Registry] = {"calibration": CHECKS, "theory": CLAIMS}
