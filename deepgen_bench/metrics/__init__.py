"""How good are samples and likelihoods, with which error? Imports `models` (their protocols) and below."""
