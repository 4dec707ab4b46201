"""Average ranks of models over datasets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from deepgen_bench.report.data.comparisons import direction_of, kind
from deepgen_bench.report.data.statistics import holm
from deepgen_bench.report.data.summary import Spread
from deepgen_bench.report.tables.headings import NAMES, family, position
from deepgen_bench.report.tables.render import Cell, Table

DATASETS = 3  # fewer are read in their own tables
DATASETS_FOR_A_TEST = 5


@dataclass(frozen=True)
class Ranks:
    """Of one metric: `values` (datasets, models), 1 is best."""

    metric: str
    direction: str
    models: list[str]
    values: np.ndarray

    @property
    def heading(self) -> str:
        return NAMES.get(self.metric, self.metric.replace("_", " "))


def rank_table(datasets: Sequence[Sequence[Sequence[Spread]]]) -> Table | None:
    """`ranks`: average ranks (1 is best, ties share) for each metric that ranks models on at least three datasets.

    `datasets` holds the columns of each main table: groups with a value, without the oracle. Models are those that
    have a value on all of the metric's datasets; a dataset with several columns of a metric gives the mean of its
    ranks. None where there is no such metric.
    """
    groups = [group for columns in datasets for groups in columns for group in groups]
    metrics = sorted(dict.fromkeys(group.column.metric for group in groups), key=position)
    found = [ranks for metric in metrics if (ranks := _ranks(metric, datasets))]
    if not found:
        return None
    models = [model for model in dict.fromkeys(g.group.model for g in groups) if any(model in r.models for r in found)]
    means = [dict(zip(ranks.models, ranks.values.mean(0), strict=True)) for ranks in found]
    rows = [[Cell(m), *(Cell(f"{mean[m]:.2f}" if m in mean else "–") for mean in means)] for m in models]
    header = ["model", *(f"{ranks.heading} ({len(ranks.values)} datasets)" for ranks in found)]
    families = [family(ranks.metric) for ranks in found]
    return Table("ranks", "average ranks over datasets", header, rows, list(_notes(found)), families)


def _ranks(metric: str, datasets: Sequence[Sequence[Sequence[Spread]]]) -> Ranks | None:
    """None where fewer than three datasets rank the models, or no two models have a value on all of these."""
    ranked = []
    for columns in datasets:
        own = [_by_model(groups) for groups in columns if groups and groups[0].column.metric == metric]
        ranked.append([column for column in own if _is_ranked(list(column.values()))])
    ranked = [columns for columns in ranked if columns]
    if len(ranked) < DATASETS:
        return None
    models = [m for m in ranked[0][0] if all(m in column for columns in ranked for column in columns)]
    directions = {direction_of(list(column.values())) for columns in ranked for column in columns}
    if len(models) < 2 or len(directions) > 1:
        return None
    from scipy.stats import rankdata

    (direction,) = directions
    sign = -1 if direction == "max" else 1
    means = [[[sign * column[m].mean for m in models] for column in columns] for columns in ranked]
    values = np.stack([rankdata(columns, axis=1).mean(0) for columns in means])
    return Ranks(metric, direction, models, values)


def _by_model(groups: Sequence[Spread]) -> dict[str, Spread]:
    """One group a model: that of the last of its kinds of sample."""
    return {group.group.model: group for group in groups}


def _is_ranked(groups: Sequence[Spread]) -> bool:
    """The order of bounds is not that of their models."""
    return len(groups) > 1 and direction_of(groups) != "none" and {kind(group) for group in groups} == {"point"}


def _notes(found: Sequence[Ranks]) -> Iterable[str]:
    yield (
        "Average over datasets of the rank of a model's mean over seeds (1 is best, ties share a rank), among the "
        "models with a value on all of them; columns with bounds are left out. A model with two kinds "
        "of sample is ranked by the second: a VAE by the decoder's mean, a diffusion model by its ancestral sampler."
    )
    tested = [ranks for ranks in found if len(ranks.values) >= DATASETS_FOR_A_TEST and len(ranks.models) > 2]
    if len(tested) < len(found):
        yield f"No test where there are fewer than {DATASETS_FOR_A_TEST} datasets or three models: too few."
    tested = [ranks for ranks in tested if np.ptp(ranks.values, axis=1).any()]  # where all tie there is nothing to test
    if tested:
        from scipy.stats import friedmanchisquare

        adjusted = holm([friedmanchisquare(*ranks.values.T).pvalue for ranks in tested])
        texts = [f"{ranks.heading} p = {p:.2g}" for ranks, p in zip(tested, adjusted, strict=True)]
        yield f"Friedman test that all models rank alike, Holm's correction for {len(tested)}: {', '.join(texts)}."
