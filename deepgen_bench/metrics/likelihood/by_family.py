"""Log-likelihood of held-out data by what a model can compute: an exact value, a bound, or none.

This is the one place in `metrics` that dispatches on models, by the protocols of `models.base`. Values are in nats per
example, except those of `bits_per_dim`.
"""

from deepgen_bench.metrics.likelihood.diffusion import measure_diffusion
from deepgen_bench.metrics.likelihood.generator_noise import measure_implicit
from deepgen_bench.metrics.likelihood.held_out import Density, HeldOut
from deepgen_bench.metrics.likelihood.importance import measure_latent
from deepgen_bench.metrics.likelihood.rows import Evaluation, Likelihoods, log_likelihood_rows, not_applicable
from deepgen_bench.metrics.likelihood.settings import LikelihoodSettings
from deepgen_bench.models.base import (
    DiffusionProcess,
    GenerativeModel,
    Implicit,
    LatentVariable,
    Recorded,
    Tractable,
)
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.keys import Estimator


def measure(
    model: GenerativeModel | None,
    held_out: HeldOut,
    settings: LikelihoodSettings,
    density: Density | None,
    audit: bool = True,
) -> Likelihoods:
    """Rows of the log-likelihood of `held_out` under a loaded `model`, or under the data's own density if it is None.

    `density` is the data's own log density if it is known; every model is compared with it. An `audit` adds annealed
    importance sampling from the prior, at a higher cost.
    """
    if model is None:
        if density is None:
            return without_likelihood("the density of real data is unknown", held_out)
        return exact(density, "continuous", held_out)
    if isinstance(model, Tractable):
        return exact(model.log_prob, model.representation, held_out, density)
    if isinstance(model, LatentVariable):
        return measure_latent(model, held_out, settings, density, audit)
    if isinstance(model, DiffusionProcess):
        return measure_diffusion(model, held_out, density)
    if isinstance(model, Implicit):
        return measure_implicit(model, held_out, settings, density, audit)
    if isinstance(model, Recorded):
        return measure_recorded(model, held_out, density)
    return without_likelihood("the model only draws samples: it has no likelihood", held_out)


def exact(log_prob: Density, representation: str, held_out: HeldOut, truth: Density | None = None) -> Likelihoods:
    """Rows of a tractable density on test and training data, compared with the `truth` if it is known."""
    estimator = Estimator("closed_form", {})
    return log_likelihood_rows(lambda x, split: Evaluation(log_prob(x), estimator), representation, held_out, truth)


def measure_recorded(model: Recorded, held_out: HeldOut, truth: Density | None) -> Likelihoods:
    """Rows of log-likelihoods of the test examples that come from a file, if there is one; none of training data."""
    n = len(held_out.x)
    if model.log_likelihoods is None:
        return without_likelihood("external samples without log_likelihoods", held_out)
    values = model.log_likelihoods[:n]
    if len(values) < n:
        raise UserError(f"log_likelihoods: {len(values)} values; valid: at least {n}, one for each test example")
    assert model.bound is not None, "settings without bound are refused when they are read"
    recorded = Evaluation(values, Estimator("recorded", {}), bound=model.bound)
    return log_likelihood_rows(lambda x, split: recorded, model.representation, held_out.without_train(), truth)


def without_likelihood(reason: str, held_out: HeldOut) -> Likelihoods:
    return Likelihoods([not_applicable("log_likelihood", reason, len(held_out.x))])
