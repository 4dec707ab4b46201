"""Does an estimator find a value that is known? Checks of likelihoods, distances and fidelity metrics."""
