"""Metrics on features of images: Fréchet and kernel distances, Inception score, precision and recall, and the
extractors."""
