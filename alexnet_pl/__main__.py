"""Entry point of `python -m alexnet_pl` and of the program `alexnet_pl`."""

import signal
import sys
from importlib.util import find_spec


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends without a traceback
    if find_spec("fcntl") is None:  # checked here, since the imports need it
        print("alexnet_pl: Windows is not supported (no POSIX file locks); use WSL2", file=sys.stderr)
        raise SystemExit(2)
    from alexnet_pl.cli.main import main as respond

    respond()


if __name__ == "__main__":
    main()
