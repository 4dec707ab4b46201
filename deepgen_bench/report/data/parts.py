"""Which columns of a dataset stand in which of its tables, and which of them stand for the dataset."""

from dataclasses import dataclass

from deepgen_bench.report.data.comparisons import direction_of
from deepgen_bench.report.data.groups import Comparable
from deepgen_bench.report.data.metrics import FAMILIES, SIZED
from deepgen_bench.report.data.sheet import Sheet


@dataclass(frozen=True)
class Part:
    """A table of a dataset: the suffix of its file name, its title and columns."""

    suffix: str
    title: str
    columns: list[Comparable]


def main_part(sheet: Sheet) -> Part:
    """The comparison: measurements against held-out data at their largest K and n."""
    return parts_of(sheet)[0]


def parts_of(sheet: Sheet) -> list[Part]:
    """The tables of a dataset: the comparison first, then those with columns that it does not have."""
    memorisation = [column for column in sheet.columns if _is_memorisation(column)]
    rest = [column for column in sheet.columns if column not in memorisation]
    latent = [column for column in rest if column.metric in FAMILIES["latent variables"]]
    parzen = [column for column in rest if column.metric in FAMILIES["historical"]]
    main = sheet.largest([column for column in rest if column not in (*latent, *parzen)])
    bounds = [column for column in rest if column.metric == "iw_elbo"]
    likelihood = [column for column in main if column.metric == "log_likelihood"]
    sized = [column for column in rest if column.metric in SIZED]
    others = [
        Part("_latent", "latent variables", [*bounds, *latent]),
        Part("_parzen", "Parzen windows (historical)", [*likelihood, *sheet.largest(parzen)] if parzen else []),
        Part("_sample_size", "by sample size", sized),
        Part("_memorisation", "memorisation", sheet.largest(memorisation)),
    ]
    return [Part("", "comparison", main), *(part for part in others if not set(part.columns) <= set(main))]


def _is_memorisation(column: Comparable) -> bool:
    return column.metric in FAMILIES["memorisation"] or column.reference_split == "train"


# A dataset is summarised by one likelihood and one sample metric: of each list the first metric that is ranked, in the
# column with most models. After the customary distance those come first that see most faults (docs/protocol.md).
HEADLINE = [
    ["log_likelihood", "bits_per_dim", "iw_elbo"],
    [
        "frechet_distance",
        "frechet_distance_infinity",
        "mmd",
        "c2st",
        "sliced_w2",
        "centred_w2",
        "w1",
        "kernel_distance",
    ],
]


def headline_columns(sheet: Sheet) -> list[Comparable]:
    """The columns of the comparison that stand for the dataset in the first table of the report; at most two."""
    columns = []
    for metrics in HEADLINE:
        competing = {column: sheet.competing(column) for column in main_part(sheet).columns if column.metric in metrics}
        ranked = [column for column, groups in competing.items() if direction_of(groups) != "none"]
        ranked.sort(key=lambda c: (metrics.index(c.metric), -len({s.group.model for s in competing[c]})))
        columns += ranked[:1]
    return columns
