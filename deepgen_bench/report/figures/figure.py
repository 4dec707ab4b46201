"""A figure of the report, with the words that say what it shows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deepgen_bench.report.figures.charts import Chart


@dataclass(frozen=True)
class Figure:
    """A `chart`, or `pictures` beside each other, each with its caption.

    `name` is the stem of its files, `alt` says what is there to be seen to who cannot; `large` pictures need room.
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
        # what altair would check against its schema, Vega-Lite does when it draws
        return self.chart.to_dict(validate=False)

    @property
    def script(self) -> str:
        """The chart as JSON that may stand in a script element."""
        return json.dumps(self.spec, separators=(",", ":")).replace("<", "\\u003c")
