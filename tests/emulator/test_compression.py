"""Answers in a content coding, as the client accepts: whole ones, streams write by write, not unasked."""

from __future__ import annotations

import zlib

import pytest
import zstandard

from onplan.emulator import Emulator, Options, Scenario
from onplan.emulator.options import Answer


def undoing(coding):
    """What reads this coding, piece by piece."""
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj()
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def undo(coding, data):
    return undoing(coding).decompress(data)


def raw(client, path, accepted, **options):
    """The bytes as they came, with the headers."""
    method = "POST" if "json" in options else "GET"
    headers = {**client.headers(), "accept-encoding": accepted}
    with client.http.stream(method, client.emulator.issuer + path, headers=headers, **options) as reply:
        return reply.headers, b"".join(reply.iter_raw())


TURN = {"model": "gpt-5.5", "stream": True, "store": False, "input": []}


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("zstd,gzip", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("zstd;q=0, gzip;q=0.5", "gzip"),
        ("GZIP", "gzip"),
        ("identity", None),
        ("br, gzip;q=0.0", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("path", ["/backend-api/codex/responses", "/backend-api/wham/usage"])
def test_an_answer_is_compressed_as_accepted(client, path, accepted, coding):
    """The fault `compressed`: zstd before gzip, and nothing where neither is taken."""
    client.emulator.arm("compressed")
    options = {"json": TURN} if path.endswith("responses") else {}
    headers, data = raw(client, path, accepted, **options)
    assert headers.get("content-encoding") == coding
    plain = data if coding is None else undo(coding, data)
    assert (b"response.completed" if options else b"rate_limit") in plain
    headers, _ = raw(client, path, accepted, **options)
    assert "content-encoding" not in headers


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
def test_every_event_can_be_read_when_it_was_sent(connect, coding):
    """A stream is flushed write by write: what came before a stall is all there."""
    scenario = Scenario(compress=True, answer=Answer(text="one two", interval=0.001))
    with Emulator(Options(scenario=scenario)) as emulator:
        client = connect(emulator)
        emulator.arm("stall")
        headers = {**client.headers(), "accept-encoding": coding}
        url = f"{emulator.codex_base_url}/responses"
        with client.http.stream("POST", url, json=TURN, headers=headers) as reply:
            assert reply.headers["content-encoding"] == coding
            seen, reader = b"", undoing(coding)
            for data in reply.iter_raw():
                seen += reader.decompress(data)
                if b"response.content_part.added" in seen:
                    break
            emulator.disarm()


def test_a_scenario_compresses_everything(connect):
    """Of what may be; an answer without a body stays as it is."""
    with Emulator(Options(scenario=Scenario(compress=True))) as emulator:
        client = connect(emulator)
        headers, data = raw(client, "/.well-known/jwks.json", "gzip")
        assert headers["vary"] == "accept-encoding"
        assert b"keys" in undo("gzip", data)
        emulator.arm("empty_500")
        headers, data = raw(client, "/backend-api/codex/responses", "gzip", json=TURN)
        assert (headers.get("content-encoding"), data) == (None, b"")
