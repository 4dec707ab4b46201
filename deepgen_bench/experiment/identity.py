"""Which code a number depends on: a digest of a module and all it imports from this package, blind to comments."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

from deepgen_bench.storage.files import sha256_of


@cache
def code_identity(*modules: str) -> str:
    """Digest (12 hex digits) of the parsed source of `modules` and of what they import of their own package and of
    this one, directly or not. Nothing is imported to find out.

    Comments, docstrings and layout do not count, nor do imports for type checking only, nor the modules that decide
    nothing numeric (`PLUMBING`).
    """
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = source_file(name)
        if path is not None and name not in seen and name not in PLUMBING:
            seen[name], imported = parse(name, path)
            waiting += imported
    return sha256_of("\n".join(f"{name}\n{seen[name]}" for name in sorted(seen)).encode())[:12]


# what these do cannot change a number without changing the settings or data that runs are identified by
PLUMBING = {
    "deepgen_bench.storage.damage",
    "deepgen_bench.storage.downloads",
    "deepgen_bench.runtime.errors",
    "deepgen_bench.storage.files",
    "deepgen_bench.runtime.locks",
    "deepgen_bench.plugins",
    "deepgen_bench.models.specs",
    "deepgen_bench.metrics.measurement",
}


def source_file(name: str) -> Path | None:
    """The source of a module; None if there is none, or `name` is not a module but something in one."""
    package, *rest = name.split(".")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*rest)
    candidates = [path.with_name(f"{path.name}.py"), path / "__init__.py"] if rest else [Path(spec.origin)]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


@cache
def parse(name: str, path: Path) -> tuple[str, list[str]]:
    """A module's syntax tree as text without docstrings, and the names it imports of its own package and of this."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            node.body = [ast.Pass()]
        # a text by itself is a docstring, of an attribute if not of what it stands in
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not is_text(part)] or [ast.Pass()]
    parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), parent)
            imported += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return ast.dump(tree), [part for part in imported if part.split(".")[0] in (name.split(".")[0], __package__)]


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
