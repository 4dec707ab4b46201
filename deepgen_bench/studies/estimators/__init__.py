"""Estimators compared with known truths."""
