"""The table of average ranks over datasets."""

from collections.abc import Iterator, Sequence

from deepgen_bench.report.data.groups import Spread
from deepgen_bench.report.data.metrics import display_name, family
from deepgen_bench.report.data.ranks import (
    MIN_DATASETS_TESTED,
    Ranks,
    friedman_p_values,
    is_testable,
    ranks_over_datasets,
)
from deepgen_bench.report.tables.render import Cell, Table
from deepgen_bench.report.tables.wording import MISSING


def rank_table(datasets: Sequence[Sequence[Sequence[Spread]]]) -> Table | None:
    """The table `ranks`, from the columns of each comparison table; None if too few datasets rank models."""
    ranks = ranks_over_datasets(datasets)
    if not ranks:
        return None
    means = [each.means for each in ranks]
    groups = [group for columns in datasets for of_column in columns for group in of_column]
    models = [model for model in dict.fromkeys(g.group.model for g in groups) if any(model in mean for mean in means)]
    rows = [[Cell(m), *(Cell(f"{mean[m]:.2f}" if m in mean else MISSING) for mean in means)] for m in models]
    header = ["model", *(f"{display_name(each.metric)} ({len(each.values)} datasets)" for each in ranks)]
    families = [family(each.metric) for each in ranks]
    return Table("ranks", "average ranks over datasets", header, rows, list(_notes(ranks)), families)


def _notes(ranks: Sequence[Ranks]) -> Iterator[str]:
    yield (
        "Average over datasets of the rank of a model's mean over seeds (1 is best, ties share a rank), among the "
        "models with a value on all of these datasets. Columns with bounds are left out. A model with two kinds of "
        "sample is ranked by the second: a VAE by the decoder's mean, a diffusion model by its ancestral sampler."
    )
    if not all(map(is_testable, ranks)):
        yield f"No test for fewer than {MIN_DATASETS_TESTED} datasets or three models."
    if p_values := friedman_p_values(ranks):
        texts = [f"{display_name(metric)} p = {p:.2g}" for metric, p in p_values.items()]
        yield (
            f"Friedman test of the hypothesis that all models rank alike, with Holm's correction for {len(p_values)}: "
            f"{', '.join(texts)}."
        )
