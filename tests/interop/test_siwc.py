"""Sign in with ChatGPT: a real browser signs in to us, and somebody else's client to the emulator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Options
from onplan.sign_in.login import sign_in_with_browser
from onplan.stores import open_store

CHROMIUM = shutil.which("chromium")
PEER = os.environ.get("SIWC_PEER_PYTHON")
SCREENSHOT = os.environ.get("ONPLAN_SCREENSHOT")  # where the docs' picture is to be drawn anew

pytestmark = pytest.mark.interop

# What keeps Chromium from looking for its maker's servers.
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.mark.stranger("Chromium")
@pytest.mark.skipif(
    not CHROMIUM, reason="Chromium is not installed; `make interop` does that as root on Debian"
)
@pytest.mark.parametrize(("plan", "workspace"), [(True, "Personal"), (False, "Team")])
def test_a_real_browser_signs_in(
    point_at: Any, monkeypatch: pytest.MonkeyPatch, plan: bool, workspace: str
) -> None:
    """A person chooses on the consent page, and lands on our page, without the code in the address bar."""
    playwright = pytest.importorskip("playwright.sync_api")
    monkeypatch.setenv("ONPLAN_BACKEND", "chatgpt-plan")
    with Emulator(Options(interactive=True)) as emulator, playwright.sync_playwright() as running:
        point_at(emulator)
        browser = running.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 720, "height": 420})

        def person(url: str) -> None:
            page.goto(url)
            page.get_by_label(workspace).check()
            page.get_by_label("Let onplan use my ChatGPT plan").set_checked(plan)
            page.get_by_role("button", name="Continue").click(no_wait_after=True)

        settings = load_settings()
        store = open_store(settings.store)
        credentials = sign_in_with_browser(settings, store, lambda started: None, browse=person)
        remember_profile(settings)
        page.get_by_role("heading", name="Signed in").wait_for()
        assert "code=" not in page.url
        if SCREENSHOT and plan:
            page.screenshot(path=SCREENSHOT)
        browser.close()

        assert settings.backend.is_permitted(credentials) is plan
        clients = emulator.world.registry.clients
        assert clients[credentials.client_id].workspace == workspace
        with onplan.Client() as client:
            if plan:
                assert client.complete("hi").text == "You said: hi"
            else:
                with pytest.raises(onplan.PlanNotPermittedError):
                    client.complete("hi")


@pytest.mark.stranger("llm-chatgpt-plan", "registers, signs in, lists models, asks, refreshes, signs out")
@pytest.mark.skipif(
    not PEER, reason="SIWC_PEER_PYTHON names no Python with llm-chatgpt-plan; run `make interop`"
)
def test_somebody_elses_client_signs_in_and_is_answered(tmp_path: Path) -> None:
    """llm-chatgpt-plan registers, verifies our ID token, lists models, asks, refreshes, and signs out."""
    options = Options(public_url="https://auth.openai.com")
    with Emulator(options) as emulator:
        program = [PEER, Path(__file__).with_name("siwc_peer.py"), emulator.issuer, emulator.plan_base_url]
        done = subprocess.run(
            program,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LLM_USER_PATH": str(tmp_path)},
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        paths = [row["path"] for row in emulator.journal()]

    assert "gpt-5.5" in found["models"]
    assert found["answer"] == "You said: hi"
    assert found["refreshed"] == "You said: again"
    assert found["signed_out"] is True
    assert paths.count("/api/accounts/oauth/token") == 2
    assert paths[-1] == "/api/accounts/oauth/revoke"
