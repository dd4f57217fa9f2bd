"""Runs a program that asks the services, as it is, with their hosts played by the emulator.

``program.py ISSUER CODEX_BASE_URL PLAN_BASE_URL FOLDER PROGRAM ARGUMENTS…``
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import httpx2
import trial

trial.redirect_hosts(httpx2)
sys.argv = sys.argv[5:]
sys.path[0] = str(Path(sys.argv[0]).parent)
runpy.run_path(sys.argv[0], run_name="__main__")
