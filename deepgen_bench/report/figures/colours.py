"""Colours and marker shapes of models, the same in every figure and distinguishable by colour-blind readers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import altair as alt

# Okabe and Ito's colours without black and light yellow, then Tol's: readable on white and on near-black
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999933", "#AA4499", "#44AA99", "#CC6677"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
GREY = "#808080"


@dataclass(frozen=True)
class Palette:
    """Colours and shapes of an experiment's models, in their order.

    The models in `real` are real data, drawn in grey. From the eleventh model on colours repeat, with other shapes.
    """

    models: Sequence[str]
    real: Collection[str] = ()

    def of(self, model: str) -> str:
        """The colour of a model."""
        return self._assigned(PALETTE, GREY)[model]

    def colour(self, legend: bool = False) -> alt.Color:
        scale = self._scale(PALETTE, GREY)
        return alt.Color("model:N", scale=scale, legend=alt.Legend() if legend else None)

    def shape(self, legend: bool = False) -> alt.Shape:
        scale = self._scale(SHAPES, "stroke")
        return alt.Shape("model:N", scale=scale, legend=alt.Legend() if legend else None)

    def _scale(self, values: Sequence[str], for_real: str) -> alt.Scale:
        assigned = self._assigned(values, for_real)
        return alt.Scale(domain=list(assigned), range=list(assigned.values()))

    def _assigned(self, values: Sequence[str], for_real: str) -> dict[str, str]:
        """By model, one of `values` in turn, or `for_real`."""
        ranked = [model for model in self.models if model not in self.real]
        assigned = {model: values[i % len(values)] for i, model in enumerate(ranked)}
        return {model: assigned.get(model, for_real) for model in self.models}
