"""The command line: data on stdout, everything else on stderr, exit codes from the error classes.

This module imports nothing, so that the list of commands appears at once. click is imported for everything
else (commands.py), and each command's own module when the command is used.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper  # which Python itself has loaded

from onplan._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# name: (module and function, summary)
COMMANDS = {
    "login": ("onplan.cli.login:login", "Sign in with a ChatGPT plan."),
    "logout": ("onplan.cli.logout:logout", "Sign out: revoke the tokens and delete them."),
    "status": ("onplan.cli.status:status", "Show the account, and how long its token lasts."),
    "import": ("onplan.cli.import_:import_", "Use the sign-in of the Codex CLI or of another store."),
    "credentials": ("onplan.cli.credentials:credentials", "Move a sign-in to another machine."),
    "profiles": ("onplan.cli.profiles:profiles", "List, choose and remove profiles."),
    "usage": ("onplan.cli.usage:usage", "Show what the plan has left, and when it resets."),
    "models": ("onplan.cli.models:models", "List the models that the plan offers now."),
    "ask": ("onplan.cli.ask:ask", "Ask a model; the answer streams to stdout."),
    "chat": ("onplan.cli.chat.command:chat", "Talk with a model at the terminal."),
    "image": ("onplan.cli.image:image", "Generate an image from a prompt, or from other images."),
    "batch": ("onplan.cli.batch:batch", "Answer a file of requests, in OpenAI's batch format."),
    "serve": ("onplan.cli.serve:serve", "Serve programs on this machine that speak OpenAI's API."),
    "run": ("onplan.cli.run:run", "Run a program that speaks OpenAI's API, on the plan."),
    "token": ("onplan.cli.token:token", "Print a fresh access token, for other tools."),
    "doctor": ("onplan.cli.doctor:doctor", "Check everything that a request depends on."),
    "emulator": ("onplan.cli.emulator:emulator", "Run local imitations of the services, for tests."),
    "demo": ("onplan.cli.demo:demo", "Show everything at work, with the emulator."),
}

_WIDTH = max(map(len, COMMANDS))

# The same text as click prints; a test compares them.
_HELP = """\
Usage: onplan [OPTIONS] COMMAND [ARGS]...

  Run your own Python programs on the ChatGPT plan you already pay for.

Options:
  --version      Show the version and exit.
  -v, --verbose  Log what happens to stderr, without secrets.
  -h, --help     Show this message and exit.

Commands:
""" + "".join(f"  {name:<{_WIDTH}}  {text}\n" for name, (_, text) in COMMANDS.items())

INTERRUPTED = 130  # 128 + SIGINT, as shells count

# The shell sets it to ask for its completion script or for matching words; click answers.
_COMPLETION = "_ONPLAN_COMPLETE"

_AT_ONCE: dict[tuple[str, ...], str] = {
    (): _HELP,
    ("--help",): _HELP,
    ("-h",): _HELP,
    ("--version",): f"onplan {__version__}\n",
}


def main(arguments: Sequence[str] | None = None, program: str = "onplan") -> None:
    """The entry point: runs a command and exits with its code.

    Args:
        arguments: those of the command line; without them, the process's own.
        program: what a person types to run this, in the command line of another program.
    """
    try:
        _begin(arguments, program)
    except KeyboardInterrupt:  # also while a module was imported, or a failure was reported
        sys.exit(INTERRUPTED)


def _begin(arguments: Sequence[str] | None, program: str) -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open until the process ends
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):  # a character that the terminal lacks loses no answer
            stream.reconfigure(errors="replace")  # now, for it fails where something could not be written
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["help"]:  # onplan help, onplan help COMMAND, onplan help help
        given = [*given[2 if given[1:2] == ["help"] else 1 :], "--help"]
    at_once = _AT_ONCE.get(tuple(given)) if program == "onplan" else None
    if at_once is not None and _COMPLETION not in os.environ:
        try:
            sys.stdout.write(at_once)
            sys.stdout.flush()
        except OSError:
            pass  # a full disk, or a reader that has ended: click fails in the same way, and reports it
        else:
            sys.exit(0)
    _run(given, program)


def _run(arguments: list[str], program: str) -> None:
    from onplan.cli.commands import cli
    from onplan.cli.session import Session

    if program != "onplan":
        from onplan.cli.talk import run_as

        run_as(program)
    session = Session()
    try:
        sys.exit(cli.main(arguments, prog_name=program, standalone_mode=False, obj=session) or 0)
    except Exception as error:  # noqa: BLE001 - every failure ends in one sentence and an exit code
        from onplan.cli.failures import report

        # The parser stops at the first unknown option, perhaps before it has seen --json.
        session.as_json = session.as_json or "--json" in arguments
        sys.exit(report(error, session))
