"""Textbook claims about generative models, measured."""
