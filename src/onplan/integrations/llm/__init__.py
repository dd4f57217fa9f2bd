"""A plug-in of Simon Willison's ``llm``: the models of your plan on its command line and in its Python API.

::

    llm install llm-onplan
    llm onplan login
    llm -m onplan/gpt-5.5 "Name three birds"

``llm`` loads this module each time that it starts, so it imports nothing else of onplan, and reads one small
file (``names``). Needs ``llm`` 0.33, the first that keeps a sealed thought without a summary between turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    import llm
except ImportError:
    from onplan.integrations.missing import MissingFrameworkError

    raise MissingFrameworkError("llm", "llm") from None

from onplan.integrations.llm.models import AsyncOnplanModel, OnplanModel
from onplan.integrations.llm.names import DEFAULT_MODEL, registered


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Register the models that are known, without asking for them."""
    for profile, names in registered(llm.user_dir()).items():
        for name in names:
            aliases = ("onplan",) if profile is None and name == DEFAULT_MODEL else ()
            register(OnplanModel(name, profile), AsyncOnplanModel(name, profile), aliases=aliases)


@llm.hookimpl
def register_tools(register: Callable[..., None]) -> None:
    """Register ``OnplanSearch``."""
    from onplan.integrations.llm.searching import OnplanSearch

    register(OnplanSearch)


@llm.hookimpl
def register_commands(cli: Any) -> None:
    """Add ``llm onplan``."""
    import click

    @cli.command(
        name="onplan",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def onplan(arguments: tuple[str, ...]) -> None:
        """Sign in with a ChatGPT plan, see what it has left, list its models."""
        from onplan.integrations.llm.command import run

        run(arguments)
