"""Whom the clients believe: authorities by argument and from the environment, on every transport."""

from __future__ import annotations

import codecs
import gc
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

import onplan
from onplan.stores.vault.login import server_from
from onplan.transports.ca_files import trust
from onplan.transports.certificates import usual_certificates
from onplan.transports.route import Route

if TYPE_CHECKING:
    from tests.clients.conftest import Far

REQUEST = onplan.CompletionRequest(messages="one two three", model="gpt-5.5")
BOTH = pytest.mark.parametrize("kind", [onplan.Client, onplan.AsyncClient])


def test_a_file_of_the_environment(far: Far, driver: Any) -> None:
    """``SSL_CERT_FILE`` says who is trusted."""
    assert (
        driver(store=far.store(), base_url=far.near_url()).complete(REQUEST).text == "You said: one two three"
    )


def test_a_folder_of_the_environment(
    far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So does ``SSL_CERT_DIR``, where the certificates lie under their hashes."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, to compute the hash")
    command = [openssl, "x509", "-noout", "-hash", "-in", far.certificates]
    name = subprocess.check_output(command, text=True, timeout=30).strip()
    folder = tmp_path / "authorities"
    folder.mkdir()
    shutil.copy(far.certificates, folder / f"{name}.0")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))

    assert (
        driver(store=far.store(), base_url=far.near_url()).complete(REQUEST).text == "You said: one two three"
    )


def test_a_file_by_argument(far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ca_file=`` is trusted for the backend, and for the refresh of tokens through a proxy."""
    monkeypatch.delenv("SSL_CERT_FILE")
    proxy = far.proxy()

    answer = driver(store=far.store(expires_at=1.0), ca_file=far.certificates, proxy=proxy.url).complete(
        REQUEST
    )

    assert answer.text == "You said: one two three"
    assert {place for place, _ in proxy.asked} == {"auth.invalid:443", "backend.invalid:443"}


def test_a_file_by_argument_adds(far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who are trusted anyway go on being trusted beside it."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))

    subjects = Route(ca_file=other).certificates().get_ca_certs()

    assert len(subjects) == 2


def test_a_certificate_that_is_not_trusted(far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error of its own with what to do, and nobody asks again."""
    monkeypatch.delenv("SSL_CERT_FILE")

    waits: list[float] = []

    with pytest.raises(onplan.CertificateError) as caught:
        driver(
            store=far.store(), base_url=far.near_url(), on_retry=lambda error, seconds: waits.append(seconds)
        ).complete(REQUEST)

    error = caught.value
    assert f"The certificate of https://127.0.0.1:{far.port} is refused: " in str(error)
    assert "ca_file" in error.hint
    assert "SSL_CERT_FILE" in error.hint
    assert (error.exit_code, waits) == (43, [])


def test_a_certificate_of_another_host(far: Far, driver: Any) -> None:
    """A trusted one that is not the server's is refused as well."""
    url = far.near_url().replace("127.0.0.1", "localhost")

    with pytest.raises(onplan.CertificateError, match="The certificate of https://localhost"):
        driver(store=far.store(), base_url=url).complete(REQUEST)


def test_a_proxy_that_opens_what_it_passes_on(far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy it is the far side's certificate that counts, and the error says the same."""
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(onplan.CertificateError, match=r"certificate of https://backend\.invalid is refused"):
        driver(store=far.store(), proxy=far.proxy().url).complete(REQUEST)


def test_a_proxy_that_is_not_trusted(far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that wants TLS must be trusted itself."""
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(onplan.CertificateError):
        driver(store=far.store(), proxy=far.proxy("https").url).complete(REQUEST)


def test_a_refresh_that_meets_a_stranger(far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the token endpoint shows a certificate that is not trusted, the hint helps as well."""
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(
        onplan.RefreshError, match=r"certificate of https://auth\.invalid is refused"
    ) as caught:
        driver(
            store=far.store(expires_at=1.0), proxy=far.proxy().url, retry=onplan.RetryPolicy(attempts=1)
        ).complete(REQUEST)

    assert "SSL_CERT_FILE" in caught.value.hint


@BOTH
@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_an_argument_that_holds_none(
    clean_environment: Path, tmp_path: Path, kind: Any, content: str | None
) -> None:
    """A file that is missing, empty or something else is refused when the client is made."""
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(onplan.ConfigurationError, match=f"authorities in {path} cannot be loaded") as caught:
        kind(ca_file=path)

    assert "ca_file" in caught.value.hint


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_variable_that_names_none(
    far: Far, driver: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """It is told with its name when there is something to send, on every transport."""
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv(variable, str(tmp_path / "missing"))

    with pytest.raises(onplan.ConfigurationError, match=f"{variable} .*missing.* cannot be loaded") as caught:
        driver(store=far.store(), base_url=far.near_url()).complete(REQUEST)

    assert caught.value.hint == f"Correct it, or run `unset {variable}`."
    del caught
    gc.collect()  # a socket that was left open would be an error now


def _utf_16(pem: bytes) -> bytes:
    return codecs.BOM_UTF16_LE + pem.decode().encode("utf-16-le")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda first, second: first + second, 2),
        (lambda first, second: codecs.BOM_UTF8 + first, 1),
        (lambda first, second: codecs.BOM_UTF8 + first + second, 2),
        (lambda first, second: codecs.BOM_UTF8 + first + codecs.BOM_UTF8 + second, 2),
        (lambda first, second: first + codecs.BOM_UTF8 + second, 2),
        (lambda first, second: _utf_16(first + second), 2),
        (lambda first, second: (first + second).decode().encode("utf-16-be"), 2),
        (lambda first, second: codecs.BOM_UTF8 + "# Größe\r\n".encode() + first + second, 2),
        (lambda first, second: b"# Gr\xf6\xdfe\n" + first + second, 2),
    ],
)
def test_every_encoding_of_a_file_of_authorities(
    clean_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    write: Callable[[bytes, bytes], bytes],
    expected: int,
) -> None:
    """Byte order marks, UTF-16 and comments hide no certificate: by variable, by argument and for Vault."""
    first, second = (trustme.CA().cert_pem.bytes() for _ in range(2))
    path = tmp_path / "authorities.pem"
    path.write_bytes(write(first, second))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert usual_certificates().cert_store_stats()["x509"] == expected

    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust(context, path)
    assert context.cert_store_stats()["x509"] == expected

    monkeypatch.setenv("VAULT_CACERT", str(path))
    server = server_from({"address": "https://vault.invalid", "namespace": ""})
    assert server.certificates
    assert server.certificates.cert_store_stats()["x509"] == expected


@pytest.mark.parametrize(
    "content", [b"", codecs.BOM_UTF8, codecs.BOM_UTF8 + b"words", codecs.BOM_UTF16_LE + b"x"]
)
def test_a_file_without_authorities_is_told(
    clean_environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    """Whatever its encoding, a file without a certificate is refused by name."""
    path = tmp_path / "authorities.pem"
    path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(onplan.ConfigurationError, match="cannot be loaded: it holds no certificate"):
        usual_certificates()
    with pytest.raises(onplan.ConfigurationError, match="cannot be loaded: it holds no certificate"):
        onplan.Client(ca_file=path)


_READ = """
import sys
from onplan.transports.certificates import usual_certificates
from onplan.transports.route import Route
from onplan.stores.vault.login import server_from
from onplan.errors import ConfigurationError
for read in (
    usual_certificates,
    lambda: Route(None, sys.argv[1]),
    lambda: server_from({"address": "https://vault.invalid", "namespace": ""}),
):
    try:
        read()
    except ConfigurationError as error:
        print(error)
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("variable", ["VAULT_CACERT", "VAULT_CAPATH"])
def test_a_named_pipe_holds_nobody_up(
    clean_environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """Nobody writes to it, and reading it would never end."""
    folder = tmp_path / "authorities"
    folder.mkdir()
    path = folder / "pipe.pem"
    os.mkfifo(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setenv(variable, str(path if variable == "VAULT_CACERT" else folder))

    result = subprocess.run(
        [sys.executable, "-c", _READ, str(path)], capture_output=True, text=True, timeout=30, check=False
    )

    lines = result.stdout.splitlines()
    assert [("named pipe" in line, "no certificate" in line) for line in lines] == [
        (True, False),
        (True, False),
        (False, True),
    ], result.stderr
