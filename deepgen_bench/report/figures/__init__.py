"""Figures: Vega-Lite charts and pictures, with titles and captions."""
