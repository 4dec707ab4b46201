"""Settings of likelihood estimation. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from deepgen_bench.plugins import Settings


class LaplaceSettings(Settings):
    """Importance sampling without an encoder: `k` draws per example around the modes that `starts` searches reach."""

    starts: Annotated[int, Field(ge=1, le=100)] = 8
    k: Annotated[int, Field(ge=100, le=100_000)] = 1000


class AnnealingSettings(Settings):
    """Annealed importance sampling of the first `n` test examples at the last checkpoint of the first `seeds`
    replicates, and of `simulated` examples drawn from each model that is annealed.

    `steps` temperatures, `chains` per example, `leapfrog` steps per transition. `limit` (nats) is the distance of the
    bounds on simulated data above which a number has not converged.
    """

    n: Annotated[int, Field(ge=2, lt=10**9)] = 64
    simulated: Annotated[int, Field(ge=2, lt=10**9)] = 16
    seeds: Annotated[int, Field(ge=1)] = 1
    steps: Annotated[int, Field(ge=2, le=100_000)] = 300
    chains: Annotated[int, Field(ge=2, le=1000)] = 8
    leapfrog: Annotated[int, Field(ge=1, le=1000)] = 5
    schedule: Literal["sigmoidal", "linear"] = "sigmoidal"
    limit: Annotated[float, Field(gt=0)] = 1.0


class LikelihoodSettings(Settings):
    """`k`: numbers of importance samples from an encoder, each dividing the next; `n`: number of test examples, and of
    training examples.

    Decoders with a latent space too large for a grid are measured by `laplace` importance sampling, and by `ais` from
    the prior.
    """

    k: Annotated[tuple[Annotated[int, Field(ge=1, le=100_000)], ...], Field(min_length=1)] = (1, 10, 100, 1000, 5000)
    n: Annotated[int, Field(ge=2, lt=10**9)] = 10_000
    laplace: LaplaceSettings | None = LaplaceSettings()
    ais: AnnealingSettings | None = AnnealingSettings()
