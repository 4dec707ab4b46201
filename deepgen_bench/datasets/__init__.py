"""Datasets: sources of examples, their fixed splits, and representations of images. Imports `storage` and below."""
