"""A figure of the report: a chart or pictures, with title, caption and description."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deepgen_bench.report.figures.charts import Chart


@dataclass(frozen=True)
class Figure:
    """A `chart`, or `pictures` with a caption each.

    `name` is the stem of its files, `alt` the description for readers who cannot see it; `large` pictures are shown
    larger.
    """

    name: str
    title: str
    caption: str
    alt: str
    chart: Chart | None = None
    pictures: Sequence[tuple[str, bytes]] = ()
    large: bool = False

    @property
    def empty(self) -> bool:
        return self.chart is None and not self.pictures

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The chart as Vega-Lite."""
        assert self.chart is not None
        # Vega-Lite checks the specification when it draws, so altair need not validate it
        return self.chart.to_dict(validate=False)

    @property
    def script(self) -> str:
        """The chart as JSON, escaped for an HTML script element."""
        return json.dumps(self.spec, separators=(",", ":")).replace("<", "\\u003c")
