"""The environment's proxies are those that urllib finds, as they are at the time of each request."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from urllib.request import getproxies

import pytest

from onplan.config.environment import system_proxies

ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "none": {},
    "lower case": {"https_proxy": "http://a:1", "no_proxy": "x,y"},
    "upper case": {"HTTPS_PROXY": " http://b:1 ", "ALL_PROXY": "socks5://c:1", "NO_PROXY": "*"},
    "lower case counts": {"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"},
    "an empty one hides the other": {"https_proxy": "", "HTTPS_PROXY": "http://b:1"},
    "both cases": {"all_proxy": "http://a:1", "HTTP_PROXY": "http://b:1"},
}


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for kind in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{kind}_proxy", raising=False)
        monkeypatch.delenv(f"{kind}_proxy".upper(), raising=False)
    return monkeypatch


@pytest.mark.skipif(sys.platform == "win32", reason="variables have no case there")
def test_a_changed_variable_counts_at_once(clean: pytest.MonkeyPatch) -> None:
    """After each change the proxies are those that urllib finds then, and again those of before."""
    for environment in [*ENVIRONMENTS.values(), *ENVIRONMENTS.values()]:
        with clean.context() as changed:
            for name, value in environment.items():
                changed.setenv(name, value)

            assert system_proxies() == {kind: value.strip() for kind, value in getproxies().items()}


def test_passwords_of_proxies_are_not_shown(clean: pytest.MonkeyPatch) -> None:
    """The URL of a proxy may hold a password, so it has no printed form."""
    clean.setenv("https_proxy", "http://me:marked@127.0.0.1:1")

    assert "marked" not in repr(system_proxies())
