"""A client in Dask's workers: processes that share the store, and one refresh among them."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import onplan
from onplan.emulator import Emulator

if TYPE_CHECKING:
    import distributed

pytestmark = pytest.mark.interop
PROMPTS = [f"number {number}" for number in range(24)]
WORKERS = 3


@pytest.fixture
def pool(vault: Any, spec: str, sign_in: Callable[..., Any]) -> Iterator[distributed.Client]:
    """Worker processes, which are told by their environment where the store is."""
    distributed = pytest.importorskip("distributed")
    sign_in()  # with an access token that has expired
    cluster = distributed.LocalCluster(
        n_workers=WORKERS,
        threads_per_worker=2,
        processes=True,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    )
    with cluster, distributed.Client(cluster) as pool:
        pool.wait_for_workers(WORKERS, timeout=60)
        yield pool


@pytest.mark.parametrize("spec", ["vault"], indirect=True)
@pytest.mark.stranger("Dask", "three worker processes on the Vault store, one refresh")
def test_the_workers_refresh_once(
    pool: distributed.Client, emulator: Emulator, refreshes: Callable[[], list[int]]
) -> None:
    """A client made here asks from every process. All find an expired token, and errors come back whole."""
    client = onplan.Client(model="gpt-5.5", retry=1)
    workers = list(pool.scheduler_info()["workers"])
    first = [pool.submit(client.complete, "first", workers=[name], pure=False) for name in workers]
    assert [answer.text for answer in pool.gather(first)] == ["You said: first"] * WORKERS
    answers = pool.gather(pool.map(client.complete, PROMPTS, pure=False))

    assert [answer.text for answer in answers] == [f"You said: {prompt}" for prompt in PROMPTS]
    assert refreshes() == [200]
    posts = [row["status"] for row in emulator.journal() if row["path"].endswith("/responses")]
    assert posts == [200] * (WORKERS + len(PROMPTS))

    emulator.arm("usage_limit_429")
    refused = pool.submit(client.complete, "hi", pure=False).exception(timeout=60)
    assert isinstance(refused, onplan.UsageLimitError)
    assert refused.window_minutes == 300


@pytest.mark.parametrize("spec", ["vault"], indirect=True)
def test_the_example_in_the_documentation_runs(
    vault: Any, sign_in: Callable[..., Any], refreshes: Callable[[], list[int]]
) -> None:
    """As a file of its own, with a token that has expired."""
    pytest.importorskip("distributed")
    sign_in()
    page = (Path(__file__).parents[2] / "docs" / "batch.md").read_text()
    (code,) = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [f"You said: Name a {name}" for name in ("bird", "fish", "bird")]
    assert refreshes() == [200]
