"""What is loaded when: start-up stays fast because nothing is imported that is not needed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from onplan.emulator import Emulator

HEAVY = {
    "aiohttp",
    "asyncio",
    "cryptography",
    "filelock",
    "http.server",
    "httptools",
    "httpx2",
    "jwt",
    "msgspec",
    "rich",
    "socket",
    "ssl",
    "tempfile",
    "uvicorn",
    "onplan.chat.request",
    "onplan.images",
    "onplan.mapping",
    "onplan.oauth.siwc",
}


@dataclass
class Case:
    """What is run, and what of the heavy modules it may load."""

    code: str
    allowed: frozenset[str] = frozenset()
    third_party: frozenset[str] = frozenset()


CASES = [
    Case("import onplan"),
    Case("import onplan; onplan.__version__; dir(onplan)"),
    Case("import onplan; onplan.OnplanError"),
    Case(
        "import onplan; onplan.Client",
        allowed=frozenset({"msgspec"}),
        third_party=frozenset({"msgspec", "typing_extensions"}),
    ),
    Case("from onplan.cli import main; main(['--help'])"),
    Case(
        "from onplan.cli import main; main(['status'])",
        allowed=frozenset({"filelock", "msgspec"}),
        third_party=frozenset({"click", "filelock", "msgspec", "platformdirs", "typing_extensions"}),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_nothing_is_loaded_before_it_is_needed(signed_in: Emulator, case: Case) -> None:
    """Each way in loads its own and nothing else; `import onplan` loads no third-party module at all."""
    loaded = _modules(case.code) - _modules("pass")

    assert loaded & HEAVY <= case.allowed
    installed = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"onplan"}
    assert {name for name in installed if not name.startswith("_")} <= case.third_party


def test_a_client_that_sends_through_httptools_loads_no_other_http_library(signed_in: Emulator) -> None:
    """One is enough for an answer; httpx2 is for a refresh. No telemetry is loaded either."""
    code = (
        "import asyncio, onplan\n"
        "async def main():\n"
        "    async with onplan.AsyncClient(transport='sse') as client:\n"
        "        assert (await client.complete('hi')).text\n"
        "asyncio.run(main())"
    )

    loaded = _modules(code)
    assert "httptools" in loaded
    assert not loaded & {
        "aiohttp",
        "httpx2",
        "httpcore2",
        "anyio",
        "python_socks",
        "opentelemetry",
        "onplan.telemetry",
    }


def _modules(code: str) -> set[str]:
    script = (
        "import sys, io\n"
        "out, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO())\n"
        f"try:\n exec({code!r})\nexcept SystemExit: pass\n"
        "import json; out.write(json.dumps(sorted(sys.modules)))"
    )
    return set(json.loads(subprocess.check_output([sys.executable, "-c", script], timeout=60)))
