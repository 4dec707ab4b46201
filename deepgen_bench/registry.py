"""Find datasets, models and metrics by name, also those of outside packages, without importing any of them early."""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from deepgen_bench.errors import UserError


class Registry:
    """Names mapped to `module:attribute`, imported on first use.

    An outside package adds a name with an entry point in the group `deepgen_bench.<kind>s`
    (`deepgen_bench.datasets`, `deepgen_bench.models`, `deepgen_bench.metrics`).
    """

    def __init__(self, kind: str, targets: dict[str, str]):
        self.kind = kind
        self._targets = dict(targets)
        self._origins = dict.fromkeys(targets, "built-in")
        for entry in entry_points(group=f"deepgen_bench.{kind}s"):
            if entry.name in targets and entry.value != targets[entry.name]:
                raise UserError(f"entry point {entry.name} = {entry.value}: the {kind} name is already taken")
            if entry.name not in targets:
                self._targets[entry.name] = entry.value
                self._origins[entry.name] = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def target(self, name: str) -> str:
        """The `module:attribute` that `name` stands for."""
        if name not in self._targets:
            raise UserError(f"unknown {self.kind} {name!r}; valid: {', '.join(sorted(self._targets))}")
        return self._targets[name]

    def origin(self, name: str) -> str:
        """Where a known name comes from: "built-in", or the package that registers it and its version."""
        return self._origins[name]

    def __getitem__(self, name: str) -> Any:
        target = self.target(name)
        module, _, attribute = target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"{self.kind} {name} = {target}: cannot be imported ({error})") from error
