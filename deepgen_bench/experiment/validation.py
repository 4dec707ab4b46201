"""Validation of parts of an experiment file: the first fault becomes one line that names its key."""

import sys
from collections.abc import Mapping
from functools import cache
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from deepgen_bench.experiment.config_file import key_text
from deepgen_bench.plugins import Settings
from deepgen_bench.runtime.errors import UserError, shown

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def validated(cls: type[AnyModel], data: Any, key: str) -> AnyModel:
    """`data` as a `cls`. Errors: `UserError` naming the key of the first fault, what was found and what is valid."""
    data = _with_new_names(cls, data, key)
    try:
        model = cls.model_validate(data)
    except ValidationError as error:
        errors = [(_key_of(data, each, key), each) for each in error.errors()]
        # a misspelt key is reported before the key that is missing because of it
        where, first = min(errors, key=lambda located: located[1]["type"] != "extra_forbidden")
        if first["type"] == "extra_forbidden":
            raise UserError(
                f"{where}: unknown key; valid: {', '.join(_fields_at(cls, first['loc'])) or 'none'}"
            ) from None
        # each member of a union reports an error of its own at the same key
        messages = dict.fromkeys(each["msg"][:1].lower() + each["msg"][1:] for at, each in errors if at == where)
        value = "" if first["type"] == "missing" else f", found {shown(first['input'])}"
        raise UserError(f"{where}: {' or '.join(messages)}{value}") from None
    _check_numbers(data, model.model_dump(), key)
    return model


def _with_new_names(cls: type[BaseModel], data: Any, key: str) -> Any:
    """`data` with its keys renamed as `cls.renamed` says, which each gives a warning."""
    renamed = cls.renamed if issubclass(cls, Settings) and isinstance(data, Mapping) else {}
    for old, new in renamed.items():
        if old in data and new not in data:
            _warn(f"warning: {key}.{old}: this key is now called {new}")
            data = {new if name == old else name: value for name, value in data.items()}
    return data


@cache
def _warn(message: str) -> None:
    """Print a warning, each only once."""
    print(message, file=sys.stderr)


def _key_of(data: Any, fault: Any, key: str) -> str:
    """Key of a fault in the experiment file, without the parts that pydantic adds for members of a union."""
    parts: list[Any] = []
    for part in fault["loc"]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            break
        parts.append(part)
    if fault["type"] == "missing":
        parts.append(fault["loc"][-1])
    return ".".join(text for text in (key, key_text(parts)) if text)


def _check_numbers(given: Any, parsed: Any, key: str) -> None:
    """Refuse numbers that pydantic accepts: true and false, infinity, and sizes that single precision cannot hold."""
    if isinstance(given, dict) and isinstance(parsed, dict):
        for name in given:
            _check_numbers(given[name], parsed[name], f"{key}.{name}".removeprefix("."))
    elif isinstance(given, list | tuple) and isinstance(parsed, list | tuple):
        for i, (one, other) in enumerate(zip(given, parsed, strict=True)):
            _check_numbers(one, other, f"{key}.{i}")
    elif isinstance(given, bool) and not isinstance(parsed, bool):
        raise UserError(f"{key}: a number is needed, found {str(given).lower()}")
    elif isinstance(parsed, float) and not isfinite(parsed):
        raise UserError(f"{key}: a finite number is needed, found {shown(given)}")
    elif isinstance(parsed, float) and parsed and not 1e-30 <= abs(parsed) <= 1e30:
        raise UserError(f"{key}: 0 or a number of size 1e-30 to 1e30 is needed, found {shown(given)}")


def _fields_at(cls: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Names of the fields that are valid where an unknown key was found."""
    for part in location[:-1]:
        annotation = cls.model_fields[part].annotation if part in cls.model_fields else None
        for candidate in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                cls = candidate
    return sorted(cls.model_fields)
