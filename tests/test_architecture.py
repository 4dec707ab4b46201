"""The structure of the package: imports run downwards from room to room, and the root stays small."""

import ast
from collections.abc import Iterator
from pathlib import Path

import deepgen_bench

PACKAGE = Path(deepgen_bench.__file__).parent
# from the bottom to the top: a room may import those to its left
ROOMS = (
    *("runtime", "plugins", "storage", "datasets", "training", "models", "metrics"),
    *("studies", "experiment", "report", "stages", "cli"),
)
# the same inside of rooms
FOLDERS = {"report": ("data", "figures", "tables", "page")}


def modules() -> Iterator[tuple[str, Path]]:
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """The package's modules that a file imports anywhere in it, without the package's name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    names = dict(modules())
    return {name for each in found if (name := each.removeprefix("deepgen_bench.")) in names and name != each}


def room(module: str) -> str:
    return module.split(".")[0]


def test_imports_run_downwards() -> None:
    upwards = [
        f"{module} imports {other}"
        for module, path in modules()
        if room(module) in ROOMS
        for other in imports(path)
        if room(other) != room(module) and ROOMS.index(room(other)) > ROOMS.index(room(module))
    ]
    assert upwards == []


def test_imports_inside_a_room_run_downwards() -> None:
    upwards = []
    for name, folders in FOLDERS.items():
        inside = {module: path for module, path in modules() if module.startswith(f"{name}.")}
        places = {module: folders.index(module.split(".")[1]) for module in inside}
        upwards += [
            f"{module} imports {other}"
            for module, path in inside.items()
            for other in imports(path) & places.keys()
            if places[other] > places[module]
        ]
    assert upwards == []


def test_no_import_goes_in_a_circle() -> None:
    graph = {module: imports(path) - {module} for module, path in modules()}
    while leaves := [module for module, others in graph.items() if not others & graph.keys()]:
        for module in leaves:
            del graph[module]
    assert graph == {}


def test_the_root_holds_a_dozen_things_and_every_folder_says_its_question() -> None:
    things = {room(module) for module, _ in modules()} - {"__init__", "__main__", "deepgen_bench", ""}
    assert things == set(ROOMS)
    assert len(things) <= 12
    for folder in {path.parent for _, path in modules()} - {PACKAGE}:
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert docstring, f"{folder.name}/__init__.py has no docstring"
