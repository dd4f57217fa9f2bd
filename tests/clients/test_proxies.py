"""Proxies: HTTP, HTTPS and SOCKS, by argument and from the environment, on every transport."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2
import pytest

import onplan
from onplan.emulator import Emulator
from onplan.transports.route import Route

from ..conftest import source_locals, unused_port

if TYPE_CHECKING:
    from tests.clients.conftest import Far, Network, Reader, Writer

REQUEST = onplan.CompletionRequest(messages="one two three", model="gpt-5.5")
ONCE = onplan.RetryPolicy(attempts=1)
PAIR, QUOTED = "me@home:marked:p@ss/word", "me%40home:marked:p%40ss%2Fword"
SCHEMES = ("http", "https", "socks5")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_through_a_proxy(far: Far, driver: Any, scheme: str) -> None:
    """Each kind of proxy is used, with user and password, and looks the backend's name up itself."""
    proxy = far.proxy(scheme, "me:marked")

    answer = driver(store=far.store(), proxy=proxy.url_for("me:marked")).complete(REQUEST)

    assert answer.text == "You said: one two three"
    assert proxy.asked == [("backend.invalid:443", "me:marked")]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_password_with_signs(far: Far, driver: Any, scheme: str) -> None:
    """What a URL must quote, the proxy is told without quotes; and it may speak as slowly as it likes."""
    proxy = far.proxy(scheme, PAIR, slow=True)

    driver(store=far.store(), proxy=proxy.url_for(QUOTED)).complete(REQUEST)

    assert proxy.asked == [("backend.invalid:443", PAIR)]


@pytest.mark.parametrize(
    ("variable", "scheme", "written"),
    [
        ("HTTPS_PROXY", "http", "http"),
        ("https_proxy", "http", "http"),
        ("ALL_PROXY", "http", "http"),
        ("all_proxy", "socks5", "socks5h"),
        ("ALL_PROXY", "socks5", "socks"),
    ],
)
def test_a_proxy_of_the_environment(
    far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str, written: str
) -> None:
    """``HTTPS_PROXY`` and ``ALL_PROXY`` are honoured, in either case, as is every name for SOCKS 5."""
    proxy = far.proxy(scheme)
    monkeypatch.setenv(variable, proxy.url.replace(scheme, written, 1))

    driver(store=far.store()).complete(REQUEST)

    assert proxy.asked == [("backend.invalid:443", None)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_refresh_goes_through_the_proxy(far: Far, driver: Any, scheme: str) -> None:
    """The token endpoint is reached through the same proxy as the backend."""
    proxy = far.proxy(scheme)

    driver(store=far.store(expires_at=1.0), proxy=proxy.url).complete(REQUEST)

    assert {place for place, _ in proxy.asked} == {"auth.invalid:443", "backend.invalid:443"}


def test_a_sign_in_goes_through_the_proxy(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchanging the code does so too, from either side of an event loop."""
    proxy = far.proxy()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    with pytest.raises(onplan.SignInError):
        asyncio.run(onplan.OpenAICodexProvider.exchange_code("nonsense", "nonsense"))

    assert proxy.asked == [("auth.invalid:443", None)]


def test_no_proxy(far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``NO_PROXY`` names is asked for directly."""
    proxy = far.proxy()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "example.org, .invalid")

    with pytest.raises(onplan.TransportError):
        driver(store=far.store(), retry=ONCE).complete(REQUEST)

    assert proxy.asked == []


@pytest.mark.parametrize(
    ("exceptions", "url", "exempt"),
    [
        ("*", "https://a.example", True),
        ("example", "https://a.example", True),
        (".a.example", "https://a.example", True),
        ("*.example", "https://a.example", True),
        ("a.exam", "https://a.example", False),
        ("b.example", "https://ab.example", False),
        ("a.example:443", "https://a.example", True),
        ("a.example:8443", "https://a.example", False),
        ("A.EXAMPLE", "https://a.example", True),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://a.example", False),
        ("fd00::/8", "https://[fd00::1]", True),
        ("[fd00::1]:443", "https://[fd00::1]", True),
        ("fd00::1", "https://[fd00::1]", True),
        ("10.1.2.3,,", "https://10.1.2.3", True),
        ("10.1.2.0/99", "https://10.1.2.3", False),
        ("", "https://127.0.0.1", True),
        ("", "https://localhost", True),
        ("", "http://a.example", True),
    ],
)
def test_what_no_proxy_means(
    monkeypatch: pytest.MonkeyPatch, exceptions: str, url: str, exempt: bool
) -> None:
    """Hosts, domains, ports, addresses and networks; and this machine, and plain http, always."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", exceptions)

    assert (Route().proxy_for(url) is None) is exempt


def test_plain_http_is_not_shown_to_strangers() -> None:
    """A proxy elsewhere is not asked for what is on this machine: it could read the token."""
    assert Route("http://proxy.example:3128").proxy_for("http://127.0.0.1:11434/v1") is None
    assert Route("http://proxy.example:3128").proxy_for("https://127.0.0.1/v1") is not None
    assert Route("http://127.0.0.1:8080").proxy_for("http://127.0.0.1:11434/v1") is not None


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_plain_http_through_a_proxy_on_this_machine(
    emulator: Emulator, far: Far, driver: Any, scheme: str
) -> None:
    """Who looks at their own traffic may: the proxy's password goes to it, and the answer comes."""
    proxy = far.proxy(scheme, "me:marked")
    place = emulator.issuer.removeprefix("http://")
    proxy.places[place] = int(place.rpartition(":")[2])

    answer = driver(
        store=far.store(), base_url=emulator.codex_base_url, proxy=proxy.url_for("me:marked")
    ).complete(REQUEST)

    assert answer.text == "You said: one two three"
    assert proxy.asked == [(place, "me:marked")]


# --- proxies that do not let us through -----------------------------------------------------------------


def refused(driver: Any, far: Far, proxy: str, **options: Any) -> onplan.ProxyError:
    """What is raised; nothing of it shows the password."""
    with pytest.raises(onplan.ProxyError) as caught:
        driver(store=far.store(), proxy=proxy, **options).complete(REQUEST)
    error = caught.value
    assert "marked" not in f"{error} {error!r} {error.hint} {error.to_dict()} {source_locals(error)}"
    assert error.exit_code == 44
    return error


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("pair", [None, "me:marked-wrong"])
def test_a_proxy_that_wants_a_password(far: Far, driver: Any, scheme: str, pair: str | None) -> None:
    """Without the right one it is not asked twice, and the hint says what to do."""
    proxy = far.proxy(scheme, "me:marked")

    error = refused(driver, far, proxy.url_for(pair) if pair else proxy.url)

    assert f"The proxy {proxy.url} does not connect to backend.invalid" in str(error)
    assert (
        "Check the user and the password" if pair else f"{scheme}://USER:PASSWORD@127.0.0.1"
    ) in error.hint
    assert len(proxy.asked) <= 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_does_not_find_the_backend(far: Far, driver: Any, scheme: str) -> None:
    """What it says is passed on; and as it may be over in a moment, it is asked again."""
    proxy = far.proxy(scheme)
    proxy.places.clear()
    waits: list[float] = []

    error = refused(
        driver,
        far,
        proxy.url,
        retry=onplan.RetryPolicy(attempts=2, wait_initial=0.0),
        on_retry=lambda error, seconds: waits.append(seconds),
    )

    assert ("the host cannot be reached" if scheme == "socks5" else "502 Bad Gateway") in str(error)
    assert len(waits) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_is_not_there(far: Far, driver: Any, scheme: str) -> None:
    """It is named as what does not answer."""
    with unused_port() as port, pytest.raises(onplan.ConnectError) as caught:
        driver(store=far.store(), proxy=f"{scheme}://me:marked@127.0.0.1:{port}", retry=ONCE).complete(
            REQUEST
        )

    assert "marked" not in f"{caught.value}"


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"\x00" * 8, b"HTTP/1.1 OK\r\n\r\n"])
def test_something_that_is_no_proxy(
    far: Far, network: Network, driver: Any, scheme: str, said: bytes
) -> None:
    """Whatever it says, or if it just closes, it is told as the proxy's."""

    async def answer(reader: Reader, writer: Writer) -> None:
        await reader.read(65_536)
        writer.write(said)
        await writer.drain()

    port = network.serve(answer)

    refused(driver, far, f"{scheme}://me:marked@127.0.0.1:{port}", retry=ONCE)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_is_silent(far: Far, network: Network, driver: Any, scheme: str) -> None:
    """The limit for making a connection holds for what a proxy takes, too; the proxy is blamed for it."""

    async def wait(reader: Reader, writer: Writer) -> None:
        while await reader.read(65_536):
            pass

    port = network.serve(wait)

    with pytest.raises(onplan.ProxyError, match=f"proxy {scheme}://127.0.0.1:{port} does not answer"):
        driver(
            store=far.store(),
            proxy=f"{scheme}://127.0.0.1:{port}",
            timeout=onplan.Timeouts(connect=0.2),
            retry=ONCE,
        ).complete(REQUEST)


@pytest.mark.parametrize(
    "url",
    [
        "socks4://me:marked@127.0.0.1:1080",
        "http://me:marked@127.0.0.1:port",
        "me:marked@127.0.0.1",
        "http://me:marked@",
        "http://me:marked@127.0.0.1/path",
        "http://me:marked@[127.0.0.1",
        f"http://me:{'marked' * 50}@127.0.0.1",
        "",
    ],
)
@pytest.mark.parametrize("kind", [onplan.Client, onplan.AsyncClient])
def test_an_argument_that_is_no_proxy(clean_environment: Any, kind: Any, url: str) -> None:
    """It is refused when the client is made, without a word of what it was."""
    with pytest.raises(onplan.ConfigurationError) as caught:
        kind(proxy=url)

    assert "marked" not in f"{caught.value} {caught.value.hint} {source_locals(caught.value)}"
    assert "socks5://HOST:PORT" in caught.value.hint


def test_a_variable_that_is_no_proxy(far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told with its name, when there is something to send."""
    monkeypatch.setenv("all_proxy", "socks4://me:marked@127.0.0.1")

    with pytest.raises(onplan.ConfigurationError, match="The proxy from all_proxy is not") as caught:
        driver(store=far.store()).complete(REQUEST)

    assert "marked" not in f"{caught.value} {caught.value.hint}"


def test_the_printed_form_of_a_client(far: Far) -> None:
    """Neither a client nor what it is made of shows the password."""
    route = Route("http://me:marked@127.0.0.1:9")

    assert "marked" not in f"{route!r} {vars(route)!r} {route.proxy_for('https://a.example')!r}"


# --- a client of the user's own -------------------------------------------------------------------------


def test_a_client_of_the_users_own_has_its_own_proxy(far: Far) -> None:
    """``http_client=`` goes its own way to the backend, ``proxy=`` is for the rest, and nothing is closed."""
    own, ours = far.proxy(), far.proxy()
    context = ssl.create_default_context(cafile=far.certificates)
    with httpx2.Client(proxy=own.url, verify=context) as http_client:
        with onplan.Client(
            http_client=http_client, proxy=ours.url, store=far.store(expires_at=1.0)
        ) as client:
            assert client.complete(REQUEST).text == "You said: one two three"
        assert not http_client.is_closed

    assert own.asked == [("backend.invalid:443", None)]
    assert ours.asked == [("auth.invalid:443", None)]


async def test_an_asynchronous_client_of_the_users_own(far: Far) -> None:
    """The same under an event loop, where ``auto`` does not leave it for a WebSocket."""
    own, ours = far.proxy(), far.proxy()
    context = ssl.create_default_context(cafile=far.certificates)
    async with httpx2.AsyncClient(proxy=own.url, verify=context) as http_client:
        async with onplan.AsyncClient(
            http_client=http_client, proxy=ours.url, store=far.store(expires_at=1.0)
        ) as client:
            assert (await client.complete(REQUEST)).text == "You said: one two three"
        assert not http_client.is_closed

    assert own.asked == [("backend.invalid:443", None)]
    assert ours.asked == [("auth.invalid:443", None)]


# --- what a proxy answers instead of connecting ---------------------------------------------------------

NTLM, BOTH = "NTLM", "Negotiate\r\nProxy-Authenticate: NTLM"


@pytest.mark.parametrize(
    ("offered", "named"),
    [
        (NTLM, "takes NTLM only"),
        (BOTH, "takes Negotiate or NTLM only"),
        ("Negotiate, NTLM", "takes Negotiate or NTLM only"),
        ("Negotiate oWkwZ6ADCgEB", "takes Negotiate only"),
        ('Digest realm="a, b", nonce="c", qop="auth"', "takes Digest only"),
        ("Kerberos", "takes Kerberos only"),
    ],
)
def test_a_proxy_that_speaks_no_basic(
    far: Far, network: Network, driver: Any, offered: str, named: str
) -> None:
    """One sentence names what it wants, and the hint a way around; nobody tries again."""
    asked: list[bytes] = []

    async def refuse(reader: Reader, writer: Writer) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: {offered}\r\n"
        writer.write(f"{head}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()

    error = refused(driver, far, f"http://me:marked@127.0.0.1:{network.serve(refuse)}")

    assert named in str(error)
    assert "px" in error.hint
    assert (len(asked), error.retryable, error.status_code) == (1, False, 407)


@pytest.mark.parametrize(
    "offered", ['Basic realm="NTLM"', f'{NTLM}\r\nProxy-Authenticate: Basic realm="x"', ""]
)
def test_a_proxy_that_speaks_basic_too(far: Far, network: Network, driver: Any, offered: str) -> None:
    """Where Basic is among them, or nothing is said, it is about the user and the password."""

    async def refuse(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: {offered}\r\n"
        writer.write(f"{head}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()

    error = refused(driver, far, f"http://me:marked@127.0.0.1:{network.serve(refuse)}")

    assert "Check the user and the password" in error.hint


@pytest.mark.parametrize(
    ("status", "page", "words"),
    [
        ("403 Forbidden", "<html><title>Category: AI &amp; chat</title><p>no</p>", "(Category: AI & chat)"),
        ("403 Forbidden", "<style>p {}</style><h1>Blocked</h1><p>by policy 7.</p>", "(Blocked by policy 7)"),
        ("503 Service Unavailable", "upstream is down.\n", "(upstream is down)"),
        ("302 Found", "", "302 Found."),
        ("403 Forbidden", "Forbidden", "403 Forbidden."),
        ("200-ish Nearly", "", "it does not speak HTTP"),
    ],
)
@pytest.mark.parametrize("chunked", [True, False])
def test_a_page_instead_of_a_tunnel(
    far: Far, network: Network, driver: Any, status: str, page: str, words: str, chunked: bool
) -> None:
    """Its status and its words are passed on, on every transport, also when its end does not come."""

    async def refuse(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = page.encode()
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
        writer.write(f"HTTP/1.1 {status}\r\n".encode() + framing + b"\r\n\r\n")
        if chunked and body:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        writer.write(body + (b"0\r\n\r\n" if chunked else b""))
        await writer.drain()
        await reader.read()  # until the client has seen enough

    error = refused(driver, far, f"http://me:marked@127.0.0.1:{network.serve(refuse)}", retry=ONCE)

    assert words in str(error)
    if status[:3].isdigit() and status[3] == " ":
        assert f"does not connect to backend.invalid: {status}" in str(error)
        assert error.status_code == int(status[:3])


def test_any_success_opens_a_tunnel(far: Far, network: Network, driver: Any, pass_on: Any) -> None:
    """A proxy may say 201 with headers of its own, after an informational response."""

    async def connect(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 201 Fine\r\nVia: a\r\nContent-Length: 9\r\n\r\n")
        await pass_on(reader, writer, "127.0.0.1", far.port)

    answer = driver(store=far.store(), proxy=f"http://127.0.0.1:{network.serve(connect)}").complete(REQUEST)

    assert answer.text == "You said: one two three"


@pytest.mark.parametrize("pair", ["m\u00e9:marked", "me:m\u00e4rked"])
def test_socks_knows_ascii_only(far: Far, driver: Any, pair: str) -> None:
    """A user or password that cannot be sent is refused before anything is sent, with what helps."""
    proxy = far.proxy("socks5", pair)

    error = refused(driver, far, proxy.url_for(pair))

    assert "beyond ASCII" in str(error)
    assert "HTTP proxy" in error.hint
    assert proxy.asked == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_password_beyond_ascii(far: Far, driver: Any, scheme: str) -> None:
    """An HTTP proxy is told one in UTF-8."""
    proxy = far.proxy(scheme, "m\u00e9:m\u00e4rked")

    driver(store=far.store(), proxy=proxy.url_for("m\u00e9:m\u00e4rked")).complete(REQUEST)

    assert proxy.asked == [("backend.invalid:443", "m\u00e9:m\u00e4rked")]


def test_aiohttp_asks_its_subclasses_for_connections_as_before() -> None:
    """The method by which proxies are spoken to is given the request first, as aiohttp's reference says."""
    _, first, *_ = inspect.signature(aiohttp.BaseConnector._create_connection).parameters

    assert first == "req"
