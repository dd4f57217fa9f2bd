"""``onplan serve``: answers programs that speak OpenAI's API."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.cli.talk import say

if TYPE_CHECKING:
    from onplan.secret import SecretText
    from onplan.server.keys import Keys
    from onplan.server.options import ServerOptions
    from onplan.server.process import Plans
    from onplan.server.sharing import Share
    from onplan.server.upstream import Upstream

# The variable with a key of the person's own, used instead of the generated one.
KEY_VARIABLE = "ONPLAN_SERVER_KEY"
_AT_SIGHUP = "after SIGHUP: `kill -HUP PID`, or `systemctl --user reload onplan`"
_Command = TypeVar("_Command", bound=Callable[..., Any])

_OF_THE_SERVER = (
    click.option("--host", metavar="ADDRESS", help="The address to listen on (default: 127.0.0.1)."),
    click.option(
        "--port", type=click.IntRange(0, 65_535), help="The port (default: 8399); 0 is any free one."
    ),
    click.option(
        "--allow-remote", is_flag=True, default=None, help="Permit an address that other machines reach."
    ),
    click.option(
        "--allow-host", "allow_hosts", multiple=True, metavar="NAME", help="Answer to this name, too."
    ),
    click.option(
        "--allow-origin",
        "allow_origins",
        multiple=True,
        metavar="ORIGIN",
        help="Let pages of this origin ask.",
    ),
    click.option("--workers", type=click.IntRange(1), help="How many processes serve (default: 1)."),
    click.option(
        "--strict", is_flag=True, default=None, help="Refuse parameters that the backend does not take."
    ),
    click.option(
        "--access-log", is_flag=True, default=None, help="Log each request to stderr, without bodies."
    ),
)
_OF_KEYS = (
    click.option("--show-key", is_flag=True, help="Print the server's key, and exit."),
    click.option("--add-key", metavar="NAME", help="Make a key for one client, print it, and exit."),
    click.option("--remove-key", metavar="NAME", help="Remove the key of a client, and exit."),
    click.option("--list-keys", is_flag=True, help="List the clients that have keys, and exit."),
    click.option("--requests-per-minute", type=click.IntRange(1), help="With --add-key: a limit."),
    click.option("--tokens-per-day", type=click.IntRange(1), help="With --add-key: a limit."),
    click.option(
        "--window-share",
        type=click.FloatRange(0, 1, min_open=True),
        help="With --add-key: how much of each usage window of the plan it may use.",
    ),
)


def _with(options: tuple[Callable[[_Command], _Command], ...]) -> Callable[[_Command], _Command]:
    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command()
@_with(_OF_THE_SERVER)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    help="Write the address to this file, as JSON, once it listens.",
)
@_with(_OF_KEYS)
@click.option("--install", is_flag=True, help="Write units for systemd that start the server, and exit.")
@target_options
@json_option
@pass_session
def serve(session: Session, /, ready_file: Path | None, install: bool, **given: Any) -> None:
    """Serve programs on this machine that speak OpenAI's API.

    They send the key that --show-key prints. Runs until Ctrl-C; a second one ends it at once.
    """
    of_keys = {name: given.pop(name) for name in _NAMES_OF_KEYS}
    _require_one(install=install, **{name: of_keys[name] for name in _NAMES_OF_KEYS[:4]})
    if _manage_keys(session, of_keys):
        return
    options = server_options(session, given)
    require_server_extra("`onplan serve`")

    session.settings.backend.require_servable()
    if install:
        from onplan.cli.serve_install import install_units

        install_units(session, options, given)
        return
    _keys(session, options)  # so that what is wrong with them is said before anything listens
    _run(session, options, given, ready_file)


def _require_one(**asked: Any) -> None:
    """Raise UsageError if several things are to be done before the command exits."""
    names = [f"--{name.replace('_', '-')}" for name, value in asked.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"Give one of {' and '.join(names)} at a time.")


_NAMES_OF_KEYS = (
    "show_key",
    "add_key",
    "remove_key",
    "list_keys",
    "requests_per_minute",
    "tokens_per_day",
    "window_share",
)


def _home(session: Session) -> Path:
    from onplan.config.environment import no_home

    if session.files.folder is None:
        raise no_home()
    return session.files.folder


def _given_key() -> SecretText | None:
    """The key that the person has chosen, if there is one."""
    from onplan.secret import SecretText

    given = os.environ.get(KEY_VARIABLE)
    return SecretText(given) if given else None


def _manage_keys(session: Session, given: Mapping[str, Any]) -> bool:
    """Do what the options for keys ask; whether there was any."""
    from onplan.server import keys
    from onplan.server.limits import KeyLimits

    limits = {name: given[name] for name in ("requests_per_minute", "tokens_per_day", "window_share")}
    if given["add_key"] is None and any(limit is not None for limit in limits.values()):
        raise click.UsageError("Limits are given together with --add-key NAME.")
    if given["show_key"]:
        _print_key(session, keys.OWNER, keys.server_key(_home(session), _given_key()))
    elif given["add_key"] is not None:
        key = keys.add_key(_home(session), given["add_key"], KeyLimits(**limits))
        _print_key(session, given["add_key"], key)
        say(f"It is shown only this once. A running server accepts it {_AT_SIGHUP}.")
    elif given["remove_key"] is not None:
        keys.remove_key(_home(session), given["remove_key"])
        _forget_usage(_home(session), given["remove_key"])
        if session.as_json:
            click.echo(json.dumps({"removed": given["remove_key"]}))
        say(f"Removed. A running server refuses it only {_AT_SIGHUP}.")
    elif given["list_keys"]:
        _list_keys(session)
    else:
        return False
    return True


def _print_key(session: Session, name: str, key: SecretText) -> None:
    click.echo(json.dumps({"name": name, "key": str(key)}) if session.as_json else str(key))


def _forget_usage(home: Path, name: str) -> None:
    """A key that is made later for the same name begins with nothing used."""
    from onplan.server.ledger import FILE, Ledger

    ledger = Ledger(home / FILE)
    ledger.forget(name)
    ledger.close()


def _list_keys(session: Session) -> None:
    import msgspec

    from onplan.server.keys import named_keys

    rows = [{"name": key.name, **msgspec.to_builtins(key.limits)} for key in named_keys(_home(session))]
    if session.as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        limits = ", ".join(f"{name} {value}" for name, value in row.items() if name != "name")
        click.echo(f"{row['name']:<20} {limits or 'no limits'}")


def server_options(session: Session, given: Mapping[str, Any]) -> ServerOptions:
    """The options, from the command line and ``[server]`` in config.toml. Raises ConfigurationError."""
    import msgspec

    from onplan.server.options import ServerOptions

    written = msgspec.structs.asdict(session.files.written.server)
    said = {name: value for name, value in given.items() if value not in (None, ())}
    if session.verbose:
        said["access_log"] = True
    return ServerOptions(**{name: value for name, value in (written | said).items() if value is not None})


def _keys(session: Session, options: ServerOptions) -> Keys:
    """All keys. Raises ConfigurationError."""
    from onplan.errors import ConfigurationError
    from onplan.server.keys import CHOSEN, SHOWN, keys_of, named_keys, server_key
    from onplan.server.options import is_loopback

    own, home = _given_key(), _home(session)
    if own is None and not is_loopback(options.host):
        raise ConfigurationError(
            f"A server that other machines reach needs a key that you have chosen, in {KEY_VARIABLE}.",
            hint=f'To choose the generated one: `export {KEY_VARIABLE}="$(onplan serve --show-key)"`.',
        )
    return keys_of(server_key(home, own), named_keys(home), SHOWN if own is None else CHOSEN)


def require_server_extra(purpose: str) -> None:
    """Raise MissingExtraError if the packages of the server are not installed."""
    from importlib.util import find_spec

    # Not imported: prometheus_client decides then whether there are several processes.
    if not all(map(find_spec, ("httptools", "prometheus_client", "uvicorn", "uvloop", "websockets"))):
        from onplan.config.installation import missing_extra

        raise missing_extra("server", purpose)


def _run(session: Session, options: ServerOptions, given: Mapping[str, Any], ready_file: Path | None) -> None:
    from onplan.cli.logs import log_server_to_stderr
    from onplan.server.ledger import FILE
    from onplan.server.process import Plans, run_process
    from onplan.server.sockets import address_of, open_listeners

    log_server_to_stderr(requests=options.access_log)
    listeners = open_listeners(options, os.environ)
    url = address_of(listeners[0])

    def read_rules() -> tuple[ServerOptions, Keys]:
        fresh = _as_before(session)
        now = server_options(fresh, given)
        return now, _keys(fresh, now)

    def ready() -> None:
        _announce(session, options, url)
        told = json.dumps({"url": url, "pid": os.getpid()})
        if session.as_json:
            click.echo(told)
        if ready_file is not None:
            from onplan.config.private_files import write_private_file

            write_private_file(ready_file, told.encode() + b"\n")

    def plans(shared: Path | None) -> Plans:
        return Plans(
            read_rules, lambda now: upstream_of(session, now, shared), _home(session) / FILE, listeners
        )

    if options.workers == 1:
        run_process(plans(None), ready)
    else:
        sys.exit(_run_workers(plans, options, ready))


def _run_workers(
    plans: Callable[[Path | None], Plans], options: ServerOptions, ready: Callable[[], None]
) -> int:
    import shutil
    import tempfile

    from onplan.server.process import run_process
    from onplan.server.workers import Workers

    with (  # which others cannot read
        tempfile.TemporaryDirectory(prefix="onplan-server-") as metrics,
        tempfile.TemporaryDirectory(prefix="onplan-server-", dir=_in_memory()) as responses,
    ):
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics  # before prometheus_client is imported
        from onplan.server.metrics import worker_ended

        first = os.getpid()

        def work(lives: int, share: Share) -> None:
            try:
                run_process(plans(Path(responses)), lambda: None, lives, share)
            finally:
                if os.getppid() != first:  # it was killed, and cannot tidy up
                    for folder in (metrics, responses):
                        shutil.rmtree(folder, ignore_errors=True)

        return Workers(options.workers, work, options.drain_seconds, worker_ended).run(ready)


def _in_memory() -> str | None:
    """Linux's folder in memory, for what comes and goes often: a busy disk would hold up the workers."""
    memory = "/dev/shm"  # noqa: S108 - a folder with a name of its own is made there
    return memory if os.access(memory, os.W_OK | os.X_OK) else None


def _as_before(session: Session) -> Session:
    """A session with the same options, which reads the files anew."""
    fresh = Session()
    fresh.verbose = session.verbose
    fresh.profile, fresh.backend, fresh.store_spec = session.profile, session.backend, session.store_spec
    return fresh


def upstream_of(session: Session, options: ServerOptions, shared: Path | None = None) -> Upstream:
    """What stands behind a server; ``shared`` is the folder in which its workers keep responses."""
    from onplan.server.upstream import Upstream
    from onplan.service.options import ServiceOptions
    from onplan.service.response_folder import FolderStore

    return Upstream(
        session.settings,
        session.store,
        ServiceOptions(strict=options.strict, aliases=options.aliases),
        {"profile": session.profile, "backend": session.backend, "store": session.store_spec},
        FolderStore(shared) if shared else None,
    )


def _announce(session: Session, options: ServerOptions, url: str) -> None:
    from onplan.server.options import is_loopback

    key = "`onplan serve --show-key` prints the key that clients need."
    if _given_key() is not None:
        key = f"Clients need the key that is in {KEY_VARIABLE} here."
    say(f"Listening at {url}/v1. {key}")
    if not is_loopback(options.host):
        say(
            f"Other machines reach {options.host}: each that has a key uses your plan, and without a proxy "
            "that speaks TLS, keys and questions can be read on the way.",
            label="Note: ",
        )
