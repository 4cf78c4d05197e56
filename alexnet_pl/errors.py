"""UserError: a mistake that the user can correct, reported in one line."""


class UserError(Exception):
    """A mistake that the user can correct: the command prints the message as one line and exits with code 2.

    The message names the file or key and says what to do.
    """


def reason(error: Exception) -> str:
    """First line of another library's error message, or its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
