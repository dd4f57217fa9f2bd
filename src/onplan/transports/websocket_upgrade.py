"""The request that opens a WebSocket, and its answer (RFC 6455 §4). Any split of the bytes gives the same.

websockets checks an answer that opens the connection. It would drop a refusal whose body does not end or is
too long; so refusals are read by h11, for their status, headers and the beginning of the body.
"""

from __future__ import annotations

import re

import h11
from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import State

from onplan.errors import DisconnectError
from onplan.flow import Request
from onplan.secret import SecretBytes
from onplan.transports.request_head import header_lines, unwritable
from onplan.turn.steps import Head

# Bytes of an answer's head, with the informational responses (1xx) that come before it.
LONGEST_HEAD = 64 * 1024
# Bytes of a refusal's body: an error is some hundred, a firewall's page some thousand.
LONGEST_BODY = 256 * 1024

_LINE_END, _END_OF_HEAD = b"\r\n", b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]")
_BEGINNING = b"HTTP/1."


class Upgrade:
    """Opens one connection.

    Args:
        protocol: of websockets; no connection has been made with it.
        origin: of the server, for error messages.

    Attributes:
        head: of the answer, once it has come.
        finished: whether nothing more is to be read: the connection is open, or the refusal is complete.
    """

    def __init__(self, protocol: ClientProtocol, origin: str) -> None:
        self.head: Head | None = None
        self.finished = False
        self._body = bytearray()
        self._protocol, self._origin = protocol, origin
        self._waiting = bytearray()  # of a head that is not complete yet
        self._searched = self._size = 0
        self._refusal: h11.Connection | None = None

    @property
    def body(self) -> bytes:
        """The body of a refusal as far as it has come, at most ``LONGEST_BODY`` bytes."""
        return bytes(self._body[:LONGEST_BODY])

    def request(self, request: Request) -> SecretBytes:
        """The bytes to send for ``request``. websockets never sees its headers, which hold the token.

        Raises:
            TransportError: one of the headers cannot be sent.
        """
        self._protocol.send_request(self._protocol.connect())
        usual = b"".join(self._protocol.data_to_send()).removesuffix(_LINE_END)
        lines = header_lines(request.headers)
        if lines is None:
            raise unwritable(self._origin)
        return SecretBytes(usual + lines + _LINE_END)

    def feed(self, data: bytes) -> bytes:
        """Bytes from the network; returns those that follow the head of an answer that opens the connection.

        Raises:
            DisconnectError: it is not the answer of a WebSocket server.
        """
        if self._refusal is not None:
            if data and not self.finished:
                self._refusal.receive_data(data)
                self._read_body(self._refusal)
            return b""
        self._waiting += data
        while (end := self._waiting.find(_END_OF_HEAD, self._searched)) >= 0:
            head = bytes(self._waiting[: end + len(_END_OF_HEAD)])
            del self._waiting[: len(head)]
            self._searched, self._size = 0, self._size + len(head)
            answer = _STATUS.match(head)
            if answer is None or self._size > LONGEST_HEAD:
                raise self._failure()
            status = int(answer[1])
            if status == 101:
                self._open(head)
                return bytes(self._waiting)
            if status >= 200:
                self._refuse(head)
                return b""
        self._searched = max(0, len(self._waiting) - len(_END_OF_HEAD) + 1)
        begins = _BEGINNING.startswith(bytes(self._waiting[: len(_BEGINNING)]))
        if not begins or self._size + len(self._waiting) > LONGEST_HEAD:
            raise self._failure()
        return b""

    def close(self) -> None:
        """The server has closed the connection. Raises DisconnectError if it has not answered."""
        if self._refusal is None:
            raise self._failure()
        self.finished = True  # what has come of the body is enough

    def _open(self, head: bytes) -> None:
        self._protocol.receive_data(head)
        answers = [event for event in self._protocol.events_received() if isinstance(event, Response)]
        if self._protocol.state is not State.OPEN or not answers:
            raise self._failure()
        headers = {name.lower(): value for name, value in answers[0].headers.raw_items()}
        self.head = Head(101, headers)
        self.finished = True

    def _refuse(self, head: bytes) -> None:
        self._refusal = refusal = h11.Connection(h11.CLIENT, LONGEST_HEAD)
        refusal.send(h11.Request(method="GET", target="/", headers=[("Host", "server")]))
        refusal.send(h11.EndOfMessage())
        refusal.receive_data(head + bytes(self._waiting))
        try:
            answer = refusal.next_event()
        except h11.RemoteProtocolError:
            raise self._failure() from None
        if not isinstance(answer, h11.Response):
            raise self._failure()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
        self.head = Head(answer.status_code, headers)
        self._read_body(refusal)

    def _read_body(self, refusal: h11.Connection) -> None:
        """Read what has come of the body of a refusal."""
        try:
            while isinstance(event := refusal.next_event(), h11.Data):
                self._body += event.data
            over = event is not h11.NEED_DATA
        except h11.RemoteProtocolError:  # what has come of the body is enough
            over = True
        self.finished = over or len(self._body) >= LONGEST_BODY

    def _failure(self) -> DisconnectError:
        return DisconnectError(f"{self._origin} did not open a WebSocket.")
