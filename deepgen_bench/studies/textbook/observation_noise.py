"""The decoder's noise τ of a VAE as the weight between reconstruction and KL."""

from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.plugins import Settings
from deepgen_bench.studies.textbook.claim import Claim, Evidence, Row, mean_row

# variances of independent normal coordinates, and fixed τ² at which VAEs are trained on them
EIGENVALUES = (4.0, 1.0, 0.25, 0.0625)
TAUS = (0.02, 0.1, 0.5, 2.0, 6.0)
LATENT = 2
# where a learned τ begins, in sd of the data: from the second the decoder folds itself into directions that it has no
# unit for, and stays there, which costs half a nat of the ELBO
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
        "The variance τ² of a Gaussian decoder weighs reconstruction against KL; latent units whose direction varies "
        "less than τ² collapse, all of them once τ² exceeds the largest eigenvalue, and the likelihood chooses τ."
    )
    source = "Lucas et al. 2019, section 3 and theorem 1; Tipping & Bishop 1999, eq. 8; Dai & Wipf 2019"
    formula = (
        r"\mathrm{KL}_i = \tfrac12 \log \frac{\lambda_i}{\tau^2} \text{ where } \lambda_i > \tau^2, \text{ else } 0; "
        r"\qquad \hat\tau^2 = \frac{1}{D - Z} \sum_{i > Z} \lambda_i"
    )
    text = (
        "Data are normal with variances 4, 1, 1/4 and 1/16, so that the best decoder is linear and known "
        "(probabilistic principal components). VAEs with two latent units are trained at several fixed τ and with a "
        "learned one; 2τ² acts as the weight β of the KL against squared errors. A Bernoulli decoder has no τ: its "
        "noise is given by its mean, and nothing is to be chosen; digits show what it does."
    )

    def evidence(self) -> Evidence:
        rows: list[Row] = []
        course: list[dict[str, Any]] = []
        x = self.draws("data", 24_000)
        for square in TAUS:
            found = self.measured(x, float(np.sqrt(square)))
            exact, where = predicted(square), f"τ² = {square:g}"
            rows.append(mean_row("KL, nats", where, exact["kl"], found["kl"], 0.05))
            rows.append(mean_row("active units", where, exact["active"], found["active"], 0.01))
            error = found["error"], 0.05 * (1 + square)
            rows.append(mean_row("squared error", where, exact["error"], *error))
            course += [
                {"tau2": square, "quantity": name, "seed": seed, "value": float(value)}
                for name in exact
                for seed, value in enumerate(found[name])
            ]
        best = float(np.mean(EIGENVALUES[LATENT:]))
        wide, narrow = (self.measured(x, "learned", initial) for initial in (WIDE, NARROW))
        rows.append(mean_row("τ² where it is learned", f"from {WIDE:g} sd of the data", best, wide["tau2"], 0.02))
        rows.append(mean_row("τ² where it is learned", f"from {NARROW:g} sd, a worse optimum", None, narrow["tau2"]))
        gain = wide["elbo"] - narrow["elbo"]
        rows.append(mean_row("ELBO of the first less that of the second, nats", "new draws", 0.0, gain, 0, "at least"))
        digits = self.of_digits()
        for decoder, its in digits.items():
            for name in ("kl", "active"):
                rows.append(
                    mean_row(
                        {"kl": "KL, nats", "active": "active units"}[name],
                        f"digits, {decoder} decoder, 8 units",
                        None,
                        its[name],
                    )
                )
        grid = np.geomspace(TAUS[0], TAUS[-1], 61)
        lines = [{"tau2": float(t)} | predicted(float(t)) for t in grid]
        return Evidence(rows, {"course": course, "predicted": lines})

    def draws(self, role: str, n: int) -> np.ndarray:
        return self.rng(role).standard_normal((n, len(EIGENVALUES))) * np.sqrt(EIGENVALUES)

    def measured(self, x: np.ndarray, tau: Any, initial: float = WIDE) -> dict[str, np.ndarray]:
        """What `judged` says of VAEs trained on x, on new draws; a learned τ begins at `initial` sd of the data."""
        from deepgen_bench.studies.textbook.learning import splits_of, trained

        settings: dict[str, Any] = {"tau": tau, "initial_tau": initial, "hidden": [32], "latent_dim": LATENT}
        settings |= {"batch_size": 128, "learning_rate": 0.003}
        role, count = f"tau {tau} {initial:g}", self.settings.replicates
        models = trained(self, role, "vae", settings, splits_of(x, 2000), count, self.settings.budget)
        return judged(models, self.draws("test", 100_000))

    def of_digits(self) -> dict[str, dict[str, np.ndarray]]:
        from deepgen_bench.datasets.digits import Digits
        from deepgen_bench.studies.textbook.learning import trained

        splits = Digits(Digits.Settings.model_validate({})).splits(0)
        found = {}
        for decoder in ("gaussian", "bernoulli"):
            settings = {"decoder": decoder, "hidden": [128], "latent_dim": 8, "batch_size": 64, "learning_rate": 0.002}
            models = trained(
                self, decoder, "vae", settings, splits, self.settings.replicates, self.settings.budget // 8
            )
            found[decoder] = judged(models, splits.test.reshape(len(splits.test), -1) / (splits.spec.levels or 1))
        return found


def predicted(square: float) -> dict[str, float]:
    """KL, active units and expected squared error of the best linear VAE at this τ² (Tipping & Bishop 1999, eq. 7).

    Where λ > τ² the posterior of a unit has the variance τ²/λ, and x less its reconstruction from a draw of it has τ²:
    τ⁴/λ from shrinking the mean and (λ - τ²) τ²/λ from the draw.
    """
    units, rest = EIGENVALUES[:LATENT], EIGENVALUES[LATENT:]
    return {
        "kl": sum(max(0.0, 0.5 * float(np.log(value / square))) for value in units),
        "active": float(sum(value > square for value in units)),
        "error": sum(min(value, square) for value in units) + sum(rest),
    }


def judged(models: list[Any], x: np.ndarray) -> dict[str, np.ndarray]:
    """What VAEs make of examples x (n, D) in the model's units."""
    import torch

    from deepgen_bench.metrics.likelihood.weights import active_units, kl_diagonal_gaussian

    found: dict[str, list[float]] = {"kl": [], "active": [], "error": [], "tau2": [], "elbo": []}
    data = torch.as_tensor(x, dtype=torch.float32)
    for model in models:
        with torch.no_grad():
            mean, log_variance = (part[0].double().numpy() for part in model.encode(data[None]))
            # over z ~ q(z|x), by one draw for each example
            z = mean + np.exp(log_variance / 2) * np.random.default_rng(0).standard_normal(mean.shape)
            made = model.decode(torch.as_tensor(z, dtype=torch.float32)[None])[0].double().numpy()
            tau = model.observation()[1]
        found["kl"].append(float(kl_diagonal_gaussian(mean, log_variance).mean()))
        found["active"].append(active_units(mean))
        found["error"].append(float(((x - made) ** 2).sum(1).mean()))
        # a Bernoulli decoder has neither
        square = float(tau**2) if tau is not None else float("nan")
        found["tau2"].append(square)
        constant = x.shape[1] / 2 * np.log(2 * np.pi * square)
        found["elbo"].append(-found["error"][-1] / (2 * square) - constant - found["kl"][-1])
    return {name: np.array(values, float) for name, values in found.items()}
