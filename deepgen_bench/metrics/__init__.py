"""Measures samples and likelihoods, with sampling errors. Imports `models` (their protocols) and the rooms below."""
