"""Identity of code: digests of the modules that compute a stage's numbers, blind to comments, layout and place.

A stage runs again when its digest changes. A digest covers the parsed source of the stage's entry modules (`ENTRIES`,
or the module of a plug-in) and of every module of this package that they import, directly or not. It does not contain
module names, so moving a module changes nothing. `tests/closures.json` pins the modules behind each digest.
"""

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple

from deepgen_bench.storage.files import sha256_of

PACKAGE = "deepgen_bench"

ENTRIES = {
    "classifier": ("deepgen_bench.metrics.features.classifier",),
    "inception": ("deepgen_bench.metrics.features.inception",),
    "checkpoint": ("deepgen_bench.training.checkpoint",),
    "likelihood": ("deepgen_bench.metrics.likelihood.by_family",),
    "aggregate": ("deepgen_bench.report.data.summary",),
    "study_table": ("deepgen_bench.report.tables.studies",),
    "tables": ("deepgen_bench.report.tables.write",),
    "figures": ("deepgen_bench.stages.figures", "deepgen_bench.stages.figure_latent"),
    "report": ("deepgen_bench.report.page.write",),
}
"""Entry modules of the stages whose code is not a plug-in's. Datasets, models, metrics and studies have their own."""

IGNORED = {
    "deepgen_bench.metrics.measurement",
    "deepgen_bench.plugins",
    "deepgen_bench.runtime.errors",
    "deepgen_bench.runtime.locks",
    "deepgen_bench.storage.downloads",
    "deepgen_bench.storage.files",
}
"""Modules that change no number unless settings or data change too, which are part of every identity themselves."""


def stage_identity(stage: str) -> str:
    """Digest of a stage in `ENTRIES`."""
    return code_identity(*ENTRIES[stage])


@cache
def code_identity(*modules: str) -> str:
    """Digest (12 hexadecimal digits) of the code of `modules` and of all that they import of their own package and of
    this one. Nothing is imported to compute it.

    Comments, docstrings, layout, the order of imports and names of modules do not count, nor do imports for type
    checking only and the modules in `IGNORED`.
    """
    digests: dict[str, str] = {}

    def digest(name: str) -> str:
        """Digest of a module's code, in which each import stands as the digest of what it imports; "" if no such module
        counts."""
        if name not in digests:
            digests[name] = ""  # for a module that imports itself through others
            if source := _counted_source(name):
                digests[name] = sha256_of("\n".join([source.code, *sorted(set(map(text, source.imports)))]).encode())
        return digests[name]

    def text(imported: Import) -> str:
        if not imported.followed:
            return f"{imported.module} {imported.attribute} {imported.bound}"
        attribute = digest(f"{imported.module}.{imported.attribute}") or imported.attribute
        return f"{digest(imported.module)} {attribute} {imported.bound}"

    return sha256_of("\n".join(map(digest, modules)).encode())[:12]


def closure(*modules: str) -> list[str]:
    """Names of the modules that `code_identity` covers, sorted."""
    visited: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in visited and (source := _counted_source(name)):
            visited.add(name)
            followed = [each for each in source.imports if each.followed]
            waiting += [part for each in followed for part in (each.module, f"{each.module}.{each.attribute}")]
    return sorted(name for name in visited if _counted_source(name) != EMPTY)


def source_file(name: str) -> Path | None:
    """Source file of a module; None if there is none, or `name` is an attribute of a module."""
    package, *rest = name.split(".")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*rest)
    candidates = [path.with_name(f"{path.name}.py"), path / "__init__.py"] if rest else [Path(spec.origin)]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


class Import(NamedTuple):
    """`from module import attribute as bound`, or with an empty attribute `import module as bound`. Imports of the
    module's own package and of this one are `followed`, others only named."""

    module: str
    attribute: str
    bound: str
    followed: bool


class Source(NamedTuple):
    """A module's syntax tree as text, without docstrings and imports, and the imports anywhere in it."""

    code: str
    imports: tuple[Import, ...]


EMPTY = Source(ast.dump(ast.Module([ast.Pass()], [])), ())
"""A module that holds nothing but a docstring, as most packages' `__init__`."""


def _counted_source(name: str) -> Source | None:
    """A module that counts; settings do not, because their values are part of an identity themselves."""
    if name in IGNORED or (name.startswith(f"{PACKAGE}.") and name.endswith(".settings")):
        return None
    path = source_file(name)
    return parse(name, path) if path else None


@cache
def parse(name: str, path: Path) -> Source:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            node.body = [ast.Pass()]
        # a string by itself is a docstring of a definition or of an attribute
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_string(statement)] or [ast.Pass()]
    parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
    followed, imports = (name.split(".")[0], PACKAGE), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [(alias.name, "", alias.asname or "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), parent)
            named = [(module, alias.name, alias.asname or alias.name) for alias in node.names]
        else:
            continue
        imports += [Import(*each, each[0].split(".")[0] in followed) for each in named]
    for node in ast.walk(tree):
        for field, statements in ast.iter_fields(node):
            if isinstance(statements, list) and any(
                isinstance(each, ast.Import | ast.ImportFrom) for each in statements
            ):
                rest = [each for each in statements if not isinstance(each, ast.Import | ast.ImportFrom)]
                setattr(node, field, rest or [ast.Pass()])
    return Source(ast.dump(tree), tuple(imports))


def _is_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
