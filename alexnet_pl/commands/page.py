"""`page`: start the local demo app."""

import socket
import tempfile
from pathlib import Path
from typing import Any

from alexnet_pl.commands.options import PageOptions
from alexnet_pl.errors import UserError
from alexnet_pl.webapp.app import make_application
from alexnet_pl.webapp.service import DemoService


def page(runs: list[Path], options: PageOptions) -> None:
    if len(runs) != 1:
        raise UserError("page: give one run folder: page RUN [port=7860] [host=127.0.0.1]")
    check_port(options.host, options.port)
    overrides = [f"data.root={options.root}"] if options.root else []
    lookup = DemoService(runs[0], options.ckpt_path, options.codes or "", *overrides)
    with tempfile.TemporaryDirectory(prefix="alexnet_pl-page-") as folder:
        serve(lookup, options.host, options.port, Path(folder))


def check_port(host: str, port: int) -> None:
    """Raise UserError if the address cannot be used, before a network is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as test:
            test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            test.bind(address)
    except socket.gaierror as error:
        raise UserError(f"host={host}: {error.strerror}") from error
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); choose another port=NUMBER") from error


def serve(lookup: DemoService, host: str, port: int, folder: Path) -> None:
    """Serve the demo app until Ctrl-C. `folder` holds uploads while it runs."""
    app = make_application(lookup, folder, host)
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                print(f"{lookup.description}\n→ http://{host}:{port}, until Ctrl-C", flush=True)

    Server(uvicorn.Config(app, host=host, port=port, log_level="warning")).run()
