"""``onplan run``: runs a command whose programs speak OpenAI's API, on the plan.

onplan starts a server in a process beside it and then becomes the command (exec). So the command has the
process id, the terminal, the signals and the exit status that it would have without onplan; the server ends
when the process does, however it ends.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NoReturn

import click

from onplan.cli.session import Session, json_option, pass_session, target_options
from onplan.errors import ConfigurationError

if TYPE_CHECKING:
    from onplan.secret import SecretText
    from onplan.server.beside import Starting
    from onplan.server.options import ServerOptions

_NOT_FOUND, _CANNOT_RUN = 127, 126  # as shells count
# Python ignores these; a program expects them as the system has them.
_IGNORED_BY_PYTHON = ("SIGPIPE", "SIGXFSZ")


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="[OPTIONS] --",
)
@click.option("--show", is_flag=True, help="Print which variables the command would get, and exit.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@target_options
@json_option
@pass_session
def run(session: Session, show: bool, command: tuple[str, ...]) -> None:
    """Run a program that speaks OpenAI's API, on the plan.

    It uses the plan through a server on loopback that is for this command alone and ends with it. Its
    address and key are in the command's environment. For example: onplan run -- llm "Name three birds"
    """
    if show:
        _show(session)
        return
    if not command:
        raise click.UsageError("There is no command to run. For example: onplan run -- llm hi")
    program = _program(command[0])
    _require_servable(session)
    from onplan.client_parts import tokens_of
    from onplan.server.keys import new_key

    key = new_key()
    url, starting = _start_server(session, key)
    with session.client() as client:  # while the server starts
        tokens_of(client).credentials()
    starting.wait()
    _become(program, command, _environment(session, os.environ, url, key))


def _program(name: str) -> str:
    """Where the program is. Raises ConfigurationError with the exit code of a shell."""
    found = shutil.which(name)
    if found:
        return found
    if os.sep in name and Path(name).is_dir():
        raise _cannot_run(f"{name} is a folder.", "Name the program to run.")
    if os.sep in name and Path(name).exists():
        raise _cannot_run(f"{name} may not be executed.", f"If it is a program: `chmod +x {quote(name)}`.")
    message = f"There is no command {name!r}."
    hint = (
        "Check its name and PATH. A function or alias of your shell needs the shell: "
        "`onplan run -- bash -ic 'COMMAND'`."
    )
    if name.startswith("-"):
        message = f"There is no option or command {name!r}."
        hint = "`onplan run --help` lists the options; they stand before `--`, and the command after it."
    elif " " in name:
        hint = f"The quotes make one name of it: leave them out, or run `onplan run -- sh -c {quote(name)}`."
    error = ConfigurationError(message, hint=hint)
    if not name.startswith("-"):
        error.exit_code = _NOT_FOUND
    raise error


def _cannot_run(message: str, hint: str) -> ConfigurationError:
    error = ConfigurationError(message, hint=hint)
    error.exit_code = _CANNOT_RUN
    return error


def _require_servable(session: Session) -> None:
    from onplan.cli.serve import require_server_extra

    if not hasattr(os, "fork"):
        raise ConfigurationError(
            "`onplan run` needs a system that can fork, which Windows is not.",
            hint="Run `onplan serve` in another window, and give your program its address and key.",
        )
    require_server_extra("`onplan run`")

    session.settings.backend.require_servable()


def _start_server(session: Session, key: SecretText) -> tuple[str, Starting]:
    """Begin to start the server; its URL."""
    from onplan.server.beside import ThisProcess, fill_standard_files, start_beside

    options = _server_options(session)
    fill_standard_files()
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        command = ThisProcess()
        keep = (listener.fileno(), *command.descriptors)
        starting = start_beside(
            lambda ready: _serve(session, options, key, listener, command.lives(), ready),
            keep,
            keep_stderr=session.verbose,
        )
        return f"http://127.0.0.1:{listener.getsockname()[1]}", starting


def _server_options(session: Session) -> ServerOptions:
    """What ``[server]`` in config.toml says of parameters, models and sizes. Raises ConfigurationError."""
    from onplan.cli.serve import server_options

    written = server_options(session, {"host": "127.0.0.1"})
    return replace(written, allow_hosts=(), allow_origins=(), drain_seconds=0.0, access_log=False)


def _serve(
    session: Session,
    options: ServerOptions,
    key: SecretText,
    listener: socket.socket,
    lives: int,
    ready: Callable[[], object],
) -> None:
    """Serve until the command has ended."""
    from onplan.cli.serve import upstream_of
    from onplan.server.keys import OF_COMMAND, keys_of
    from onplan.server.process import Plans, run_process

    rules = (options, keys_of(key, where=OF_COMMAND))
    run_process(Plans(lambda: rules, lambda now: upstream_of(session, now), None, [listener]), ready, lives)


def _environment(session: Session, environment: Mapping[str, str], url: str, key: str) -> dict[str, str]:
    from onplan.server.variables import variables_to_remove, variables_to_set

    removed = variables_to_remove(environment, _secrets(session))
    kept = {name: value for name, value in environment.items() if name not in removed}
    return kept | variables_to_set(environment, url, key)


def _secrets(session: Session) -> list[str]:
    """The variables that hold the sign-in itself, or the key of ``onplan serve``."""
    from onplan.cli.serve import KEY_VARIABLE

    scheme, _, location = session.settings.store.partition(":")
    return [KEY_VARIABLE, location] if scheme == "env" else [KEY_VARIABLE]


def _become(program: str, command: tuple[str, ...], environment: Mapping[str, str]) -> NoReturn:
    for name in _IGNORED_BY_PYTHON:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execve(program, command, environment)  # noqa: S606 - what the user asks for
    except OSError as error:
        hint = "Try it without onplan: the shell says more."
        if error.errno == errno.ENOEXEC:
            hint = "If it is a script, its first line must name its interpreter: `#!/bin/sh`."
        raise _cannot_run(f"{program} cannot be run: {error.strerror}.", hint) from None


def _show(session: Session) -> None:
    from onplan.server.variables import variables_to_remove, variables_to_set

    url, key = "http://127.0.0.1:PORT", "sk-onplan-…"
    set_ = variables_to_set(os.environ, url, key)
    removed = variables_to_remove(os.environ, _secrets(session))
    if session.as_json:
        click.echo(json.dumps({"set": set_, "removed": removed}, ensure_ascii=False))
        return
    for name, value in set_.items():
        click.echo(f"{name}={value}")
    for name in removed:
        click.echo(f"unset {name}")
    click.echo(_EXPLAINED, err=True)


_EXPLAINED = """
PORT and the key are new each time. To see them: onplan run -- env

A program that reads no variables takes them as options, from a shell:
  onplan run -- sh -c 'PROGRAM --api-base "$OPENAI_BASE_URL" --api-key "$OPENAI_API_KEY"'
One that has them in a file of its own needs an address and a key that stay: `onplan serve`.\
"""
