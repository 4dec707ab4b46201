"""The one exception a user should ever see."""


class UserError(Exception):
    """Wrong input. The message is one line: the file or key, what was found, and what is valid.

    The command line prints it without a traceback and exits with status 2.
    """
