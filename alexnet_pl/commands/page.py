"""`page`: start the local demo app."""

import socket
from pathlib import Path
from typing import Any

from alexnet_pl.commands.run_options import PageOptions
from alexnet_pl.config.overrides import quote_value
from alexnet_pl.config.run_config import read_own_keys
from alexnet_pl.console import mask_lines
from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import CONFIG, is_run
from alexnet_pl.webapp.app import ImageService, make_application
from alexnet_pl.webapp.box_service import BoxService
from alexnet_pl.webapp.service import DemoService


def page(runs: list[Path], options: PageOptions) -> None:
    if len(runs) != 1:
        raise UserError("page: give one run folder: page RUN [port=7860] [host=127.0.0.1]")
    check_port(options.host, options.port)
    serve(open_service(runs[0], options), options.host, options.port)


def open_service(run: Path, options: PageOptions) -> ImageService:
    """Load the network of a run, either a box network or a classifier."""
    if is_run(run) and read_own_keys(run / CONFIG).get("boxes"):
        if options.ckpt_path != "last" or options.codes:
            raise UserError("page: a run of boxes is opened with its last checkpoint and has no codes")
        return BoxService(run, options.root)
    overrides = [f"data.root={quote_value(str(options.root))}"] if options.root else []
    return DemoService(run, options.ckpt_path, options.codes or "", *overrides)


def check_port(host: str, port: int) -> None:
    """Raise UserError if the address cannot be used. Called before a network is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as test:
            test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            test.bind(address)
    except socket.gaierror as error:
        raise UserError(f"host={host}: {error.strerror}") from error
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); choose another port=NUMBER") from error


def serve(service: ImageService, host: str, port: int) -> None:
    """Serve the demo app until Ctrl-C."""
    app = make_application(service, host)
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                print(f"{mask_lines(service.description)}\n→ http://{host}:{port}, until Ctrl-C", flush=True)

    Server(uvicorn.Config(app, host=host, port=port, log_level="warning", limit_concurrency=100)).run()
