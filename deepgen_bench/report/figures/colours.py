"""One colour and one shape for a model wherever it is drawn, told apart by colour-blind readers too."""

from collections.abc import Sequence

from deepgen_bench.report.data.selection import ORACLE

# Okabe and Ito's, without black and the light yellow, then Tol's: readable on white and on near-black
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999933", "#AA4499", "#44AA99", "#CC6677"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
GREY = "#808080"


def colours(models: Sequence[str]) -> dict[str, str]:
    """By model, in their order; real data are grey. More than ten begin anew, with other shapes."""
    drawn = [model for model in models if model != ORACLE]
    return {ORACLE: GREY} | {model: PALETTE[i % len(PALETTE)] for i, model in enumerate(drawn)}


def shapes(models: Sequence[str]) -> dict[str, str]:
    drawn = [model for model in models if model != ORACLE]
    return {ORACLE: "stroke"} | {model: SHAPES[i % len(SHAPES)] for i, model in enumerate(drawn)}
