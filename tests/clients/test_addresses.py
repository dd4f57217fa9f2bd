"""Connecting: addresses that lead nowhere (RFC 8305), and limits that hold for all of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

import onplan
from onplan.flow import Request
from onplan.stores import Record
from onplan.stores.memory import MemoryStore
from onplan.transports import happy_eyeballs
from onplan.transports.happy_eyeballs import connect, connect_async, interleave
from onplan.transports.httpcore2_streams import Stream
from onplan.transports.httpx2_sync import HTTPTransport
from onplan.transports.route import Route
from onplan.transports.sockets import open_socket

from ..conftest import unused_port
from ..test_interruption import interrupted

if TYPE_CHECKING:
    from tests.clients.conftest import Far, Network, Reader, Writer

REQUEST = onplan.CompletionRequest(messages="one two three", model="gpt-5.5")
ONCE = onplan.RetryPolicy(attempts=1)
STREAM, IPV4, IPV6 = socket.SOCK_STREAM, socket.AF_INET, socket.AF_INET6

# The addresses of names, for the system's resolver; a number stands for a port on 127.0.0.1.
Names = Callable[[str, list[int]], None]


def address(family: socket.AddressFamily, number: int) -> Any:
    return family, STREAM, 6, (f"address {number}", 443)


@pytest.mark.parametrize(
    ("families", "order"),
    [
        ([], []),
        ([IPV4], [0]),
        ([IPV6, IPV4], [0, 1]),
        ([IPV6, IPV6, IPV4, IPV4], [0, 2, 1, 3]),
        ([IPV4, IPV4, IPV4, IPV6], [0, 3, 1, 2]),
        ([IPV6, IPV6, IPV6], [0, 1, 2]),
        ([IPV4, IPV6, IPV6, IPV6], [0, 1, 2, 3]),
    ],
)
def test_families_take_turns(families: list[socket.AddressFamily], order: list[int]) -> None:
    """The first family that the resolver names begins, and none of one family waits for all of the other."""
    addresses = [address(family, number) for number, family in enumerate(families)]

    assert interleave(addresses) == [addresses[number] for number in order]


# --- names that have several addresses ------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Give a name addresses, whatever port it is asked for with."""
    known: dict[str, list[int]] = {}
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if host not in known:
            return look_up(host, port, *more, **options)
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        return [(IPV4, STREAM, 6, "", ("127.0.0.1", each)) for each in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known.__setitem__


@pytest.fixture
def nowhere() -> Iterator[Callable[[], int]]:
    """A port that answers no request for a connection: its queue is full, and is never emptied."""
    with ExitStack() as held:

        def make() -> int:
            listener = held.enter_context(closing(socket.socket()))
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(6):
                knocking = held.enter_context(closing(socket.socket()))
                knocking.setblocking(False)
                knocking.connect_ex(listener.getsockname())
            return int(listener.getsockname()[1])

        yield make


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def closed() -> Iterator[int]:
    """A port where nothing listens."""
    with unused_port() as port:
        yield port


@pytest.mark.parametrize("scheme", ["", "http", "https", "socks5"])
def test_an_address_that_leads_nowhere(
    far: Far, driver: Any, names: Names, nowhere: Callable[[], int], closed: int, scheme: str
) -> None:
    """It holds up neither a request nor a refresh of the token, nor does it in a proxy's name."""
    if scheme:
        proxy = far.proxy(scheme)
        names("backend.invalid", [nowhere(), closed, proxy.port])  # a name that its certificate has
        options = {"proxy": proxy.url.replace("127.0.0.1", "backend.invalid")}
    else:
        options = {}
        for name in ("auth.invalid", "backend.invalid"):
            names(name, [nowhere(), closed, far.port])

    answer = driver(
        store=far.store(expires_at=1.0), timeout=onplan.Timeouts(connect=60, total=30), **options
    ).complete(REQUEST)

    assert answer.text == "You said: one two three"


def test_all_addresses_share_one_limit(
    driver: Any, clean_environment: Any, names: Names, nowhere: Callable[[], int]
) -> None:
    """The limit for connecting is for all addresses together, not for each."""
    names("backend.invalid", [nowhere() for _ in range(12)])

    with pytest.raises(onplan.TransportError) as caught:
        driver(
            store=MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token="token"))),
            base_url="https://backend.invalid",
            timeout=onplan.Timeouts(connect=0.5, total=5),
            retry=ONCE,
        ).complete(REQUEST)

    assert not isinstance(caught.value, onplan.TotalTimeoutError)


def test_a_name_that_is_looked_up_for_ever(
    driver: Any, clean_environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking up the name counts as connecting."""
    over = threading.Event()
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if host == "backend.invalid" and not options.get("flags", 0) & socket.AI_NUMERICHOST:
            over.wait(60)
        return look_up(host, port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    timer = threading.Timer(3, over.set)  # an event loop waits for its threads when it ends
    timer.start()
    try:
        with pytest.raises(onplan.TransportError) as caught:
            driver(
                store=MemoryStore(record=Record(credentials=onplan.OAuthCredentials(access_token="token"))),
                base_url="https://backend.invalid",
                timeout=onplan.Timeouts(connect=0.3, total=2.5),
                retry=ONCE,
            ).complete(REQUEST)
    finally:
        over.set()
        timer.cancel()
        timer.join()

    assert not isinstance(caught.value, onplan.TotalTimeoutError)


@pytest.mark.parametrize(
    "found", [socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long"), []]
)
async def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    """Whatever the resolver says of it, it is an OSError."""

    def getaddrinfo(*arguments: Any, **options: Any) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    for left in (lambda: None, lambda: 5.0):
        with pytest.raises(OSError):  # noqa: PT011 - of any kind
            connect("a.example", 443, left)
    with pytest.raises(OSError):  # noqa: PT011
        await connect_async("a.example", 443)
    with pytest.raises(onplan.ConnectError, match=r"https://a\.example could not be reached"):
        await open_socket(Route(), "https://a.example/path")


async def test_leaving_while_connecting(names: Names, nowhere: Callable[[], int]) -> None:
    """Who stops waiting leaves no socket behind."""
    names("a.example", [nowhere(), nowhere()])

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):  # when the second address is being tried as well
            await connect_async("a.example", 443)


async def test_attempts_that_are_not_needed_leave_nothing(
    names: Names, nowhere: Callable[[], int], listening: int
) -> None:
    """When one address has answered, the attempts at the others are over, and their sockets are closed."""
    names("a.example", [nowhere(), nowhere(), listening])
    (await connect_async("a.example", 443)).close()

    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_refusal_lets_the_next_address_begin_at_once(
    names: Names, nowhere: Callable[[], int], closed: int, listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while an earlier attempt is still waiting: only its silence is worth the delay."""
    waits = 0

    def left() -> float:
        nonlocal waits
        waits += 1
        if waits == 2:  # the second attempt begins after the usual delay; the third would wait for an hour
            monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 3600.0)
        if waits > 20:
            raise TimeoutError
        return 1.0

    names("a.example", [nowhere(), closed, listening])
    connect("a.example", 443, left).close()


# --- the refresh's deadline -----------------------------------------------------------------------------


def test_nothing_is_sent_after_the_deadline(network: Network) -> None:
    """When the time of an exchange is over before its request goes out, it does not go out."""
    came: list[bytes] = []
    left = threading.Event()

    async def listen(reader: Reader, writer: Writer) -> None:
        came.append(await reader.read(65_536))
        left.set()

    url = f"http://127.0.0.1:{network.serve(listen)}/token"
    request = Request.form(url, {"refresh_token": "marked"}, timeout=1.0)

    with closing(HTTPTransport()) as transport, pytest.raises(onplan.ConnectError):
        transport.fetch(request, before_sending=lambda: threading.Event().wait(1.2))

    assert left.wait(20)
    assert came == [b""]


@pytest.mark.parametrize("pieces", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: y\r\n"])
def test_a_deadline_holds_for_the_whole_exchange(network: Network, pieces: bytes) -> None:
    """However its answer trickles, an exchange ends when its time is over."""

    async def trickle(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(pieces)
        for _ in range(100):
            writer.write(b"x" if pieces == b"H" else pieces if pieces[9:12] == b"100" else b"x: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    url = f"http://127.0.0.1:{network.serve(trickle)}/token"

    with closing(HTTPTransport()) as transport, pytest.raises(onplan.IdleTimeoutError):
        transport.fetch(Request("GET", url, timeout=1.5))


# --- interruptions ------------------------------------------------------------------------------------


def test_an_interruption_ends_the_wait_for_a_connection(nowhere: Callable[[], int]) -> None:
    """As when ``map`` is left: nothing is to be seen of the attempts, whose sockets are closed."""
    port = nowhere()

    def work(begun: threading.Event) -> None:
        begun.set()
        connect("127.0.0.1", port, lambda: None)

    assert interrupted(work)


@pytest.mark.parametrize("seconds", [None, 3_600.0])
def test_an_interruption_ends_the_wait_for_a_name(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None
) -> None:
    """The system's resolver cannot be ended; it is left behind."""
    asked, answered = threading.Event(), threading.Event()

    def getaddrinfo(*arguments: Any, **options: Any) -> Any:
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        asked.set()
        answered.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def work(begun: threading.Event) -> None:
        threading.Thread(target=lambda: asked.wait(30) and begun.set()).start()
        connect("slow.invalid", 443, lambda: seconds)

    assert interrupted(work)
    answered.set()


def test_an_interruption_ends_a_handshake(network: Network) -> None:
    """A server that takes the connection and says nothing to TLS."""
    heard = threading.Event()

    async def listen(reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        heard.set()
        await reader.read()

    port = network.serve(listen)

    def work(begun: threading.Event) -> None:
        threading.Thread(target=lambda: heard.wait(30) and begun.set()).start()
        opened = connect("127.0.0.1", port, lambda: None)
        Stream(opened, lambda timeout=None: None).start_tls(ssl.create_default_context(), "localhost")

    assert interrupted(work)


def test_leaving_map_ends_attempts_to_connect(
    far: Far, nowhere: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an attempt that would last for an hour."""
    port, connecting, look_up = nowhere(), threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: Any, asked: Any, *more: Any, **options: Any) -> Any:
        if asked == port:
            connecting.set()
        return look_up(host, asked, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def prompts() -> Iterator[str]:
        yield from ("a", "b")
        assert connecting.wait(30)
        raise LookupError("the program has no more of them")

    limits = onplan.Timeouts(connect=3_600)
    base_url = f"http://127.0.0.1:{port}"
    with onplan.Client(store=far.store(), base_url=base_url, timeout=limits, model="gpt-5.5") as client:
        with pytest.raises(LookupError):
            list(client.map(prompts()))
        assert [thread for thread in threading.enumerate() if thread.name == "onplan map"] == []
