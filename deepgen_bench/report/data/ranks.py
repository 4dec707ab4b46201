"""Average ranks of models over datasets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepgen_bench.report.data.comparisons import direction_of, kind
from deepgen_bench.report.data.groups import Spread
from deepgen_bench.report.data.metrics import position
from deepgen_bench.report.data.statistics import holm

MIN_DATASETS = 3  # with fewer, readers look at the tables of the datasets
MIN_DATASETS_TESTED = 5


@dataclass(frozen=True)
class Ranks:
    """The ranks of models by one metric: `values` (datasets, models), 1 is best."""

    metric: str
    models: list[str]
    values: np.ndarray

    @property
    def means(self) -> dict[str, float]:
        """By model, the average rank over datasets."""
        return dict(zip(self.models, self.values.mean(0), strict=True))


def ranks_over_datasets(datasets: Sequence[Sequence[Sequence[Spread]]]) -> list[Ranks]:
    """The ranks by each metric that ranks models on at least three datasets; ties share a rank.

    `datasets` holds the columns of each comparison table: groups with a value, without real data. Ranked are the models
    with a value on all datasets of the metric. Where a dataset has several columns of a metric, their ranks are
    averaged. Columns with bounds are left out, because the order of bounds is not that of their models.
    """
    metrics = dict.fromkeys(group.column.metric for columns in datasets for groups in columns for group in groups)
    return [ranks for metric in sorted(metrics, key=position) if (ranks := _ranks(metric, datasets))]


def friedman_p_values(ranks: Sequence[Ranks]) -> dict[str, float]:
    """By metric, p of Friedman's test that all models rank alike, with Holm's correction.

    Left out are metrics with too few datasets or models, and those by which all models tie.
    """
    tested = [each for each in ranks if is_testable(each) and np.ptp(each.values, axis=1).any()]
    if not tested:
        return {}
    from scipy.stats import friedmanchisquare

    adjusted = holm([friedmanchisquare(*each.values.T).pvalue for each in tested])
    return {each.metric: float(p) for each, p in zip(tested, adjusted, strict=True)}


def is_testable(ranks: Ranks) -> bool:
    return len(ranks.values) >= MIN_DATASETS_TESTED and len(ranks.models) > 2


def _ranks(metric: str, datasets: Sequence[Sequence[Sequence[Spread]]]) -> Ranks | None:
    """None where fewer than three datasets rank the models, or no two models have a value on all of these."""
    ranked = []
    for columns in datasets:
        of_metric = [_by_model(groups) for groups in columns if groups and groups[0].column.metric == metric]
        ranked.append([column for column in of_metric if _is_ranked(list(column.values()))])
    ranked = [columns for columns in ranked if columns]
    if len(ranked) < MIN_DATASETS:
        return None
    models = [m for m in ranked[0][0] if all(m in column for columns in ranked for column in columns)]
    directions = {direction_of(list(column.values())) for columns in ranked for column in columns}
    if len(models) < 2 or len(directions) > 1:
        return None
    from scipy.stats import rankdata

    sign = -1 if directions == {"max"} else 1
    means = [[[sign * column[m].mean for m in models] for column in columns] for columns in ranked]
    values = np.stack([rankdata(columns, axis=1).mean(0) for columns in means])
    return Ranks(metric, models, values)


def _by_model(groups: Sequence[Spread]) -> dict[str, Spread]:
    """One group per model: that of its last kind of sample."""
    return {group.group.model: group for group in groups}


def _is_ranked(groups: Sequence[Spread]) -> bool:
    return len(groups) > 1 and direction_of(groups) != "none" and {kind(group) for group in groups} == {"point"}
