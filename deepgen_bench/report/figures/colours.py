"""Colours and marker shapes of models, the same in every figure and distinguishable by colour-blind readers."""

from collections.abc import Collection, Sequence

# Okabe and Ito's colours without black and light yellow, then Tol's: readable on white and on near-black
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999933", "#AA4499", "#44AA99", "#CC6677"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
GREY = "#808080"


def colours(models: Sequence[str], real: Collection[str] = ()) -> dict[str, str]:
    """By model, a colour; `real` data are grey. From the eleventh model on colours repeat, with other shapes."""
    return _assigned(models, real, PALETTE, GREY)


def shapes(models: Sequence[str], real: Collection[str] = ()) -> dict[str, str]:
    """By model, the shape of its points; `real` data have a stroke."""
    return _assigned(models, real, SHAPES, "stroke")


def _assigned(models: Sequence[str], real: Collection[str], values: Sequence[str], for_real: str) -> dict[str, str]:
    ranked = [model for model in models if model not in real]
    return dict.fromkeys(real, for_real) | {model: values[i % len(values)] for i, model in enumerate(ranked)}
