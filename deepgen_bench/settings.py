"""Base of every settings class: what the experiment file may say, validated before anything runs."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def not_identity(**kwargs: Any) -> Any:
    """A field that changes where or how fast, never which numbers: it stays out of the settings hash."""
    return Field(json_schema_extra={"identity": False}, **kwargs)


class Settings(BaseModel):
    """Immutable, with unknown keys refused. Importing a settings class must not import torch."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    def identity(self) -> dict[str, Any]:
        """The settings that change numbers, as plain JSON data."""
        hidden = {
            name
            for name, field in type(self).model_fields.items()
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("identity") is False
        }
        return self.model_dump(mode="json", exclude=hidden)
