"""Errors caused by wrong input, and how their messages are written."""

from typing import Any


class UserError(Exception):
    """Wrong input. The message is one line: the file or key, what was found, and what is valid.

    The command line prints it without a traceback and exits with status 2. What is not printable (line breaks and
    terminal escapes in a file's name or content) stands in it as Python writes it in a text.
    """

    def __init__(self, message: str):
        super().__init__(printable(message))


def named(key: str, get: Any) -> Any:
    """`get()`, with the key put in front of what it finds wrong."""
    try:
        return get()
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def printable(text: str) -> str:
    """`text` with line breaks, control characters and the like as backslash escapes; letters of any script stay."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = f"a number of {value.bit_length()} bits" if isinstance(value, int) else "a value too large to print"
    return text if len(text) <= 80 else f"{text[:77]}..."
