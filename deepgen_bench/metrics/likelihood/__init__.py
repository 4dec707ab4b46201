"""Estimators and bounds of log p(x)."""
