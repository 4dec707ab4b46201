"""The evidence lower bound: what it leaves out, and what tightens it."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.synthetic import SineMixture
from deepgen_bench.plugins import Settings
from deepgen_bench.studies.textbook.claim import Claim, Evidence, Row, mean_row

# Z ~ N(0, 1), X | Z ~ N(sin Z, SD²)
SD = 0.5
# x, and mean and standard deviation of q(z|x): near the posterior, too wide, elsewhere
CASES = ((0.3, 0.25, 0.5), (0.3, 0.0, 1.5), (-0.8, 1.0, 0.7), (1.4, 1.2, 0.8))
KS = (1, 10, 100, 1000)
# encoders of a linear model, by how much too wide their variance is
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
        "For any q the ELBO lies below log p(x) by KL(q ‖ p(z|x)); importance samples and a better encoder tighten "
        "it, and maximum likelihood is minimum KL(p* ‖ p_θ)."
    )
    source = "Kingma & Welling 2014, eqs. 1–3; Burda et al. 2016, theorem 1; Domke & Sheldon 2018, theorem 3"
    formula = (
        r"\log p(x) - \mathrm{KL}(q \Vert p(z \mid x)) = "
        r"\mathbb{E}_q \log p(x \mid z) - \mathrm{KL}(q \Vert \pi)"
    )
    text = (
        "Where z has one dimension all three terms of the identity can be integrated, each by itself: it must hold "
        "for any q, also for bad ones. The importance-weighted bound is estimated by the project's own code; for "
        "large K what is missing is Var(w)/(2K), where w are the weights over their mean. In a linear Gaussian model, "
        "whose posterior is known, an encoder whose variance is c times too large costs (c − 1 − log c)/2 nats. And a "
        "normal law fitted to draws of a mixture by maximum likelihood is the one that is nearest to the mixture."
    )

    def evidence(self) -> Evidence:
        rows = [row for case in CASES for row in self.identity(*case)]
        curve: list[dict[str, Any]] = []
        rows += self.importance(curve)
        rows += self.encoders()
        rows += self.maximum_likelihood()
        return Evidence(rows, {"curve": curve, "gaps": [gap_record(*case) for case in CASES]})

    def identity(self, x: float, mean: float, sd: float) -> list[Row]:
        where = f"x = {x:g}, q = N({mean:g}, {sd:g}²)"
        exact, divergence, elbo = terms(x, mean, sd)
        return [Row("ELBO, of log p(x) − KL(q ‖ p(z|x))", where, exact - divergence, elbo, 0.0, 1e-6)]

    def importance(self, curve: list[dict[str, Any]]) -> list[Row]:
        """Bounds by K of the second case, whose weights are bounded, against log p(x) - Var(w)/(2K) at the largest."""
        from scipy.stats import norm

        from deepgen_bench.metrics.likelihood.weights import iw_elbo_curve

        x, mean, sd = CASES[1]
        z = mean + sd * self.rng("weights").standard_normal((self.settings.repeats, KS[-1]))
        log_weights = norm.logpdf(z) + norm.logpdf(x, np.sin(z), SD) - norm.logpdf(z, mean, sd)
        found = {k: values for k, (values, _) in iw_elbo_curve(log_weights, KS).items()}
        exact, variance = terms(x, mean, sd)[0], relative_variance(x, mean, sd)
        for k, values in found.items():
            error = float(values.std(ddof=1) / np.sqrt(len(values)))
            curve.append({"K": k, "bound": float(values.mean()), "error": error, "log p(x)": exact})
        rows = [
            mean_row("rise of the bound", f"K = {low} to {high}", 0.0, found[high] - found[low], relation="at least")
            for low, high in pairwise(KS)
        ]
        expected = variance / (2 * 100)
        # a control variate: the mean weight over p(x), whose expectation is 1, and of which a bound is nearly the log
        surplus = np.exp(log_weights - exact).mean(1) - 1
        return [*rows, mean_row("log p(x) − bound", "K = 100", expected, exact - found[100] + surplus, 0.1 * expected)]

    def encoders(self) -> list[Row]:
        """What too wide an encoder costs in X | Z ~ N(Z, SD²), by the ELBO of many draws."""
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
            missing = norm.logpdf(x, 0, np.sqrt(1 + SD**2)) - elbo
            cost = float((c - 1 - np.log(c)) / 2)
            rows.append(mean_row("log p(x) − ELBO", f"variance × {c:g}", cost, missing, 0.01))
        return rows

    def maximum_likelihood(self) -> list[Row]:
        """N(0, σ²) fitted to draws of the sine mixture, against the σ of the least divergence by quadrature."""
        from scipy.optimize import minimize_scalar
        from scipy.stats import norm

        law = SineMixture(SineMixture.Settings.model_validate({"variance": SD**2}))
        x = law.sample(self.settings.n, self.rng("likelihood"))[:, 0]
        grid = np.linspace(-4, 4, 2001)
        density = np.exp(law.log_prob(grid[:, None]))

        def divergence(sigma: float) -> float:
            return float(np.trapezoid(density * (np.log(density) - norm.logpdf(grid, 0, sigma)), grid))

        def loss(sigma: float) -> float:
            return -float(norm.logpdf(x, 0, sigma).mean())

        def least(f: Callable[[float], float]) -> float:
            return float(minimize_scalar(f, bounds=(0.2, 3), method="bounded", options={"xatol": 1e-8}).x)

        fitted = least(loss)
        error = float((x**2).std() / (2 * fitted * np.sqrt(len(x))))
        where = f"{len(x):,} draws; predicted: of the least KL(p* ‖ N(0, σ²))"
        return [Row("σ of the largest likelihood", where, least(divergence), fitted, error, 0.01)]


def terms(x: float, mean: float, sd: float) -> tuple[float, float, float]:
    """log p(x), KL(q ‖ p(z|x)) and the ELBO, each by its own integral."""
    from scipy.integrate import quad
    from scipy.stats import norm

    low, high = mean - 10 * sd, mean + 10 * sd
    exact = np.log(quad(lambda z: norm.pdf(z) * norm.pdf(x, np.sin(z), SD), -9, 9, epsabs=1e-12, limit=500)[0])

    def over_q(f: Any) -> float:
        return float(quad(lambda z: norm.pdf(z, mean, sd) * f(z), low, high, epsabs=1e-12, limit=500)[0])

    divergence = over_q(lambda z: norm.logpdf(z, mean, sd) - (norm.logpdf(z) + norm.logpdf(x, np.sin(z), SD) - exact))
    prior = (mean**2 + sd**2 - 1) / 2 - np.log(sd)
    return float(exact), divergence, over_q(lambda z: norm.logpdf(x, np.sin(z), SD)) - float(prior)


def relative_variance(x: float, mean: float, sd: float) -> float:
    """The variance of p(x, z) / (p(x) q(z)) under q."""
    from scipy.integrate import quad
    from scipy.stats import norm

    def square(z: float) -> float:
        return float((norm.pdf(z) * norm.pdf(x, np.sin(z), SD)) ** 2 / norm.pdf(z, mean, sd))

    return quad(square, -9, 9, epsabs=1e-14, limit=500)[0] / np.exp(2 * terms(x, mean, sd)[0]) - 1


def gap_record(x: float, mean: float, sd: float) -> dict[str, Any]:
    exact, divergence, elbo = terms(x, mean, sd)
    return {"case": f"x = {x:g}, q = N({mean:g}, {sd:g}²)", "log p(x)": exact, "ELBO": elbo, "KL": divergence}
