"""The doctor and certificates: what is wrong with one, and whose it is."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from onplan import doctor
from onplan.doctor.certificate import read_certificate

Find = Callable[..., dict[str, doctor.check.Result]]

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def a_name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "PT"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, text),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{text} root"),
        ]
    )


_MAY_SIGN = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    **dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    ),
)


@dataclass
class Authority:
    """A certificate authority of the test's own."""

    name: str
    key: ec.EllipticCurvePrivateKey

    def certificate(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        *hosts: str,
        days: tuple[int, int] = (-1, 1),
        identified: bool = True,
    ) -> x509.Certificate:
        """Signed for ``hosts``, or as an authority's own. ``identified``: with what RFC 5280 asks for."""
        built = (
            x509.CertificateBuilder()
            .issuer_name(a_name(self.name))
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + days[0] * DAY)
            .not_valid_after(NOW + days[1] * DAY)
            .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None), critical=True)
        )
        if hosts:
            names = [
                x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
                for host in hosts
            ]
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        else:
            built = built.add_extension(_MAY_SIGN, critical=True)
        if identified:
            issuer, own = self.key.public_key(), key.public_key()
            for extension in (
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer),
                x509.SubjectKeyIdentifier.from_public_key(own),
            ):
                built = built.add_extension(extension, critical=False)
        return built.sign(self.key, hashes.SHA256())

    def trusted_in(self, path: Path) -> Path:
        """Its own certificate in a file, for SSL_CERT_FILE."""
        own = self.certificate(self.key, a_name(self.name))
        path.write_bytes(own.public_bytes(serialization.Encoding.PEM))
        return path

    def context(self, folder: Path, *hosts: str, **options: Any) -> ssl.SSLContext:
        """What a server for ``hosts`` needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        shown = self.certificate(key, a_name("the server"), *hosts, **options)
        pem = folder / "server.pem"
        pem.write_bytes(
            shown.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One that signs what it is told to."""
    return Authority("Interception Ltd", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def trust(authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """This machine trusts it."""
    path = authority.trusted_in(tmp_path / "authorities.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


@pytest.fixture
def issuer(
    authority: Authority,
    serve: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    unused_url: str,
) -> Callable[..., int]:
    """Start an issuer with a certificate for these hosts."""

    def start(*hosts: str, **options: Any) -> int:
        port = serve(context=authority.context(tmp_path, *hosts, **options))
        monkeypatch.setenv("ONPLAN_ISSUER", f"https://127.0.0.1:{port}")
        monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", unused_url)
        return port

    return start


def test_a_certificate_that_is_trusted(trust: Path, issuer: Callable[..., int], find: Find) -> None:
    """With the right authority the line says who issued the certificate, and the issuer answers."""
    issuer("127.0.0.1")
    found = find()

    assert found["certificates"].message == f"The trusted authorities are those of SSL_CERT_FILE ({trust})."
    assert found["issuer-tls"].state == "ok"
    assert "Interception Ltd, Interception Ltd root, valid until" in found["issuer-tls"].message
    assert found["issuer"].state == "ok"


def test_an_authority_that_is_not_trusted(issuer: Callable[..., int], find: Find) -> None:
    """A certificate of somebody unknown, as an intercepting proxy shows: its name, and SSL_CERT_FILE."""
    issuer("127.0.0.1")
    found = find()

    assert (found["issuer-tls"].state, found["issuer-tls"].exit_code) == ("problem", 40)
    assert "issued by Interception Ltd, Interception Ltd root, which this" in found["issuer-tls"].message
    assert "export SSL_CERT_FILE=FILE" in (found["issuer-tls"].fix or "")
    assert found["issuer"].message == "Not examined because of the problem with issuer-tls."


@pytest.mark.parametrize(
    ("hosts", "days", "told", "fix"),
    [
        (
            ["127.0.0.1"],
            (-9, -2),
            f"expired on {NOW - 2 * DAY:%Y-%m-%d}; this machine's clock",
            "If the clock",
        ),
        (["127.0.0.1"], (2, 9), f"is valid from {NOW + 2 * DAY:%Y-%m-%d} on", "Set the clock"),
        (
            ["other.example"],
            (-1, 1),
            "belongs to another host. It was issued by Interception Ltd",
            "captive portal",
        ),
        (["127.0.0.2"], (-1, 1), "belongs to another host", "captive portal"),
    ],
    ids=["ended", "not begun", "another name", "another address"],
)
def test_what_is_wrong_with_a_certificate(
    trust: Path,
    issuer: Callable[..., int],
    find: Find,
    hosts: list[str],
    days: tuple[int, int],
    told: str,
    fix: str,
) -> None:
    """One that has ended or not begun, and another host's, are told apart."""
    issuer(*hosts, days=days)
    found = find()

    assert found["issuer-tls"].state == "problem"
    assert told in found["issuer-tls"].message
    assert fix in (found["issuer-tls"].fix or "")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python 3.13 began to insist on it")
def test_a_certificate_that_only_python_3_13_refuses(
    trust: Path, issuer: Callable[..., int], find: Find
) -> None:
    """A trusted certificate without a key identifier is refused with the rule, its issuer and what helps."""
    issuer("127.0.0.1", identified=False)
    found = find()

    assert "issued by Interception Ltd, Interception Ltd root, breaks a rule" in found["issuer-tls"].message
    assert "Missing Authority Key Identifier" in found["issuer-tls"].message
    assert "Python 3.12" in (found["issuer-tls"].fix or "")


def test_a_server_without_tls(
    serve: Callable[..., int], find: Find, monkeypatch: pytest.MonkeyPatch, unused_url: str
) -> None:
    """Something that does not speak TLS is told as that, and nothing is sent to it."""
    monkeypatch.setenv("ONPLAN_ISSUER", f"https://127.0.0.1:{serve()}")
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", unused_url)
    found = find()

    assert (found["issuer-tls"].state, found["issuer-tls"].exit_code) == ("problem", 40)
    assert "could not be reached: [SSL" in found["issuer-tls"].message


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_loaded(
    find: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    """A file of authorities that is missing, or has none in it, is told with its variable."""
    path = tmp_path / "authorities.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    found = find()

    assert (found["certificates"].state, found["certificates"].exit_code) == ("problem", 2)
    assert f"SSL_CERT_FILE ({path}) names cannot be loaded" in found["certificates"].message
    assert "unset SSL_CERT_FILE" in (found["certificates"].fix or "")
    assert found["request"].state == "skipped"


@pytest.fixture
def tunnel() -> Iterator[Callable[[int], int]]:
    """A proxy whose every CONNECT leads to one port on loopback; gives its own."""
    threads: list[threading.Thread] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        target: list[int] = []

        def copy(source: socket.socket, to: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    to.sendall(data)
            with suppress(OSError):
                to.shutdown(socket.SHUT_WR)

        def connect(client: socket.socket) -> None:
            with client, suppress(OSError):
                asked = client.recv(65536)
                if not asked.startswith(b"CONNECT "):
                    return
                with socket.create_connection(("127.0.0.1", target[0])) as server:
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    back = threading.Thread(target=copy, args=(server, client))
                    back.start()
                    copy(client, server)
                    back.join()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    thread = threading.Thread(target=connect, args=(listener.accept()[0],))
                    thread.start()
                    threads.append(thread)

        accepting = threading.Thread(target=serve)
        accepting.start()

        def start(port: int) -> int:
            target.append(port)
            return int(listener.getsockname()[1])

        yield start
        listener.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *threads):
            thread.join()


@pytest.mark.parametrize("trusted", [True, False])
def test_through_a_proxy(
    authority: Authority,
    issuer: Callable[..., int],
    tunnel: Callable[[int], int],
    find: Find,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    trusted: bool,
) -> None:
    """Through a proxy the certificate is the far side's, and the name need not be known here."""
    port = issuer("auth.invalid")
    monkeypatch.setenv("ONPLAN_ISSUER", "https://auth.invalid")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{tunnel(port)}")
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted_in(tmp_path / "authorities.pem")))
    found = find()

    assert "From https_proxy: issuer through 127.0.0.1:" in found["proxy"].message
    assert found["issuer-tls"].state == ("ok" if trusted else "problem")
    assert "Interception Ltd" in found["issuer-tls"].message
    assert found["issuer"].state == ("ok" if trusted else "skipped")


@given(st.binary(max_size=200))
def test_what_is_no_certificate(data: bytes) -> None:
    """Whatever the other side shows is a certificate or a ValueError."""
    with suppress(ValueError):
        read_certificate(data)


@given(st.data())
def test_a_damaged_certificate(data: st.DataObject) -> None:
    """So is a real one with a byte changed; and its names are printable and short."""
    der = bytearray(_DER)
    der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        issuer = read_certificate(bytes(der)).issuer
        assert issuer.isprintable()
        assert len(issuer) <= 100


def test_a_certificate_is_read() -> None:
    """Issuer and dates are those that it was made with."""
    found = read_certificate(_DER)

    assert found.issuer == "Somebody, Somebody root"
    assert (found.begins, found.ends) == (NOW.replace(microsecond=0) - DAY, NOW.replace(microsecond=0) + DAY)


_KEY = ec.generate_private_key(ec.SECP256R1())
_DER = (
    Authority("Somebody", _KEY)
    .certificate(_KEY, a_name("the server"), "a.example")
    .public_bytes(serialization.Encoding.DER)
)
