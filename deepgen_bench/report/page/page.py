"""The report: one HTML file that needs nothing else, and its figures as files for papers."""

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from deepgen_bench.report.data.material import Material, load
from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.figures.pictures import data_uri
from deepgen_bench.report.page.overview import headline, troubles
from deepgen_bench.report.page.provenance import provenance
from deepgen_bench.report.page.section import Section, sections_of
from deepgen_bench.report.tables.chapters import Chapter
from deepgen_bench.report.tables.render import Table
from deepgen_bench.report.tables.studies import THEORY_NOTE
from deepgen_bench.storage.files import write_bytes, write_text

FILE = "report.html"
TEMPLATES = resources.files("deepgen_bench.report.page") / "templates"


def write_report(homes: Sequence[Path], output: Path | None = None) -> list[Path]:
    """Write the page of one experiment folder, or of several side by side, and its figures; the paths written.

    Without `output` the page is `report.html` in the folder, or for several lies beside the first. Figures lie beside
    the page in a folder: charts as SVG and PDF, pictures as PNG. Errors: `UserError` naming what is missing.
    """
    material = load(homes)
    together = homes[0].parent / f"report_{'_'.join(material.experiments)}.html"
    page = output or (homes[0] / FILE if len(homes) == 1 else together)
    sections, ranks = sections_of(material)
    theory = material.theory
    write_text(page, render(material, sections, ranks, theory))
    figures = [figure for chapter in theory for figure in chapter.figures]
    figures += [figure for section in sections for figure in section.figures]
    folder = page.parent / ("figures" if page.name == FILE else f"{page.stem}_figures")
    return [page, *write_figures(figures, folder)]


def write_figures(figures: Sequence[Figure], folder: Path) -> Iterator[Path]:
    import vl_convert

    for figure in figures:
        files = {f"{figure.name}_{i}.png": png for i, (_, png) in enumerate(figure.pictures)}
        if figure.chart is not None:
            svg = vl_convert.vegalite_to_svg(figure.spec)
            files |= {f"{figure.name}.svg": svg.encode(), f"{figure.name}.pdf": vl_convert.svg_to_pdf(svg)}
        for name, content in files.items():
            write_bytes(folder / name, content)
            yield folder / name


def render(material: Material, sections: Sequence[Section], ranks: Sequence[Table], theory: Sequence[Chapter]) -> str:
    import vl_convert
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("deepgen_bench.report.page", "templates")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = data_uri
    # Vega, Vega-Lite and Vega-Embed, with what they need
    vega = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed")
    return environment.get_template("page.html").render(
        material=material,
        sections=sections,
        ranks=ranks,
        theory=theory,
        theory_note=THEORY_NOTE,
        headline=headline(sections),
        troubles=troubles(material.rows),
        provenance=provenance(material),
        vega=vega,
        **{name.replace(".", "_"): (TEMPLATES / name).read_text() for name in ("style.css", "page.js")},
    )
