"""Read a configuration file as plain data: what JSON can say, whether it is written in YAML or in JSON."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from deepgen_bench.runtime.errors import UserError, shown

MAXIMUM_DEPTH = 20
MAXIMUM_VALUES = 100_000
LARGEST = 10**15  # up to it every program that reads JSON keeps each digit


class Unfit(ValueError):
    """Why a text is no configuration, though it may be YAML or JSON."""


class Loader(yaml.SafeLoader):
    """YAML without the traps: a key given twice is an error, and so is an alias that contains itself or explodes."""

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
        """The number of values that `node` stands for, aliases written out."""
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
            raise Unfit(f"with its aliases written out it has more than {MAXIMUM_VALUES} values")
        return size


def read_config(path: Path) -> Any:
    """The content of a YAML or (suffix `.json`) JSON file as plain data. Errors: `UserError` naming the file."""
    # YAML 1.1 would read the 1e-05 of a JSON file as text
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
            raise Unfit(f"{key!r} stands twice in one mapping{where}; valid: each key once")
        lines[key] = line


def check_plain(data: Any, parts: tuple[Any, ...] = ()) -> None:
    """Raise a `UserError` naming the key of what is not plain data: mappings, lists, text, numbers, truth, nothing.

    YAML knows dates and bytes besides, and text may hold what no file name and no JSON file can.
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
    """A place in the file as `datasets.digits.budget`."""
    return ".".join(text if (text := str(part)).isprintable() and len(text) <= 80 else shown(part) for part in parts)
