from __future__ import annotations

import re

from onplan.oauth import pkce


def test_the_challenge_of_the_rfc():
    """RFC 7636, appendix B."""
    verifier = pkce.base64url(
        bytes([116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186,
               22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121])
    )  # fmt: skip

    assert "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" == verifier
    assert "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" == pkce.code_challenge(verifier)


def test_a_recorded_challenge(recording):
    """A verifier of the official client gives the challenge that it sent."""
    requests = recording("login_browser")
    challenge = next(r["query"]["code_challenge"] for r in requests if r["path"] == "/oauth/authorize")
    verifier = next(r["body"]["form"]["code_verifier"] for r in requests if r["path"] == "/oauth/token")

    assert challenge == pkce.code_challenge(verifier)


def test_the_length_and_alphabet_are_the_official_client_s():
    """A verifier has 86 unreserved characters and a state 43, without padding."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{86}", pkce.generate_verifier())
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", pkce.generate_state())


def test_no_two_are_alike():
    """Verifiers and states are random."""
    assert pkce.generate_verifier() != pkce.generate_verifier()
    assert pkce.generate_state() != pkce.generate_state()
