"""Every built-in model: its hyper-parameters with their bounds, its family, and where its code is. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from deepgen_bench.datasets.spec import DataSpec, Support
from deepgen_bench.plugins import Settings, not_identity
from deepgen_bench.runtime.errors import UserError

Family = Literal["tractable", "latent", "diffusion", "implicit", "oracle", "external"]
Width = Annotated[int, Field(ge=1, le=8192)]
SEED = "{seed}"
UnitInterval = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class ModelSpec:
    """What the workflow must know of a model without importing it.

    `family` says what can be computed (Goodfellow 2016, arXiv 1701.00160, figure 9): "tractable" has `log_prob`,
    "latent" a decoder and an encoder (ELBO, IW-ELBO), "diffusion" a chain of denoising steps (a bound of its own, the
    density of its probability flow), "implicit" only samples; "oracle" is real data playing the model, "external"
    what a model elsewhere has left in files.
    `implementation` is the `module:Class` of a `GenerativeModel`.
    """

    settings: type["ModelSettings"]
    family: Family
    implementation: str

    @property
    def role(self) -> str:
        """ "oracle" for real data in the place of a model, which tables never rank; otherwise "model"."""
        return "oracle" if self.family == "oracle" else "model"

    @property
    def uses_device(self) -> bool:
        """Whether its computations belong on a GPU where there is one; classical densities and real data stay off."""
        return self.family in ("latent", "implicit") or issubclass(self.settings, TrainedSettings)


class ModelSettings(Settings):
    """Settings of a model; `check` refuses data that it cannot be trained on."""

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        """Raise `UserError` if the model cannot be trained on data with this support (and spec, if known)."""

    def memory_settings(self) -> list[str]:
        """Names of the settings that decide how much memory a training needs."""
        return []

    def outputs(self, support: Support) -> tuple[str, ...]:
        """What one sample may be: ("",) unless it can be a draw from p(x|z) or the decoder's mean, or a model has
        several samplers. The last is what a model is ranked by."""
        return ("",)

    def sources(self, seed: int) -> list[Path] | None:
        """The user's own files and folders that a replicate is made of, whose content is part of what it is; None for
        models that are made of none."""
        return None

    def check_files(self, seeds: Sequence[int], support: Support) -> None:
        """Raise `UserError` for `sources` that are not there or, by their headers, not of use; known before data."""

    def check_contents(self, seeds: Sequence[int], spec: DataSpec, n: int) -> None:
        """Raise `UserError` for `sources` that do not fit the data, of which `n` test examples have likelihoods."""


class OracleSettings(ModelSettings):
    """Real data in the place of a model has nothing to set."""


class ExternalSettings(ModelSettings):
    """Samples made elsewhere, and what their model says of the test examples.

    `samples` is a folder of images, or a `.npy` or `.npz` file; `log_likelihoods` a file of numbers (n,), the nats of
    each of the first test examples, for images in this `representation`; `bound` says what they are. `{seed}` in both
    paths stands for the replicate's seed.
    """

    samples: Path | None = not_identity(default=None)
    log_likelihoods: Path | None = not_identity(default=None)
    bound: Literal["exact", "lower", "estimate"] | None = None
    representation: Literal["dequantised", "binarised"] | None = None

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        if self.samples is None:
            raise UserError("samples: missing; valid: a folder of images, or a .npy or .npz file")
        if self.log_likelihoods is None:
            return
        if self.bound is None:
            raise UserError("bound: missing, what log_likelihoods are; valid: exact, lower, estimate")
        if self.representation is None and support == "image":
            raise UserError("representation: missing, that of log_likelihoods; valid: dequantised, binarised")
        if (SEED in str(self.samples)) != (SEED in str(self.log_likelihoods)):
            raise UserError(f"log_likelihoods: {SEED} stands in one of the paths; valid: in samples too, or in neither")

    def sources(self, seed: int) -> list[Path]:
        """Samples, and log-likelihoods where they are given; none for a seed that has no set of its own."""
        paths = [path for path in (self.samples, self.log_likelihoods) if path is not None]
        if SEED not in str(self.samples) and seed != 0:
            return []
        return [Path(str(path).replace(SEED, str(seed))).expanduser() for path in paths]

    def check_files(self, seeds: Sequence[int], support: Support) -> None:
        from deepgen_bench.models.external import check_headers

        check_headers(self, seeds, support)

    def check_contents(self, seeds: Sequence[int], spec: DataSpec, n: int) -> None:
        from deepgen_bench.models.external import check_contents

        check_contents(self, seeds, spec, n)


class GaussianSettings(ModelSettings):
    """Maximum-likelihood N(μ, Σ); `ridge` (a variance, in squared data units) is added to Σ's diagonal."""

    ridge: Annotated[float, Field(ge=0)] = 0.0


class GMMSettings(ModelSettings):
    """Mixture of Gaussians by EM: the best of `starts` for each number of `components`; validation data choose of them.

    `ridge` (a variance, in squared data units) is added to the covariances' diagonals.
    """

    components: Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], Field(min_length=1)] = (
        1,
        2,
        4,
        8,
        16,
        32,
    )
    covariance: Literal["full", "diag"] = "full"
    ridge: PositiveFloat = 1e-6
    starts: Annotated[int, Field(ge=1, le=1000)] = 3


class KDESettings(ModelSettings):
    """Gaussian kernels. Their bandwidth is the best for `n_validation` validation examples: from `narrowest` to
    `widest` times the data's standard deviation by factors of 2, then around the best by factors of `step`."""

    narrowest: PositiveFloat = 0.001
    widest: PositiveFloat = 2.0
    step: Annotated[float, Field(gt=1)] = 1.1
    n_validation: Annotated[int, Field(ge=10)] = 1000


class TrainedSettings(ModelSettings):
    """What all models trained by gradients share.

    With `schedule: linear` learning rates fall to zero over the budget; with `staged` they are 10^(-i/7) times their
    first value in the i-th of eight stages, each three times as long as the one before (Burda et al. 2016, section 5).
    `precision` is that of the products in training steps; what is validated, sampled and measured is always in float32.
    On a CPU `tf32` is float32.
    """

    batch_size: Annotated[int, Field(ge=2, le=65536)] = 128
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "linear", "staged"] = "linear"
    precision: Literal["float32", "tf32", "bf16"] = "float32"

    def memory_settings(self) -> list[str]:
        width = "channels" if getattr(self, "network", "mlp") != "mlp" else "hidden"
        return [name for name in ("batch_size", width) if name in type(self).model_fields]


class DecoderSettings(TrainedSettings):
    """What all models with networks from and to a latent variable share.

    `hidden` are the widths of an MLP, data side first, and `activation` is what follows each; a convolutional net takes
    the first as the width of its linear layer, and `channels` as its narrowest width. Those of InfoGAN (Chen et al.
    2016, arXiv 1606.03657, table 1) are `infogan` with 64 channels and a width of 1024.
    """

    network: Literal["mlp", "conv", "infogan"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(max_length=8)] = (128, 128)
    activation: Literal["leaky_relu", "tanh"] = "leaky_relu"
    channels: Width = 32
    latent_dim: Width = 2

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        if self.network != "mlp" and support == "continuous":
            raise UserError(f"network: {self.network} needs images, the dataset holds vectors; valid here: mlp")
        if self.network != "mlp" and not self.hidden:
            raise UserError(f"hidden: empty, and {self.network} has a linear layer; valid: its width")


class VAESettings(DecoderSettings):
    """`tau` is the standard deviation of the Gaussian decoder in data units; `samples` is k of the ELBO or the IWAE
    bound; `epsilon` is Adam's.

    A learned tau starts at `initial_tau`, in units of the data's standard deviation (images: of half their range). At 1
    the decoder explains the data without z, and the posterior collapses (Lucas et al. 2019, arXiv 1911.02469).
    """

    decoder: Literal["gaussian", "bernoulli"] = "gaussian"
    tau: PositiveFloat | Literal["learned"] = "learned"
    initial_tau: PositiveFloat = 0.1
    objective: Literal["elbo", "iwae"] = "elbo"
    samples: PositiveInt = 1
    epsilon: PositiveFloat = 1e-8

    def outputs(self, support: Support) -> tuple[str, ...]:
        # the mean of p(x|z) is what papers show of images; of vectors it is no sample of the model at all
        return ("draw",) if support == "continuous" else ("draw", "mean")

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        super().check(support, spec)
        if self.decoder == "bernoulli" and support == "continuous":
            raise UserError(
                "decoder: bernoulli needs image or binary data, the dataset is unbounded; valid here: gaussian"
            )
        if self.decoder == "gaussian" and support == "binary":
            raise UserError("decoder: gaussian has no density on binary data; valid here: bernoulli")


class AdversarialSettings(DecoderSettings):
    """What all models with a generator and a discriminator or critic share.

    The latent variables are N(0, I). With `latent: uniform` the generator sees 2 Φ(z) - 1, uniform on [-1, 1].
    """

    latent: Literal["normal", "uniform"] = "normal"


class GANSettings(AdversarialSettings):
    """Adam for both players; `critic_steps` discriminator updates for each update of the generator."""

    discriminator_learning_rate: PositiveFloat = 1e-3
    beta1: UnitInterval = 0.5
    critic_steps: PositiveInt = 1


class WGANSettings(AdversarialSettings):
    """RMSProp; after every update the critic's weights are clipped to [-clip, clip] (Arjovsky et al. 2017, algorithm
    1)."""

    learning_rate: PositiveFloat = 5e-5
    clip: PositiveFloat = 0.01
    critic_steps: PositiveInt = 5


class WGANGPSettings(AdversarialSettings):
    """Adam(0, 0.9) and a gradient penalty of weight `penalty` (Gulrajani et al. 2017, algorithm 1)."""

    learning_rate: PositiveFloat = 1e-4
    penalty: PositiveFloat = 10.0
    critic_steps: PositiveInt = 5


class FlowSettings(TrainedSettings):
    """A normalising flow of `transforms` layers; each maps coordinates one by one, as an MLP says from the others.

    `structure: coupling` is RealNVP (Dinh et al. 2017, arXiv 1605.08803) with `transform: affine`, and NSF (C), a
    neural spline flow (Durkan et al. 2019, arXiv 1906.04032), with `spline`; `structure: autoregressive` is MAF
    (Papamakarios et al. 2017, arXiv 1705.07057) and NSF (AR), whose samples take as many passes as there are
    coordinates. Networks are MLPs of the widths `hidden` in all four, and splines have `bins` pieces. Images become
    logit(alpha + (1 - 2 alpha) x); `weight_decay` is that of AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101).
    """

    transform: Literal["spline", "affine"] = "spline"
    structure: Literal["coupling", "autoregressive"] = "coupling"
    transforms: Annotated[int, Field(ge=1, le=100)] = 4
    hidden: Annotated[tuple[Width, ...], Field(max_length=8)] = (128,)
    bins: Annotated[int, Field(ge=2, le=256)] = 8
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        if self.precision == "bf16":
            raise UserError("precision: bf16 is too coarse for the maps of a flow; valid here: float32, tf32")


class DiffusionSettings(TrainedSettings):
    """`hidden` are the widths of an MLP, `channels` a U-Net's at the full resolution; each input enters with its sines
    and cosines at `octaves` frequencies.

    Each example of a batch is seen at `noise_levels` times. Samples are drawn by the chain of `steps` steps and by
    DDIM in `ddim_steps`.
    """

    network: Literal["mlp", "unet"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(max_length=8)] = (128, 128, 128)
    channels: Width = 32
    octaves: Annotated[int, Field(ge=0, le=10)] = 2
    noise_levels: Annotated[int, Field(ge=1, le=1000)] = 4
    steps: Annotated[int, Field(ge=2, le=10_000)] = 250
    ddim_steps: Annotated[int, Field(ge=2, le=10_000)] = 50

    def outputs(self, support: Support) -> tuple[str, ...]:
        # the last is the sampler of the paper, whose bound is measured
        return f"ddim_{self.ddim_steps}", f"ancestral_{self.steps}"

    def check(self, support: Support, spec: DataSpec | None = None) -> None:
        if support == "binary":
            raise UserError("diffusion has no density on binary data; valid: vectors or images")
        if self.network == "unet" and support == "continuous":
            raise UserError("network: unet needs images, the dataset holds vectors; valid here: mlp")


ORACLE = ModelSpec(OracleSettings, "oracle", "deepgen_bench.models.oracle:Oracle")
EXTERNAL = ModelSpec(ExternalSettings, "external", "deepgen_bench.models.external:External")
GAUSSIAN = ModelSpec(GaussianSettings, "tractable", "deepgen_bench.models.classical.gaussian:Gaussian")
GMM = ModelSpec(GMMSettings, "tractable", "deepgen_bench.models.classical.gmm:GMM")
KDE = ModelSpec(KDESettings, "tractable", "deepgen_bench.models.classical.kde:KDE")
VAE = ModelSpec(VAESettings, "latent", "deepgen_bench.models.vae.model:VAE")
GAN = ModelSpec(GANSettings, "implicit", "deepgen_bench.models.adversarial.gan:MinimaxGAN")
GAN_NS = ModelSpec(GANSettings, "implicit", "deepgen_bench.models.adversarial.gan:NonSaturatingGAN")
WGAN = ModelSpec(WGANSettings, "implicit", "deepgen_bench.models.adversarial.wgan:ClippedWGAN")
WGAN_GP = ModelSpec(WGANGPSettings, "implicit", "deepgen_bench.models.adversarial.wgan:PenalisedWGAN")
FLOW = ModelSpec(FlowSettings, "tractable", "deepgen_bench.models.flow.model:Flow")
DIFFUSION = ModelSpec(DiffusionSettings, "diffusion", "deepgen_bench.models.diffusion.model:Diffusion")
