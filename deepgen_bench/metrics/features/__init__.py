"""Metrics on features of images (Fréchet and kernel distances, Inception score, precision and recall, density and
coverage), and the feature extractors."""
