"""Signing in, with a real listener, a real issuer, and something in the browser's place."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.config.settings import Settings
from onplan.emulator import Emulator
from onplan.oauth.authorization_code import AuthorizationRequest
from onplan.sign_in.login import sign_in_by_pasting, sign_in_with_browser
from onplan.sign_in.loopback import PortsTakenError, RedirectListener, ports_taken
from onplan.stores import CredentialStore, Record, Stored, open_store
from onplan.stores.lock import waiting_at_most


def get(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str, Any]:
    """Status, body and headers; errors and redirects are answers like any other."""

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: Any) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
    try:
        request = urllib.request.Request(url, data=data, headers=headers or {})
        with opener.open(request, timeout=20) as reply:
            return reply.status, reply.read().decode(), reply.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def ignore(started: AuthorizationRequest) -> None:
    """An announcement that shows nothing."""


def test_signing_in_keeps_who_and_what(
    settings: Settings, store: CredentialStore, browse: Callable[[str], None]
) -> None:
    """After the browser came back, the store has the tokens, the account, the plan and the issuer."""
    credentials = sign_in_with_browser(settings, store, ignore, browse=browse)

    loaded = store.load()
    assert loaded
    assert loaded.record.credentials == credentials
    assert credentials.email == "person@example.com"
    assert credentials.plan == "plus"
    assert credentials.account_id == "acct-emulated-0001"
    assert credentials.issuer == settings.issuer.url
    assert credentials.refresh_token


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_both_addresses_of_localhost_are_answered(host: str) -> None:
    """A browser may resolve localhost to either loopback address; the callback is heard on both."""
    statuses: list[int] = []
    with RedirectListener([0], "s") as listener:
        url = f"http://{host}:{listener.port}/auth/callback?code=c&state=s"
        thread = _in_thread(lambda: statuses.append(get(url)[0]))
        assert listener.wait(20).code == "c"
        listener.show("Signed in", "")
    thread.join(20)

    assert statuses == [200]


def test_a_wrong_state_is_refused_and_listening_goes_on() -> None:
    """A callback with another state, or none, is answered 400 and changes nothing."""
    with RedirectListener([0], "right") as listener:
        base = f"http://127.0.0.1:{listener.port}"
        for query in ("code=evil&state=wrong", "code=evil", "error=access_denied&state=wrong", ""):
            status, body, _ = get(f"{base}/auth/callback?{query}")
            assert status == 400
            assert "State mismatch" in body
            assert "history.replaceState" not in body  # whose it is may have to paste the address
        assert get(f"{base}/nothing")[0] == 404
        _in_thread(lambda: get(f"{base}/auth/callback?code=good&state=right"))
        assert listener.wait(20).code == "good"


def test_a_posted_callback_is_read() -> None:
    """The form_post response mode is understood like a redirect."""
    with RedirectListener([0], "s") as listener:
        url = f"http://127.0.0.1:{listener.port}/auth/callback"
        _in_thread(lambda: get(url, b"code=posted&state=s"))
        assert listener.wait(20).code == "posted"


def test_the_page_hides_the_address_and_escapes(settings: Settings) -> None:
    """The page clears the URL with the code in it, is not cached, and shows foreign text as text."""
    with RedirectListener([0], "s") as listener:
        answers: list[Any] = []
        query = urllib.parse.urlencode({"error": "<script>", "error_description": "<b>no</b>", "state": "s"})
        thread = _in_thread(
            lambda: answers.append(get(f"http://127.0.0.1:{listener.port}/auth/callback?{query}"))
        )
        callback = listener.wait(20)
        listener.show("Not signed in", callback.description, 400)
    thread.join(20)
    status, body, headers = answers[0]

    assert status == 400
    assert "&lt;b&gt;no&lt;/b&gt;" in body
    assert "<b>no" not in body
    assert "history.replaceState" in body
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_a_tab_that_is_reloaded_sees_the_same_page(settings: Settings, store: CredentialStore) -> None:
    """A second callback with the same state neither holds the sign-in up nor shows another outcome."""
    pages: list[str] = []
    threads: list[Any] = []

    def browse(url: str) -> None:
        location = get(url)[2]["Location"]
        threads.extend(_in_thread(lambda: pages.append(get(location)[1])) for _ in range(2))

    sign_in_with_browser(settings, store, ignore, browse=browse)
    for thread in threads:
        thread.join(20)

    assert [page.count("<h1>Signed in</h1>") for page in pages] == [1, 1]


def test_a_silent_connection_delays_no_sign_in(
    settings: Settings, store: CredentialStore, browse: Callable[[str], None]
) -> None:
    """A connection that a browser opened in advance, and says nothing on, does not delay the sign-in."""
    with ExitStack() as stack:

        def announce(started: AuthorizationRequest) -> None:
            stack.enter_context(socket.create_connection(("127.0.0.1", started.redirect_port)))

        assert sign_in_with_browser(settings, store, announce, browse=browse).email


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:1455"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_cannot_end_a_sign_in(headers: dict[str, str]) -> None:
    """A page of another site, or another name of this machine, can neither cancel nor read the answer."""
    with RedirectListener([0], "s") as listener:
        base = f"http://127.0.0.1:{listener.port}"
        assert get(f"{base}/cancel", headers=headers)[0] == 400
        _in_thread(lambda: get(f"{base}/auth/callback?code=c&state=s"))
        assert listener.wait(20).code == "c"


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("fuzzy-space-1455.app.github.dev", "/auth/callback"),
        ("1455-x.ws-eu1.gitpod.io", "/auth/callback"),
        ("x-1455.uks1.devtunnels.ms:443", "/auth/callback"),
        ("code.example", "/proxy/1455/auth/callback"),
        ("localhost:8080", "/proxy/1455/auth/callback"),
    ],
)
def test_a_forwarded_callback_is_taken(host: str, path: str) -> None:
    """By the public name of a forwarded port the browser comes back, too: the state is proof enough."""
    with RedirectListener([0], "s") as listener:
        base = f"http://127.0.0.1:{listener.port}"
        headers = {"Host": host, "Sec-Fetch-Site": "cross-site"}
        assert get(f"{base}{path}?code=c&state=wrong", headers=headers)[0] in (400, 404)
        assert get(f"{base}/cancel?code=c&state=s", headers=headers)[0] == 400
        _in_thread(lambda: get(f"{base}{path}?code=c&state=s", headers=headers))
        assert listener.wait(20).code == "c"


def refusing(*numbers: int) -> dict[int, OSError]:
    return dict(zip((1455, 1457), (OSError(number, os.strerror(number)) for number in numbers), strict=False))


@pytest.mark.parametrize(
    ("refused", "sentence", "end_the_other"),
    [
        (refusing(errno.EADDRINUSE, errno.EADDRINUSE), "1455 and 1457 are in use by other programs.", True),
        (
            refusing(errno.EADDRINUSE, errno.EACCES),
            "1455 is in use by other programs, and the system does not let this program listen on 1457.",
            True,
        ),
        (
            refusing(errno.EACCES, errno.EPERM),
            "the system does not let this program listen on 1455 and 1457.",
            False,
        ),
        (refusing(errno.EACCES), "the system does not let this program listen on 1455.", False),
        (
            refusing(errno.ENOBUFS),
            f"1455 cannot be listened on ({os.strerror(errno.ENOBUFS).lower()}).",
            False,
        ),
    ],
)
def test_it_is_told_why_no_port_can_be_had(
    refused: dict[int, OSError], sentence: str, *, end_the_other: bool
) -> None:
    """Ports that the system forbids are told apart from those in use: there is nothing to end then."""
    error = ports_taken(refused)

    assert str(error).endswith(f"but {sentence}")
    assert ("End the other" in error.hint) is end_the_other
    assert "onplan login --paste" in error.hint


# Gives up the right to listen below 1024, which root has; then listens there, and where everybody may.
_FORBIDDEN = """
import ctypes, os, sys
CAP_NET_BIND_SERVICE, PR_CAPBSET_DROP = 10, 24
if len(sys.argv) == 1:
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE, 0, 0, 0)
    os.execv(sys.executable, [sys.executable, "-c", sys.orig_argv[2], "again"])
from onplan.sign_in.loopback import PortsTakenError, RedirectListener, ports_taken
try:
    with RedirectListener([1], "s"):
        print("permitted")
except PortsTakenError as error:
    print(error)
with RedirectListener([1, 0], "s") as listener:
    print(listener.port > 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="capabilities(7)")
def test_a_port_that_the_system_forbids_moves_to_the_next() -> None:
    """A port that may not be listened on is passed over as one that is taken, and is told as forbidden."""
    ran = subprocess.run(
        [sys.executable, "-c", _FORBIDDEN], capture_output=True, text=True, timeout=60, check=False
    )
    if "permitted" in ran.stdout:
        pytest.skip("this system lets every program listen on port 1")

    told, moved = ran.stdout.splitlines()
    assert told.endswith("on port 1, but the system does not let this program listen on 1.")
    assert moved == "True"


@pytest.mark.parametrize(
    ("number", "listens"),
    [
        (errno.EADDRNOTAVAIL, True),
        (errno.EAFNOSUPPORT, True),
        (errno.EACCES, True),
        (errno.EPERM, True),
        (errno.EADDRINUSE, False),
    ],
)
def test_where_there_is_no_ipv6(monkeypatch: pytest.MonkeyPatch, number: int, listens: bool) -> None:
    """IPv4 is enough, as in a sandbox; but a port that another program has on ::1 is not free."""
    bind = socket.socket.bind

    def refuse_ipv6(opened: socket.socket, address: Any) -> None:
        if opened.family == socket.AF_INET6:
            raise OSError(number, os.strerror(number))
        bind(opened, address)

    monkeypatch.setattr(socket.socket, "bind", refuse_ipv6)
    listener = RedirectListener([0], "state")

    if listens:
        with listener:
            assert get(f"http://127.0.0.1:{listener.port}/nothing")[0] == 404
    else:
        with pytest.raises(PortsTakenError), listener:
            pass


def test_cancelling_may_be_too_late() -> None:
    """Once the browser has come back, /cancel says that it changes nothing, and it changes nothing."""
    with RedirectListener([0], "s") as listener:
        base = f"http://127.0.0.1:{listener.port}"
        _in_thread(lambda: get(f"{base}/auth/callback?code=c&state=s"))
        assert listener.wait(20).code == "c"

        status, page, _ = get(f"{base}/cancel")
        assert (status, "Too late" in page) == (409, True)


def test_a_tab_shows_no_success_before_it_is_known() -> None:
    """A sign-in that ends without a word, such as by Ctrl-C, leaves a page that claims nothing."""
    pages: list[tuple[int, str, Any]] = []
    with RedirectListener([0], "s") as listener:
        url = f"http://127.0.0.1:{listener.port}/auth/callback?code=c&state=s"
        thread = _in_thread(lambda: pages.append(get(url)))
        assert listener.wait(20).code == "c"
    thread.join(20)

    ((status, page, _),) = pages
    assert (status, "Not finished" in page, "Signed in" in page) == (503, True, False)


def test_the_literal_address_is_the_only_one_where_it_is_registered() -> None:
    """With 127.0.0.1 as the redirect's host, localhost is neither heard nor answered."""
    with RedirectListener([0], "s", "127.0.0.1") as listener:
        url = f"http://127.0.0.1:{listener.port}/auth/callback?code=c&state=s"
        assert get(url, headers={"Host": f"localhost:{listener.port}"})[0] == 400
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("::1", listener.port))


def test_cancelling_ends_the_wait(settings: Settings, store: CredentialStore) -> None:
    """/cancel ends the sign-in at once."""

    def browse(url: str) -> None:
        redirect = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["redirect_uri"][0]
        _in_thread(lambda: get(redirect.replace("/auth/callback", "/cancel")))

    with pytest.raises(onplan.SignInError, match="cancelled"):
        sign_in_with_browser(settings, store, ignore, browse=browse)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("authorize_access_denied", "declined"),
        ("authorize_missing_entitlement", "not enabled"),
        ("authorize_no_code", "without an authorization code"),
        ("token_invalid_grant", "refused"),
        ("token_500", "HTTP 500"),
        ("token_html", "firewall|web page"),
        ("token_not_json", "not a token response"),
        ("token_no_access_token", "not a token response"),
    ],
)
def test_a_failed_sign_in_keeps_the_previous_one(
    signed_in: Emulator,
    store: CredentialStore,
    settings: Settings,
    browse: Callable[[str], None],
    fault: str,
    sentence: str,
) -> None:
    """Whatever goes wrong with a new sign-in is told in words, and the old credential is untouched."""
    before = store.load()
    signed_in.arm(fault, times=1)

    with pytest.raises(onplan.SignInError, match=sentence):
        sign_in_with_browser(settings, store, ignore, browse=browse)

    after = store.load()
    assert before
    assert after
    assert before[0] == after[0]


def test_a_sign_in_that_is_not_finished_ends_with_a_hint(settings: Settings, store: CredentialStore) -> None:
    """If the sign-in is not finished in the browser, the wait ends with an error that says what to do."""
    with pytest.raises(onplan.SignInError) as caught:
        sign_in_with_browser(settings, store, ignore, browse=lambda url: None, timeout=0.05)

    assert "--paste" in caught.value.hint


def test_a_busy_port_moves_to_the_next(
    settings: Settings, store: CredentialStore, browse: Callable[[str], None]
) -> None:
    """With 1455 taken the redirect comes to 1457; with both taken there is a hint."""
    ports: list[int] = []
    with ExitStack() as taken:
        _occupy(taken, 1455)
        sign_in_with_browser(
            settings, store, lambda started: ports.append(started.redirect_port), browse=browse
        )
        assert ports == [1457]
        _occupy(taken, 1457)
        with pytest.raises(PortsTakenError, match="1455 or 1457") as caught:
            sign_in_with_browser(settings, store, ignore, browse=browse)
    assert "onplan login --paste" in caught.value.hint
    assert "onplan login --device" in caught.value.hint


def _occupy(taken: ExitStack, port: int) -> None:
    listener = taken.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()


def _whole(location: str) -> str:
    return location


def _query(location: str) -> str:
    return urllib.parse.urlsplit(location).query


def _code_and_state(location: str) -> str:
    fields = urllib.parse.parse_qs(_query(location))
    return f"{fields['code'][0]}#{fields['state'][0]}\n"


@pytest.mark.parametrize("shorten", [_whole, _query, _code_and_state])
def test_a_pasted_address_signs_in(
    settings: Settings, store: CredentialStore, shorten: Callable[[str], str]
) -> None:
    """The address that a browser ended at may be pasted whole, as its query, or as code#state."""
    shown: list[str] = []

    def read_line() -> str:
        return shorten(get(shown[0])[2]["Location"])

    credentials = sign_in_by_pasting(settings, store, lambda started: shown.append(started.url), read_line)

    assert credentials.email == "person@example.com"


@pytest.mark.parametrize("pasted", ["", "justacode", "code#wrongstate", "code=x&state=wrong"])
def test_a_wrong_paste_is_refused(
    emulator: Emulator, settings: Settings, store: CredentialStore, pasted: str
) -> None:
    """A paste without this sign-in's state is refused before anything is exchanged."""
    with pytest.raises(onplan.SignInError):
        sign_in_by_pasting(settings, store, ignore, lambda: pasted)

    assert emulator.journal() == []
    assert store.load() is None


def test_a_wrong_paste_may_be_explained(settings: Settings, store: CredentialStore) -> None:
    """With ``explain``, a wrong line is explained, an empty one is not, and the next line is read."""
    shown: list[str] = []
    told: list[str] = []
    lines = iter(["nonsense\n", "\n", "code=x&state=wrong\n"])

    def read_line() -> str:
        return next(lines, None) or get(shown[0])[2]["Location"]

    sign_in_by_pasting(
        settings, store, lambda started: shown.append(started.url), read_line, explain=told.append
    )

    assert len(told) == 2
    assert store.load()


def test_the_end_of_the_input_ends_it(settings: Settings, store: CredentialStore) -> None:
    """Where nothing more can come, that is an error, also if mistakes are explained."""
    with pytest.raises(onplan.SignInError, match="Nothing was pasted"):
        sign_in_by_pasting(settings, store, ignore, lambda: "", explain=lambda text: None)


# --- whichever comes first ------------------------------------------------------------------------------


def test_a_paste_may_overtake_the_browser(settings: Settings, store: CredentialStore) -> None:
    """While the browser is awaited, the pasted address signs in; a wrong one changes nothing."""
    shown: list[str] = []
    right: list[bool] = []

    @contextmanager
    def pasting(take: Callable[[str], bool]) -> Iterator[None]:
        right.extend([take("code=x&state=wrong"), take(""), take(get(shown[0])[2]["Location"])])
        yield

    credentials = sign_in_with_browser(
        settings,
        store,
        lambda started: shown.append(started.url),
        browse=lambda url: None,
        pasting=pasting,
    )

    assert right == [False, False, True]
    assert credentials.email == "person@example.com"


def test_the_browser_may_overtake_a_paste(
    settings: Settings, store: CredentialStore, browse: Callable[[str], None]
) -> None:
    """When the browser has returned, no pasted line is waited for."""
    ended: list[bool] = []

    @contextmanager
    def pasting(take: Callable[[str], bool]) -> Iterator[None]:
        yield
        ended.append(True)

    assert sign_in_with_browser(settings, store, ignore, browse=browse, pasting=pasting).email
    assert ended == [True]


def test_a_pasted_refusal_ends_it(settings: Settings, store: CredentialStore) -> None:
    """The address at which the browser ends when the person declined says so, pasted or not."""
    kept: list[AuthorizationRequest] = []

    @contextmanager
    def pasting(take: Callable[[str], bool]) -> Iterator[None]:
        take(f"?error=access_denied&state={kept[0].state}")
        yield

    with pytest.raises(onplan.SignInError, match="declined"):
        sign_in_with_browser(settings, store, kept.append, browse=lambda url: None, pasting=pasting)


# --- before, and over another one -----------------------------------------------------------------------


class ReadOnlyStore:
    """A stranger's store that holds what it holds."""

    def __init__(self, record: Record | None = None) -> None:
        self._record = record

    def load(self) -> Stored | None:
        return Stored(self._record, "1") if self._record else None

    def save(self, record: Record, expected_version: str | None) -> str:
        raise onplan.StoreError("This store is read-only.")

    def delete(self) -> None:
        if self._record:
            raise onplan.StoreError("This store is read-only.")

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def describe(self) -> str:
        return "a stone"


def read_only_stores(tmp_path: Path) -> list[Any]:
    (tmp_path / "file").touch()
    specs = ["env:NOT_SET_ANYWHERE", f"file:{tmp_path}/file/credentials.json", f"codex:{tmp_path}/file"]
    held = Record(credentials=onplan.OAuthCredentials(access_token="a"))
    return [*map(open_store, specs), ReadOnlyStore(), ReadOnlyStore(held)]


@pytest.mark.parametrize("number", range(5))
def test_a_store_that_keeps_nothing_is_found_out_first(
    emulator: Emulator, settings: Settings, tmp_path: Path, number: int
) -> None:
    """Where the sign-in could not be kept, the person is not sent to the browser, empty or not."""
    store, asked = read_only_stores(tmp_path)[number], []

    with pytest.raises(onplan.StoreError):
        sign_in_with_browser(settings, store, asked.append, browse=lambda url: None, timeout=0.1)
    with pytest.raises(onplan.StoreError):
        sign_in_by_pasting(settings, store, asked.append, lambda: "")

    assert asked == []
    assert emulator.journal() == []


@pytest.mark.parametrize("scheme", ["file", "codex", "memory"])
def test_trying_the_store_leaves_no_trace(settings: Settings, tmp_path: Path, scheme: str) -> None:
    """A sign-in that is given up leaves an empty store empty."""
    store = open_store(f"{scheme}:{tmp_path / 'kept'}")

    with pytest.raises(onplan.SignInError):
        sign_in_with_browser(settings, store, ignore, browse=lambda url: None, timeout=0.01)

    assert store.load() is None
    assert not (tmp_path / "kept" / "auth.json").exists()


def test_a_frozen_neighbour_does_not_hold_it_up_for_ever(settings: Settings, store: CredentialStore) -> None:
    """If another program keeps the lock, the error comes before the person has done anything."""
    import threading

    taken, asked = threading.Event(), []
    done = threading.Event()

    def hold() -> None:
        with store.lock():
            taken.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(60)
    try:
        with waiting_at_most(0.1), pytest.raises(onplan.StoreError, match="locked"):
            sign_in_with_browser(settings, store, asked.append, browse=lambda url: None, timeout=0.1)
    finally:
        done.set()
        thread.join()
    assert asked == []


def test_a_new_sign_in_revokes_nothing(
    signed_in: Emulator, settings: Settings, store: CredentialStore, browse: Callable[[str], None]
) -> None:
    """The old tokens are replaced and not revoked: that would end other sign-ins, and perhaps this one."""
    before = store.load()
    sign_in_with_browser(settings, store, ignore, browse=browse)
    after = store.load()

    assert before
    assert after
    assert before.record.credentials != after.record.credentials
    assert [row["path"] for row in signed_in.journal()] == ["/oauth/authorize", "/oauth/token"]
    with onplan.Client() as client:
        assert client.complete("hi").text


def test_a_sign_in_that_cannot_be_stored_changes_nothing(
    emulator: Emulator, settings: Settings, tmp_path: Path, browse: Callable[[str], None]
) -> None:
    """If the store fails in the end, that is told, and nothing is revoked."""
    store = open_store(f"file:{tmp_path}/kept/credentials.json")

    def announce(started: AuthorizationRequest) -> None:
        (tmp_path / "kept" / "credentials.json").mkdir()

    with pytest.raises(onplan.StoreError):
        sign_in_with_browser(settings, store, announce, browse=browse)

    assert [row["path"] for row in emulator.journal()] == ["/oauth/authorize", "/oauth/token"]


def test_the_request_in_progress_shows_no_secret(settings: Settings, store: CredentialStore) -> None:
    """The printed form of a sign-in in progress has neither state nor verifier."""
    kept: list[AuthorizationRequest] = []
    with pytest.raises(onplan.SignInError):
        sign_in_with_browser(settings, store, kept.append, browse=lambda url: None, timeout=0.01)

    assert kept[0].state not in repr(kept[0])
    assert kept[0].verifier not in repr(kept[0])


def _in_thread(call: Callable[[], object]) -> Any:
    import threading

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread
