"""Generative adversarial networks and Wasserstein GANs."""
