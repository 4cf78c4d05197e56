"""Entry point of `python -m alexnet_pl` and of the program `alexnet_pl`."""

import os
import signal
import sys
from importlib.util import find_spec


def main() -> None:
    open_closed_streams()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends without a traceback
    if find_spec("fcntl") is None:  # checked here, since the imports need it
        print("alexnet_pl: Windows is not supported (no POSIX file locks); use WSL2", file=sys.stderr)
        raise SystemExit(2)
    from alexnet_pl.cli.main import main as respond

    respond()


def open_closed_streams() -> None:
    """Open the null device where the caller closed a standard stream (`>&-`): the next file opened would get its
    descriptor, to which libraries print."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)  # for the processes that this one starts
            setattr(sys, name, stream)


if __name__ == "__main__":
    main()
