"""Entry point of `python -m alexnet_pl` and of the program `alexnet_pl`."""

import signal


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends without a traceback
    from alexnet_pl.cli.main import main as respond

    respond()


if __name__ == "__main__":
    main()
