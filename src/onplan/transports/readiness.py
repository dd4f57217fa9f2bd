"""Whether something can be read from a socket at this moment."""

from __future__ import annotations

import select


def is_readable(descriptor: int) -> bool:
    """Whether bytes or the end have come. An idle connection on which they have is not used again.

    ``descriptor``: of the socket; negative if it is closed.
    """
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(0))
