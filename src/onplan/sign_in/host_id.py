"""The installation's random ``ext_agent_host_id``: created once per machine, reused for every registration.

All accounts on the machine share it, and it stays when they sign out.
"""

from __future__ import annotations

import re
from pathlib import Path

from onplan.config.file_errors import reason_of
from onplan.config.file_reading import as_utf8, read_file
from onplan.config.private_files import locked_for_change, write_private_file
from onplan.errors import ConfigurationError
from onplan.oauth.siwc import new_host_id

# The formats that the service accepts (docs/protocol.md).
_HOST_ID = re.compile(
    r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|urn:ietf:params:oauth:jwk-thumbprint:[a-z0-9-]+:[A-Za-z0-9_-]{8,200}"
    r"|did:key:[A-Za-z0-9]{8,200}"
)


def host_id(home: Path) -> str:
    """This installation's ``ext_agent_host_id``, kept in ``home``; created on first use.

    Raises:
        ConfigurationError: it cannot be read or written. It is not replaced then: for clients that are
            registered already, a new one would be another host.
    """
    path = home / "host-id"
    try:
        with locked_for_change(path):
            if not path.exists():
                write_private_file(path, f"{new_host_id()}\n".encode())
            name = as_utf8(read_file(path)).decode("ascii", "replace").strip()
    except UnicodeError:
        name = ""
    except OSError as error:
        raise ConfigurationError(
            f"The host id cannot be kept in {path}: {reason_of(error)}.",
            hint=f"Make {home} writable, or set ONPLAN_HOME to a folder that is.",
        ) from None
    if not _HOST_ID.fullmatch(name):
        raise ConfigurationError(
            f"{path} does not hold a host id.",
            hint=f"Restore the original file. Or remove it with `rm {path}`: then this is another host.",
        )
    return name
