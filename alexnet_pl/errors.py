"""UserError: a mistake that the user can correct, reported in one line."""


class UserError(Exception):
    """A mistake that the person can mend: the command prints the message as one line and exits with code 2.

    The message names the file or key and says what to do.
    """


def reason(error: Exception) -> str:
    """The first line of what another program's error says; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
