"""The command line. Data goes to stdout, talk to stderr; exit codes come from the error classes.

This module loads nothing: the list of commands, which is what people look at most, appears at once. click
is loaded for everything else (commands.py), and each command's own module when the command is used.
"""

from __future__ import annotations

import os
import sys

from onplan._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# name: (where it is, what it does)
COMMANDS = {
    "login": ("onplan.cli.login:login", "Sign in with a ChatGPT plan."),
    "logout": ("onplan.cli.logout:logout", "Sign out: revoke the tokens and forget them."),
    "status": ("onplan.cli.status:status", "Show who is signed in, and until when."),
    "import": ("onplan.cli.import_:import_", "Use the sign-in of the Codex CLI, or of another store."),
    "credentials": ("onplan.cli.credentials:credentials", "Move a sign-in to another machine of yours."),
    "profiles": ("onplan.cli.profiles:profiles", "List, choose and forget profiles."),
    "models": ("onplan.cli.models:models", "List the models that the plan has now."),
    "ask": ("onplan.cli.ask:ask", "Ask a model; the answer streams to stdout."),
    "token": ("onplan.cli.token:token", "Print a fresh access token, for other tools."),
    "doctor": ("onplan.cli.doctor:doctor", "Examine all that a request depends on."),
    "emulator": ("onplan.cli.emulator:emulator", "Play the services on loopback, for tests."),
    "demo": ("onplan.cli.demo:demo", "See it all at work, against the emulator."),
}

_WIDTH = max(map(len, COMMANDS))

# As click prints it; a test compares.
_HELP = """\
Usage: onplan [OPTIONS] COMMAND [ARGS]...

  Run your own Python programs on the ChatGPT plan you already pay for.

Options:
  --version      Show the version and exit.
  -v, --verbose  Log what happens to stderr, without secrets.
  -h, --help     Show this message and exit.

Commands:
""" + "".join(f"  {name:<{_WIDTH}}  {text}\n" for name, (_, text) in COMMANDS.items())

# Set by the shell that wants its script, or the words that fit; click answers.
_COMPLETION = "_ONPLAN_COMPLETE"

_AT_ONCE: dict[tuple[str, ...], str] = {
    (): _HELP,
    ("--help",): _HELP,
    ("-h",): _HELP,
    ("--version",): f"onplan {__version__}\n",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a command and exits with its code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed: what would go there goes nowhere
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for as long as we run
    given = sys.argv[1:] if arguments is None else arguments
    at_once = _AT_ONCE.get(tuple(given))
    if at_once is not None and _COMPLETION not in os.environ:
        sys.stdout.write(at_once)
        sys.exit(0)
    _run(given)


def _run(arguments: Sequence[str]) -> None:
    from io import TextIOWrapper

    from onplan.cli.commands import cli
    from onplan.cli.session import Session

    session = Session()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # an answer is not lost for a character the terminal lacks
            stream.reconfigure(errors="replace")
    try:
        sys.exit(cli.main(list(arguments), prog_name="onplan", standalone_mode=False, obj=session) or 0)
    except Exception as error:  # noqa: BLE001 - every failure ends in one sentence and an exit code
        from onplan.cli.failures import report

        # The parser gives up at the first unknown option, and may not have come to this one.
        session.as_json = session.as_json or "--json" in arguments
        sys.exit(report(error, session))
    except KeyboardInterrupt:
        sys.exit(130)
