"""The evidence lower bound: its distance from log p(x), and what makes it tighter."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.synthetic import SineMixture
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.study import Claim, Evidence, Row, mean_row

# Z ~ N(0, 1), X | Z ~ N(sin Z, SD²)
SD = 0.5
# x, and mean and standard deviation of q(z|x): close to the posterior, too wide, and twice at another place
CASES = ((0.3, 0.25, 0.5), (0.3, 0.0, 1.5), (-0.8, 1.0, 0.7), (1.4, 1.2, 0.8))
KS = (1, 10, 100, 1000)
# factors by which the encoder variance of a linear model is too large
WIDENED = (1.0, 1.5, 2.0, 4.0)


class BoundSettings(Settings):
    """`repeats` independent estimates of each importance-weighted bound; `n` draws for maximum likelihood."""

    repeats: int = Field(10_000, ge=20)
    n: int = Field(100_000, ge=1000)


class Bound(Claim):
    Settings = BoundSettings
    settings: BoundSettings
    title = "The evidence lower bound"
    statement = (
        "For any q the ELBO is below log p(x) by KL(q ‖ p(z|x)); importance samples and a better encoder tighten it, "
        "and maximum likelihood minimises KL(p* ‖ p_θ)."
    )
    source = "Kingma & Welling 2014, eqs. 1–3; Burda et al. 2016, theorem 1; Domke & Sheldon 2018, theorem 3"
    formula = (
        r"\log p(x) - \mathrm{KL}(q \Vert p(z \mid x)) = "
        r"\mathbb{E}_q \log p(x \mid z) - \mathrm{KL}(q \Vert \pi)"
    )
    text = (
        "If z has one dimension, the three terms of the identity can be integrated separately: the identity must hold "
        "for any q, also for bad ones. The importance-weighted bound is estimated by the benchmark's own code; for "
        "large K its distance from log p(x) is Var(w)/(2K), where w are the weights divided by their mean. In a "
        "linear Gaussian model, whose posterior is known, an encoder with a variance that is c times too large costs "
        "(c − 1 − log c)/2 nats. A normal distribution that is fitted to draws of a mixture by maximum likelihood is "
        "the one with the smallest divergence from the mixture."
    )

    def measure(self) -> Evidence:
        rows = [self.identity(*case) for case in CASES]
        curve: list[dict[str, Any]] = []
        rows += self.importance_weighting(curve)
        rows += self.widened_encoders()
        rows.append(self.maximum_likelihood())
        return Evidence(rows, {"curve": curve, "gaps": [gap_record(*case) for case in CASES]})

    def identity(self, x: float, mean: float, sd: float) -> Row:
        exact, divergence, elbo = elbo_terms(x, mean, sd)
        quantity = "ELBO (predicted: log p(x) − KL(q ‖ p(z|x)))"
        return Row(quantity, case_name(x, mean, sd), exact - divergence, elbo, 0.0, 1e-6)

    def importance_weighting(self, curve: list[dict[str, Any]]) -> list[Row]:
        """Bounds of the second case, whose weights are bounded: increases with K, and the distance from log p(x).

        The distance is predicted as Var(w)/(2K) at K = 100. The bound for each K is appended to `curve`.
        """
        from scipy.stats import norm

        from deepgen_bench.metrics.likelihood.weights import iw_elbo_curve

        x, mean, sd = CASES[1]
        z = mean + sd * self.rng("weights").standard_normal((self.settings.repeats, KS[-1]))
        log_weights = norm.logpdf(z) + norm.logpdf(x, np.sin(z), SD) - norm.logpdf(z, mean, sd)
        bounds = {k: values for k, (values, _) in iw_elbo_curve(log_weights, KS).items()}
        exact, variance = elbo_terms(x, mean, sd)[0], relative_variance(x, mean, sd)
        for k, values in bounds.items():
            error = float(values.std(ddof=1) / np.sqrt(len(values)))
            curve.append({"K": k, "bound": float(values.mean()), "error": error, "log p(x)": exact})
        rows = [
            mean_row(
                "increase of the bound", f"K = {low} to {high}", 0.0, bounds[high] - bounds[low], relation="at least"
            )
            for low, high in pairwise(KS)
        ]
        expected = variance / (2 * 100)
        # The mean weight over p(x) is a control variate: its expectation is 1, and a bound is nearly its logarithm.
        surplus = np.exp(log_weights - exact).mean(1) - 1
        return [*rows, mean_row("log p(x) − bound", "K = 100", expected, exact - bounds[100] + surplus, 0.1 * expected)]

    def widened_encoders(self) -> list[Row]:
        """The cost of encoders with too large a variance for X | Z ~ N(Z, SD²), by estimates of the ELBO."""
        from scipy.stats import norm

        rng, rows = self.rng("encoders"), []
        x = rng.standard_normal(20_000) * np.sqrt(1 + SD**2)
        variance = SD**2 / (1 + SD**2)
        for c in WIDENED:
            sd = np.sqrt(c * variance)
            noise = rng.standard_normal((len(x), 20))
            z = (x / (1 + SD**2))[:, None] + sd * np.concatenate([noise, -noise], 1)
            log_q = norm.logpdf(z, (x / (1 + SD**2))[:, None], sd)
            elbo = (norm.logpdf(z) + norm.logpdf(x[:, None], z, SD) - log_q).mean(1)
            gap = norm.logpdf(x, 0, np.sqrt(1 + SD**2)) - elbo
            cost = float((c - 1 - np.log(c)) / 2)
            rows.append(mean_row("log p(x) − ELBO", f"variance × {c:g}", cost, gap, 0.01))
        return rows

    def maximum_likelihood(self) -> Row:
        """σ of N(0, σ²) fitted to draws of the sine mixture, and the σ with the smallest divergence by quadrature."""
        from scipy.optimize import minimize_scalar
        from scipy.stats import norm

        mixture = SineMixture(SineMixture.Settings.model_validate({"variance": SD**2}))
        x = mixture.sample(self.settings.n, self.rng("likelihood"))[:, 0]
        grid = np.linspace(-4, 4, 2001)
        density = np.exp(mixture.log_prob(grid[:, None]))

        def divergence(sigma: float) -> float:
            return float(np.trapezoid(density * (np.log(density) - norm.logpdf(grid, 0, sigma)), grid))

        def loss(sigma: float) -> float:
            return -float(norm.logpdf(x, 0, sigma).mean())

        def minimiser(f: Callable[[float], float]) -> float:
            return float(minimize_scalar(f, bounds=(0.2, 3), method="bounded", options={"xatol": 1e-8}).x)

        fitted = minimiser(loss)
        error = float((x**2).std() / (2 * fitted * np.sqrt(len(x))))
        setting = f"{len(x):,} draws; predicted: smallest KL(p* ‖ N(0, σ²))"
        return Row("σ with the largest likelihood", setting, minimiser(divergence), fitted, error, 0.01)


def elbo_terms(x: float, mean: float, sd: float) -> tuple[float, float, float]:
    """log p(x), KL(q ‖ p(z|x)) and the ELBO for q = N(mean, sd²), each by a separate integral."""
    from scipy.integrate import quad
    from scipy.stats import norm

    low, high = mean - 10 * sd, mean + 10 * sd
    exact = np.log(quad(lambda z: norm.pdf(z) * norm.pdf(x, np.sin(z), SD), -9, 9, epsabs=1e-12, limit=500)[0])

    def expectation(f: Any) -> float:
        return float(quad(lambda z: norm.pdf(z, mean, sd) * f(z), low, high, epsabs=1e-12, limit=500)[0])

    divergence = expectation(
        lambda z: norm.logpdf(z, mean, sd) - (norm.logpdf(z) + norm.logpdf(x, np.sin(z), SD) - exact)
    )
    prior = (mean**2 + sd**2 - 1) / 2 - np.log(sd)
    return float(exact), divergence, expectation(lambda z: norm.logpdf(x, np.sin(z), SD)) - float(prior)


def relative_variance(x: float, mean: float, sd: float) -> float:
    """The variance of p(x, z) / (p(x) q(z)) under q."""
    from scipy.integrate import quad
    from scipy.stats import norm

    def square(z: float) -> float:
        return float((norm.pdf(z) * norm.pdf(x, np.sin(z), SD)) ** 2 / norm.pdf(z, mean, sd))

    return quad(square, -9, 9, epsabs=1e-14, limit=500)[0] / np.exp(2 * elbo_terms(x, mean, sd)[0]) - 1


def case_name(x: float, mean: float, sd: float) -> str:
    return f"x = {x:g}, q = N({mean:g}, {sd:g}²)"


def gap_record(x: float, mean: float, sd: float) -> dict[str, Any]:
    exact, divergence, elbo = elbo_terms(x, mean, sd)
    return {"case": case_name(x, mean, sd), "log p(x)": exact, "ELBO": elbo, "KL": divergence}
