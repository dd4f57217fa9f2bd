"""How onplan was installed, so that a hint can name the command that adds an optional part to it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from onplan.errors import MissingExtraError


def missing_extra(extra: str, purpose: str) -> MissingExtraError:
    """The error for an optional part that is not installed; its hint fits this installation."""
    return MissingExtraError(extra, purpose, install_command(extra))


def install_command(extra: str, prefix: Path | None = None) -> str:
    """The command that adds the optional part ``extra`` to this installation.

    Recognised by the files that each tool leaves in its environment: pipx (``pipx_metadata.json``), uv tool
    (``uv-receipt.toml``), an environment made by uv, which has no pip. pip counts an installed onplan as the
    one that is asked for, editable or not, and adds what is missing.

    Args:
        extra: name of the optional part, as in ``onplan[extra]``.
        prefix: the environment; by default the one that runs.
    """
    import shutil
    from importlib.util import find_spec

    prefix = Path(sys.prefix) if prefix is None else prefix
    wanted = shlex.quote(f"onplan[{extra}]")
    if (prefix / "pipx_metadata.json").exists():
        return f"pipx install --force {wanted}"
    if (prefix / "uv-receipt.toml").exists():
        return f"uv tool install {wanted}"
    python = shlex.quote(sys.executable)
    if find_spec("pip") is None:
        return f"uv pip install --python {python} {wanted}"
    pip = shutil.which("pip")
    if pip and Path(pip).parent == Path(sys.executable).parent:
        return f"pip install {wanted}"
    return f"{python} -m pip install {wanted}"
