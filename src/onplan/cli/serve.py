"""``onplan serve``: answers programs that speak OpenAI's API."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onplan.cli.session import Session, pass_session, target_options
from onplan.errors import ConfigurationError

if TYPE_CHECKING:
    from onplan.secret import SecretText

DEFAULT_PORT = 8399


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="The port to listen on; 0 is any free one.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    help="Write the address to this file, as JSON, once it listens.",
)
@click.option("--show-key", is_flag=True, help="Print the key that clients need, and exit.")
@target_options
@pass_session
def serve(session: Session, host: str, port: int, ready_file: Path | None, show_key: bool) -> None:
    """Serve programs on this machine that speak OpenAI's API."""
    from onplan.config.environment import Environment, home_folder
    from onplan.server.keys import server_key

    key = server_key(home_folder(Environment(os.environ)))
    if show_key:
        click.echo(str(key))
        return
    try:
        import uvicorn  # noqa: F401 - asked whether it is there
    except ModuleNotFoundError:
        from onplan.config.installation import missing_extra

        raise missing_extra("server", "`onplan serve`") from None
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"The server cannot listen at {host}:{port}: {error.strerror}.",
            hint="Choose another `--port`, or 0 for any free one.",
        ) from None
    with listener:
        _run(session, key, listener, ready_file)


def _run(session: Session, key: SecretText, listener: socket.socket, ready_file: Path | None) -> None:
    import asyncio

    import uvloop

    from onplan.async_client import AsyncClient
    from onplan.cli.talk import say
    from onplan.server.app import App
    from onplan.server.running import run, stop_on_signals
    from onplan.service.service import Service

    host, port = listener.getsockname()[:2]
    url = f"http://{host}:{port}"

    def ready() -> None:
        say(f"Listening at {url}/v1. `onplan serve --show-key` prints the key.")
        if ready_file is not None:
            from onplan.config.private_files import write_private_file

            write_private_file(ready_file, f'{{"url": "{url}"}}\n'.encode())

    async def main() -> None:
        options = {"profile": session.profile, "backend": session.backend, "store": session.store_spec}
        async with AsyncClient(**options) as client:  # type: ignore[arg-type]
            await run(App(Service(client), key), [listener], ready, stop_on_signals())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
