"""The noise τ of a VAE's decoder as the weight between reconstruction and KL."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Claim, Evidence, Row, mean_row

# variances of independent normal coordinates, and fixed τ² of the VAEs that are trained on them
EIGENVALUES = (4.0, 1.0, 0.25, 0.0625)
TAUS = (0.02, 0.1, 0.5, 2.0, 6.0)
LATENT = 2
# Initial values of a learned τ, in standard deviations of the data. From the second, the decoder folds itself into
# directions for which it has no latent unit, and stays there, which costs half a nat of the ELBO.
WIDE, NARROW = 0.5, 0.1


class ObservationNoiseSettings(Settings):
    """`replicates` VAEs for every τ, each trained on `budget` examples."""

    replicates: int = Field(5, ge=2, le=100)
    budget: int = Field(800_000, ge=1)


class ObservationNoise(Claim):
    Settings = ObservationNoiseSettings
    settings: ObservationNoiseSettings
    trains = ("vae",)
    title = "The role of τ"
    statement = (
        "The variance τ² of a Gaussian decoder weighs reconstruction against KL: latent units whose direction has a "
        "variance below τ² collapse, all of them once τ² exceeds the largest eigenvalue, and maximum likelihood "
        "determines τ."
    )
    source = "Lucas et al. 2019, section 3 and theorem 1; Tipping & Bishop 1999, eq. 8; Dai & Wipf 2019"
    formula = (
        r"\mathrm{KL}_i = \tfrac12 \log \frac{\lambda_i}{\tau^2} \text{ where } \lambda_i > \tau^2, \text{ else } 0; "
        r"\qquad \hat\tau^2 = \frac{1}{D - Z} \sum_{i > Z} \lambda_i"
    )
    text = (
        "Data are normal with variances 4, 1, 1/4 and 1/16, so that the best decoder is linear and known "
        "(probabilistic PCA). VAEs with two latent units are trained with several fixed τ and with a learned τ; 2τ² "
        "is the weight β of the KL relative to squared errors. A Bernoulli decoder has no τ: its mean determines its "
        "noise, and nothing is left to choose; rows on digits show its behaviour."
    )

    def measure(self) -> Evidence:
        rows: list[Row] = []
        values: list[dict[str, Any]] = []
        x = self.draws("data", 24_000)
        for square in TAUS:
            measurements = self.train_and_evaluate(x, float(np.sqrt(square)))
            exact, setting = predicted(square), f"τ² = {square:g}"
            rows.append(mean_row("KL, nats", setting, exact["kl"], measurements["kl"], 0.05))
            rows.append(mean_row("active units", setting, exact["active"], measurements["active"], 0.01))
            tolerance = 0.05 * (1 + square)
            rows.append(mean_row("squared error", setting, exact["error"], measurements["error"], tolerance))
            values += [
                {"tau2": square, "quantity": name, "seed": seed, "value": float(value)}
                for name in exact
                for seed, value in enumerate(measurements[name])
            ]
        rows += self.learned_tau(x)
        rows += self.digits()
        grid = np.geomspace(TAUS[0], TAUS[-1], 61)
        predictions = [{"tau2": float(t)} | predicted(float(t)) for t in grid]
        return Evidence(rows, {"values": values, "predicted": predictions})

    def draws(self, role: str, n: int) -> np.ndarray:
        """Data (n, D) with variances `EIGENVALUES`."""
        return self.rng(role).standard_normal((n, len(EIGENVALUES))) * np.sqrt(EIGENVALUES)

    def learned_tau(self, x: np.ndarray) -> list[Row]:
        """Learned τ² and ELBO for two initial values of τ."""
        best = float(np.mean(EIGENVALUES[LATENT:]))
        wide, narrow = (self.train_and_evaluate(x, "learned", initial) for initial in (WIDE, NARROW))
        gain = wide["elbo"] - narrow["elbo"]
        return [
            mean_row("learned τ²", f"from {WIDE:g} sd of the data", best, wide["tau2"], 0.02),
            mean_row("learned τ²", f"from {NARROW:g} sd, a worse optimum", None, narrow["tau2"]),
            mean_row("ELBO of the first minus that of the second, nats", "new draws", 0.0, gain, 0, "at least"),
        ]

    def train_and_evaluate(self, x: np.ndarray, tau: Any, initial: float = WIDE) -> dict[str, np.ndarray]:
        """Train VAEs on x and evaluate them on new draws; a learned τ starts at `initial` sd of the data."""
        from deepgen_bench.studies.textbook.train import split_vectors, train_models

        settings: dict[str, Any] = {"tau": tau, "initial_tau": initial, "hidden": [32], "latent_dim": LATENT}
        settings |= {"batch_size": 128, "learning_rate": 0.003}
        role, count = f"tau {tau} {initial:g}", self.settings.replicates
        models = train_models(self, role, "vae", settings, split_vectors(x, 2000), count, self.settings.budget)
        return evaluate(models, self.draws("test", 100_000))

    def digits(self) -> list[Row]:
        """KL and active units of VAEs on digits, for both decoders."""
        from deepgen_bench.datasets.digits import Digits
        from deepgen_bench.studies.textbook.train import train_models

        splits = Digits(Digits.Settings.model_validate({})).splits(0)
        x = splits.test.reshape(len(splits.test), -1) / (splits.spec.levels or 1)
        count, budget = self.settings.replicates, self.settings.budget // 8
        rows = []
        for decoder in ("gaussian", "bernoulli"):
            settings = {"decoder": decoder, "hidden": [128], "latent_dim": 8, "batch_size": 64, "learning_rate": 0.002}
            measurements = evaluate(train_models(self, decoder, "vae", settings, splits, count, budget), x)
            setting = f"digits, {decoder} decoder, 8 units"
            rows.append(mean_row("KL, nats", setting, None, measurements["kl"]))
            rows.append(mean_row("active units", setting, None, measurements["active"]))
        return rows


def predicted(square: float) -> dict[str, float]:
    """KL, active units and expected squared error of the best linear VAE at this τ² (Tipping & Bishop 1999, eq. 7).

    Where λ > τ², the posterior of a unit has the variance τ²/λ. The squared error of a reconstruction from a posterior
    draw is then τ² in expectation: τ⁴/λ because the mean is shrunk, and (λ - τ²) τ²/λ because z is drawn.
    """
    units, rest = EIGENVALUES[:LATENT], EIGENVALUES[LATENT:]
    return {
        "kl": sum(max(0.0, 0.5 * float(np.log(value / square))) for value in units),
        "active": float(sum(value > square for value in units)),
        "error": sum(min(value, square) for value in units) + sum(rest),
    }


def evaluate(models: list[Any], x: np.ndarray) -> dict[str, np.ndarray]:
    """KL, active units, squared error, τ² and ELBO of VAEs on examples x (n, D) in model units, (S,) each."""
    import torch

    from deepgen_bench.metrics.likelihood.weights import active_units, kl_diagonal_gaussian

    measurements: dict[str, list[float]] = {"kl": [], "active": [], "error": [], "tau2": [], "elbo": []}
    data = torch.as_tensor(x, dtype=torch.float32)
    for model in models:
        with torch.no_grad():
            mean, log_variance = (part[0].double().numpy() for part in model.encode(data[None]))
            # the expectation over z ~ q(z|x) is estimated by one draw for each example
            z = mean + np.exp(log_variance / 2) * np.random.default_rng(0).standard_normal(mean.shape)
            reconstruction = model.decode(torch.as_tensor(z, dtype=torch.float32)[None])[0].double().numpy()
            tau = model.observation()[1]
        kl = float(kl_diagonal_gaussian(mean, log_variance).mean())
        error = float(((x - reconstruction) ** 2).sum(1).mean())
        # a Bernoulli decoder has neither τ nor this ELBO
        square = float(tau**2) if tau is not None else float("nan")
        constant = x.shape[1] / 2 * np.log(2 * np.pi * square)
        measurements["kl"].append(kl)
        measurements["active"].append(active_units(mean))
        measurements["error"].append(error)
        measurements["tau2"].append(square)
        measurements["elbo"].append(-error / (2 * square) - constant - kl)
    return {name: np.array(values, float) for name, values in measurements.items()}
