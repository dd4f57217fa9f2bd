"""The issuer and the backends on loopback, to try anything built on them without spending a plan.

Shares nothing with the clients it serves: a server that has its client's mistakes proves nothing.
"""

from onplan.emulator.options import Options, Scenario
from onplan.emulator.server.running import Emulator, serve

__all__ = ["Emulator", "Options", "Scenario", "serve"]
