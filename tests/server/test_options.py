"""Options: what docs/server.md shows is what there is, and its values are the defaults."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from onplan.config.config_file import ServerTable
from onplan.errors import ConfigurationError
from onplan.server.options import ServerOptions, is_loopback

PAGE = Path(__file__).parents[2] / "docs/server.md"


def test_the_page_shows_every_option_with_its_default() -> None:
    """The table in docs/server.md has each key of [server] but one, and the value that it has without it."""
    [block] = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    shown = tomllib.loads(block)["server"]
    shown.pop("aliases")
    defaults = asdict(ServerOptions()) | {"allow_hosts": [], "allow_origins": []}

    assert {name: defaults[name] for name in shown} == shown
    assert set(ServerTable.__struct_fields__) - set(shown) == {"aliases", "allow_remote"}
    assert set(ServerTable.__struct_fields__) == set(asdict(ServerOptions()))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")],
        *[(host, False) for host in ("0.0.0.0", "::", "192.168.1.1", "::ffff:192.168.1.1", "fe80::1")],
    ],
)
def test_what_is_loopback(host: str, *, loopback: bool) -> None:
    """An address that another machine could reach is none."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("host", ["example.com", "", "127.0.0.1:80", "127.1", "0", "0x7f.0.0.1"])
def test_an_address_is_written_out(host: str) -> None:
    """Names, and short forms that some programs read in another way, are refused."""
    with pytest.raises(ConfigurationError):
        is_loopback(host)
