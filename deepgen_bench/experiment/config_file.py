"""Read a configuration file in YAML or JSON as plain data, restricted to what JSON can represent."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from deepgen_bench.runtime.errors import UserError, shown

MAXIMUM_DEPTH = 20
MAXIMUM_VALUES = 100_000
LARGEST = 10**15  # below it every JSON reader keeps all digits


class Unfit(ValueError):
    """A text that is valid YAML or JSON but not a valid configuration."""


class Loader(yaml.SafeLoader):
    """Safe YAML loader that refuses duplicate keys and aliases that contain themselves or expand without bound."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        refuse_repeats((key.value, key.start_mark.line + 1) for key, _ in node.value if isinstance(key.value, str))
        return node

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            self.count(node, {})
        return node

    def count(self, node: Any, known: dict[Any, int | None]) -> int:
        """Number of values in `node` with its aliases expanded."""
        if node in known:
            size = known[node]
            if size is None:
                raise Unfit(f"the alias on line {node.start_mark.line + 1} contains itself")
            return size
        known[node] = None
        parts = node.value if not isinstance(node.value, str) else []
        nodes = [each for part in parts for each in (part if isinstance(part, tuple) else (part,))]
        known[node] = size = 1 + sum(self.count(each, known) for each in nodes)
        if size > MAXIMUM_VALUES:
            raise Unfit(f"more than {MAXIMUM_VALUES} values with its aliases expanded")
        return size


def read_config(path: Path) -> Any:
    """Content of a YAML file, or a JSON file (suffix `.json`), as plain data. Errors: `UserError` naming the file."""
    # a YAML 1.1 parser would read the number 1e-05 of a JSON file as text
    kind, parse = ("JSON", parse_json) if path.suffix == ".json" else ("YAML", parse_yaml)
    try:
        data = parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (Unfit, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{path}: {why}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid {kind} ({' '.join(str(error).split())})") from None
    return data


def parse_yaml(text: str) -> Any:
    return yaml.load(text, Loader)  # a subclass of the safe loader


def parse_json(text: str) -> Any:
    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        refuse_repeats((key, None) for key, _ in pairs)
        return dict(pairs)

    return json.loads(text, object_pairs_hook=mapping)


def refuse_repeats(keys: Iterable[tuple[str, int | None]]) -> None:
    lines: dict[str, int | None] = {}
    for key, line in keys:
        if key in lines:
            where = "" if line is None else f" (lines {lines[key]} and {line})"
            raise Unfit(f"duplicate key {key!r}{where}; valid: each key once in a mapping")
        lines[key] = line


def check_plain(data: Any, parts: tuple[Any, ...] = ()) -> None:
    """Raise `UserError` naming the key of a value that is not a mapping, list, text, number, boolean or null.

    YAML also has dates and bytes, and text can hold characters that neither file names nor JSON allow.
    """
    where = key_text(parts)
    if len(parts) > MAXIMUM_DEPTH:
        raise UserError(f"{where}: nested too deeply; valid: at most {MAXIMUM_DEPTH} levels")
    if isinstance(data, dict):
        for name, value in data.items():
            if not isinstance(name, str):
                raise UserError(f"{key_text((*parts, name))}: input should be a valid string, found {shown(name)}")
            check_plain(name, (*parts, name))
            check_plain(value, (*parts, name))
    elif isinstance(data, list | tuple):
        for i, value in enumerate(data):
            check_plain(value, (*parts, i))
    elif isinstance(data, str):
        if "\0" in data or any("\ud800" <= char <= "\udfff" for char in data):
            raise UserError(f"{where}: text without zero bytes and lone surrogates is needed, found {shown(data)}")
    elif isinstance(data, int) and abs(data) >= LARGEST:
        raise UserError(f"{where}: a number of at most 15 digits is needed, found {shown(data)}")
    elif not (data is None or isinstance(data, bool | int | float)):
        kind = type(data).__name__
        raise UserError(f"{where}: text or a number is needed, found the {kind} {shown(data)}; quotes make it a text")


def key_text(parts: Iterable[Any]) -> str:
    """Path of a key in the file, such as `datasets.digits.budget`."""
    return ".".join(text if (text := str(part)).isprintable() and len(text) <= 80 else shown(part) for part in parts)
