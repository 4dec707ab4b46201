"""Kernel density estimate: a Gaussian on every training example, as wide as validation data like best. No torch."""

from collections.abc import Iterator

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from deepgen_bench.models.classical import ClassicalModel
from deepgen_bench.training.fit import Fit, State

# distances held at once
PAIRS = 2**24


class KDE(ClassicalModel):
    """1/n Σ_i N(x_i, h²I) (Rosenblatt 1956, Parzen 1962), h by the mean log-likelihood of validation examples."""

    def fit_points(self, train: np.ndarray, validation: np.ndarray, seed: int) -> Fit:
        s, train = self.settings, train.astype(np.float32).astype(np.float64)  # as it is kept
        scale = float(np.sqrt(train.var(0).mean()))
        held_out = validation[: s.n_validation]
        curves: list[dict[str, float]] = []
        for low, high, ratio in ((s.narrowest * scale, s.widest * scale, 2), (0.5, 2.0, s.step)):
            if curves:  # around the best so far
                low, high = (factor * best_bandwidth(curves) for factor in (low, high))
            bandwidths = np.geomspace(low, high, 1 + max(1, round(np.log(high / low) / np.log(ratio))))
            sums = np.zeros(len(bandwidths))
            for squares in squared_distances(held_out, train):
                sums += [log_density(squares, h, train.shape[1]).sum() for h in bandwidths]
            for h, total in zip(bandwidths.tolist(), sums.tolist(), strict=True):
                curves.append({"step": len(curves) + 1, "bandwidth": h, "validation_score": -total / len(held_out)})
        state = {"points": train.astype(np.float32), "bandwidth": np.array([best_bandwidth(curves)])}
        return Fit({"final": state}, curves=curves, steps=1, examples=len(train), parameters=train.size + 1)

    def load(self, state: State) -> None:
        self.centres, self.bandwidth = state["points"].astype(np.float64), float(state["bandwidth"][0])

    def sample_points(self, n: int, rng: np.random.Generator) -> np.ndarray:
        choices, noise = rng.spawn(2)
        centres = self.centres[choices.integers(len(self.centres), size=n)]
        return centres + self.bandwidth * noise.standard_normal(centres.shape)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density of x (n, D), nats per example."""
        d = x.shape[1]
        return np.concatenate([log_density(part, self.bandwidth, d) for part in squared_distances(x, self.centres)])


def squared_distances(x: np.ndarray, points: np.ndarray) -> Iterator[np.ndarray]:
    """|x_i - point_j|² in blocks of rows."""
    # |x|² - 2 x·y + |y|² cancels less near the origin
    origin = points.mean(0)
    rows = max(1, PAIRS // len(points))
    for start in range(0, len(x), rows):
        yield euclidean_distances(x[start : start + rows] - origin, points - origin, squared=True)


def log_density(squares: np.ndarray, h: float, d: int) -> np.ndarray:
    """log 1/m Σ_j N(x_i; point_j, h²I) from squared distances (n, m): (n,)."""
    nearest = squares.min(1, keepdims=True)
    # exponentials that underflow are several times slower
    sums = np.exp(((nearest - squares) * (0.5 / h**2)).clip(min=-700)).sum(1)
    largest = -0.5 / h**2 * nearest[:, 0] - d * (np.log(h) + 0.5 * np.log(2 * np.pi))
    return largest + np.log(sums / squares.shape[1])


def best_bandwidth(curves: list[dict[str, float]]) -> float:
    return min(curves, key=lambda row: row["validation_score"])["bandwidth"]
