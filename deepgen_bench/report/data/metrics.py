"""Known metrics: their display names, families and order, and which of them are averages over test examples."""

# Measured on the same test examples for every model and seed, so models can be compared example by example.
LIKELIHOODS = ("log_likelihood", "elbo", "iw_elbo", "bits_per_dim", "log_density_ratio")
# Means over test examples: their error includes that of drawing the examples.
OVER_EXAMPLES = (*LIKELIHOODS, "ais", "train_test_gap", "reconstruction", "kl", "parzen", "parzen_of_train")
# Metrics whose bias depends on the number of samples; they are shown at several sample sizes.
SIZED = ("frechet_distance", "frechet_distance_infinity", "kernel_distance")

# Display names by family, in the order of the columns of a table.
FAMILIES = {
    "likelihood": {
        "log_likelihood": "log-likelihood",
        "elbo": "ELBO",
        "iw_elbo": "IW-ELBO",
        "bits_per_dim": "bits/dim",
        "log_density_ratio": "log p/p*",
    },
    "fidelity": {
        "frechet_distance": "FD",
        "frechet_distance_infinity": "FD∞",
        "inception_score": "IS",
        "kernel_distance": "KID",
        "precision": "precision",
        "recall": "recall",
        "density": "density",
        "coverage": "coverage",
    },
    "transport": {"w1": "W1", "w2": "W2", "centred_w2": "centred W2", "sliced_w2": "sliced W2"},
    "two-sample": {"mmd": "MMD", "c2st": "C2ST"},
    "modes": {"modes_covered": "modes covered", "high_quality": "high quality", "mode_kl": "mode KL"},
    "latent variables": {
        "reconstruction": "reconstruction",
        "kl": "KL",
        "active_units": "active units",
        "ess": "ESS",
        "pareto_k": "Pareto k",
        "ais": "AIS",
        "bdmc_gap": "BDMC gap",
        "tau": "τ",
    },
    "historical": {"parzen": "Parzen", "parzen_of_train": "Parzen of training data"},
    "memorisation": {"nn_auc": "NN AUC", "copied": "copied", "train_test_gap": "train − test"},
}
NAMES = {metric: name for names in FAMILIES.values() for metric, name in names.items()}


def display_name(metric: str) -> str:
    """The name of a metric in tables and figures."""
    return NAMES.get(metric, metric.replace("_", " "))


def family(metric: str) -> str:
    """The family of a metric; `other` for an unknown metric."""
    return next((family for family, names in FAMILIES.items() if metric in names), "other")


def position(metric: str) -> int:
    """Sort key of a metric's columns: known metrics in the order of `NAMES`, unknown ones after them."""
    return list(NAMES).index(metric) if metric in NAMES else len(NAMES)
