"""A local server that imitates the issuer and the backends, to test programs without using a plan.

It shares no code with onplan's clients: with their mistakes in it, a test against it would prove nothing.
docs/protocol.md says what it imitates, and how each fact is known.
"""

from onplan.emulator.allowance import Limit
from onplan.emulator.options import Options, Scenario
from onplan.emulator.script import Call, Turn
from onplan.emulator.server.running import Emulator, serve
from onplan.emulator.web import Page

__all__ = ["Call", "Emulator", "Limit", "Options", "Page", "Scenario", "Turn", "serve"]
