"""The results file of a measured study."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deepgen_bench.runtime.errors import UserError
from deepgen_bench.storage.files import read_json, write_json
from deepgen_bench.studies.study import Claim, Row


@dataclass(frozen=True)
class Words:
    """What the report says about a claim."""

    title: str
    statement: str
    source: str
    formula: str
    text: str

    @classmethod
    def of(cls, claim: Claim) -> "Words":
        return cls(claim.title, claim.statement, claim.source, claim.formula, claim.text)


@dataclass(frozen=True)
class Result:
    """A measured study: its registered name, rows, tables for its figure, and the words of a claim."""

    study: str
    rows: list[Row]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    words: Words | None = None


def write_result(path: Path, result: Result) -> None:
    """Write a result as JSON; each row also states its verdict, for readers of the file."""
    rows = [asdict(row) | {"verdict": row.verdict} for row in result.rows]
    write_json(path, asdict(result) | {"rows": rows})


def read_result(path: Path) -> Result:
    """Read what `write_result` wrote. Errors: `UserError` naming a file with other content."""
    data = read_json(path)
    try:
        return TypeAdapter(Result).validate_python(data)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "content"
        raise UserError(
            f"{path}: not the results of a study ({where}: {fault['msg']}); delete the file to run the study again"
        ) from None
