"""The exception for invalid input, and how values are printed in its messages."""

from typing import Any


class UserError(Exception):
    """Invalid input. The message is one line: the file or key, what was found, and what is valid.

    The command line prints it without a traceback and exits with status 2. Unprintable characters (line breaks and
    terminal escapes in a file's name or content) are escaped as in a Python string literal.
    """

    def __init__(self, message: str):
        super().__init__(printable(message))


def named(key: str, get: Any) -> Any:
    """Return `get()`; prefix the message of a `UserError` that it raises with `key`."""
    try:
        return get()
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def printable(text: str) -> str:
    """`text` with unprintable characters (line breaks, control characters) as backslash escapes."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shown(value: Any) -> str:
    """The `repr` of a value for a message, truncated to 80 characters."""
    try:
        text = repr(value)
    except ValueError:  # an integer with thousands of digits
        text = f"a number of {value.bit_length()} bits" if isinstance(value, int) else "a value too large to print"
    return text if len(text) <= 80 else f"{text[:77]}..."
