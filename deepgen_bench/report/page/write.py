"""Write the report: one self-contained HTML file, and its figures as files for papers."""

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from deepgen_bench.report.data.experiments import load
from deepgen_bench.report.figures.figure import Figure
from deepgen_bench.report.figures.pictures import data_uri
from deepgen_bench.report.page.contents import Contents, contents_of
from deepgen_bench.report.tables.studies import THEORY_NOTE
from deepgen_bench.storage.files import write_bytes, write_text

FILE = "report.html"
TEMPLATES = resources.files("deepgen_bench.report.page") / "templates"


def write_report(homes: Sequence[Path], output: Path | None = None) -> list[Path]:
    """Write the page of one experiment folder, or of several side by side, and its figures. Returns the paths written.

    Without `output` the page of one experiment is `report.html` in its folder; that of several lies beside the first
    folder. Figures lie in a folder beside the page: charts as SVG and PDF, pictures as PNG. Errors: `UserError` naming
    what is missing.
    """
    experiments = load(homes)
    contents = contents_of(experiments)
    names = "_".join(file.name for file in experiments.files)
    page = output or (homes[0] / FILE if len(homes) == 1 else homes[0].parent / f"report_{names}.html")
    write_text(page, render(contents))
    folder = page.parent / ("figures" if page.name == FILE else f"{page.stem}_figures")
    return [page, *write_figures(contents.figures, folder)]


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


def render(contents: Contents) -> str:
    """The HTML page."""
    import vl_convert
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("deepgen_bench.report.page", "templates")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = data_uri
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template("page.html").render(
        contents=contents,
        theory_note=THEORY_NOTE,
        # Vega, Vega-Lite and Vega-Embed with their dependencies
        vega=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed"),
        **{name.replace(".", "_"): (TEMPLATES / name).read_text() for name in ("style.css", "page.js")},
    )
