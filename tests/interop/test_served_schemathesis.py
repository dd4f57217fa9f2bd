"""schemathesis, as it is released: tries the server with requests that it makes from the OpenAPI document.

It sends right and wrong values in every place, goes from one answer to requests about it, and holds each
answer against the document.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from .served import served

SCHEMATHESIS = os.environ.get("SCHEMATHESIS")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not SCHEMATHESIS, reason="SCHEMATHESIS does not name it; run `make interop`"),
]

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance", "allow_header_conformance"),
    "ignored_auth",
)
SECONDS = 40


@pytest.mark.stranger("schemathesis", "every answer is as the OpenAPI document says")
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """No failure of the server, no answer that is not in the document, and no path that asks for no key."""
    with served(tmp_path) as server:
        command = [
            *(str(SCHEMATHESIS), "run", f"{server.base_url.removesuffix('/v1')}/openapi.json"),
            *("--header", f"Authorization: Bearer {server.key}", "--checks", ",".join(CHECKS)),
            *("--max-time", str(SECONDS), "--seed", "1", "--continue-on-failure", "--no-color"),
            *("--suppress-health-check", "all", "--warnings", "off", "--workers", "1"),
        ]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=180, env=environment, cwd=tmp_path, check=False
        )
    tried = re.search(r"Tested: (\d+)", done.stdout)

    assert done.returncode == 0, done.stdout + done.stderr
    assert tried
    assert int(tried[1]) >= 14
