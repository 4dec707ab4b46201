"""Which code a number depends on: a digest of a module and all it imports from this package, blind to comments."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

from deepgen_bench.files import sha256_of


@cache
def code_identity(*modules: str) -> str:
    """Digest (12 hex digits) of the parsed source of `modules` and of every module of the same package they import.

    Comments, docstrings and layout do not count, nor do imports for type checking only, nor the modules that decide
    nothing numeric (`PLUMBING`).
    """
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in PLUMBING:
            tree, imported = parse(name)
            seen[name] = tree
            waiting += imported
    return sha256_of("\n".join(f"{name}\n{seen[name]}" for name in sorted(seen)).encode())[:12]


# what these do cannot change a number without changing the settings or data that runs are identified by
PLUMBING = {
    "deepgen_bench.errors",
    "deepgen_bench.files",
    "deepgen_bench.registry",
    "deepgen_bench.settings",
    "deepgen_bench.models.specs",
    "deepgen_bench.metrics.measurement",
}


@cache
def parse(module: str) -> tuple[str, list[str]]:
    """A module's syntax tree as text without docstrings, and the modules of its own package that it imports."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return "", []
    tree = ast.parse(Path(spec.origin).read_text())
    package = module.split(".")[0]
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            node.body = [ast.Pass()]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
            imported.append(node.module)
        elif isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names if alias.name.split(".")[0] == package]
    return ast.dump(tree), imported
