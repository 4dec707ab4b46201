"""Estimators and bounds of log p(x), the log-likelihood of held-out examples."""
