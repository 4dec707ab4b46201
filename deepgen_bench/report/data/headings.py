"""Headings of columns: what was measured, in parts that tables and figures put together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepgen_bench.report.data.groups import Comparable
from deepgen_bench.report.data.metrics import display_name

INCEPTION = {
    "frechet_distance": "FID",
    "frechet_distance_infinity": "FID∞",
    "inception_score": "IS",
    "kernel_distance": "KID",
}
# Published FIDs use the weights of 2015-12-05. Features of other weights called inception are named in brackets.
INCEPTION_DIGEST = "6726825d"
# keys of a variant that a heading always shows
IN_HEADING = ("extractor", "K", "representation")


@dataclass(frozen=True)
class Heading:
    """`name K=… (extractor) [unit, representation, split] (distinction)`; empty parts are left out.

    `distinction` holds the settings and sizes that tell a column from others of the same heading.
    """

    name: str
    k: str = ""
    extractor: str = ""
    unit: str = ""
    representation: str = ""
    split: str = ""
    distinction: tuple[str, ...] = ()

    def __str__(self) -> str:
        details = ", ".join(filter(None, (self.unit, self.representation, self.split)))
        distinction = ", ".join(self.distinction)
        parts = [self.name, self.k and f"K={self.k}", self.extractor and f"({self.extractor})"]
        parts += [details and f"[{details}]", distinction and f"({distinction})"]
        return " ".join(filter(None, parts))

    @property
    def short(self) -> str:
        """The heading without unit, representation and split."""
        return str(replace(self, unit="", representation="", split=""))

    @property
    def without_k(self) -> str:
        return str(replace(self, k=""))


def headings(columns: Sequence[Comparable]) -> list[Heading]:
    """A heading for each column; equal ones are distinguished by the settings and sizes in which they differ."""
    plain = list(map(heading_of, columns))
    result = []
    for heading, column in zip(plain, columns, strict=True):
        rivals = [_facts(other) for other, its_heading in zip(columns, plain, strict=True) if its_heading == heading]
        facts = _facts(column)
        differing = [key for key in facts if len({rival.get(key) for rival in rivals}) > 1]
        result.append(replace(heading, distinction=tuple(f"{key}={facts[key]}" for key in differing)))
    return result


def short_names(headings: Sequence[Heading]) -> list[str]:
    """The short forms of headings; the whole heading where several share a short form."""
    short = [heading.short for heading in headings]
    return [brief if short.count(brief) == 1 else str(heading) for brief, heading in zip(short, headings, strict=True)]


def heading_of(column: Comparable) -> Heading:
    """The heading of a column by itself, without distinction."""
    settings = column.settings
    name = display_name(column.metric)
    extractor, digest = settings.get("extractor"), settings.get("digest")
    if column.metric in INCEPTION:
        extractor = extractor or "features not stated"
        if extractor == "inception" and digest.startswith(INCEPTION_DIGEST):
            name, extractor = INCEPTION[column.metric], ""
    if extractor == "inception" and not digest.startswith(INCEPTION_DIGEST):
        extractor = f"inception, weights {digest or 'not stated'}"
    return Heading(
        name,
        settings.get("K"),
        extractor,
        "" if column.unit == "1" or name.endswith(column.unit) else column.unit,
        settings.get("representation"),
        f"{column.reference_split} split" if column.reference_split in ("train", "validation") else "",
    )


def _facts(column: Comparable) -> dict[str, str]:
    """Settings and sizes that the plain heading does not show."""
    pairs = dict(column.settings.without(*IN_HEADING).pairs)
    n_real, n_generated = column.n_real, column.n_generated
    if n_real == n_generated or n_generated is None:
        return {**pairs, "n": str(n_real)}
    return {**pairs, "n_real": str(n_real), "n_generated": str(n_generated)}
