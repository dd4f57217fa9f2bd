"""What a person pastes is read whatever was done to it on the way, and half of it is no answer."""

from __future__ import annotations

import base64
import html
import json
import quopri
import re
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.oauth.authorization_code import Callback
from onplan.oauth.pasted import PastedLines, is_answer, read_pasted, readings

from ..cases import case

STATE = "sTaTe-_0123456789abcdefghijklmnopqrstuvwxyz0"
CODE = "ac_AbC-dEf_0123456789.xyz-ZYX_9876"
ADDRESS = f"http://localhost:1455/auth/callback?code={CODE}&scope=openid+profile+email&state={STATE}"
STATE_FIRST = f"http://localhost:1455/auth/callback?state={STATE}&code={CODE}"


def proofpoint_v2(address):
    escaped = quote(address, safe="/").replace("-", "%2D").replace("_", "%5F")
    wrapped = escaped.replace("%", "-").replace("/", "_")
    return f"https://urldefense.proofpoint.com/v2/url?u={wrapped}&d=DwMF-g&c=x&r=y&m=z&s=w&e="


SAFE_LINKS = "https://eur02.safelinks.protection.outlook.com"
TEAMS = "https://statics.teams.cdn.office.net/evergreen-assets/safelinks/1/atp-safelinks.html"
SOPHOS = "https://eu-west-1.protection.sophos.com"


def proofpoint_v3(address):
    replaced = "".join("*" if character in "+&" else character for character in address)
    taken = base64.urlsafe_b64encode("".join(c for c in address if c in "+&").encode()).decode().rstrip("=")
    return f"https://urldefense.com/v3/__{replaced}__;{taken}!!ABC_d-E!xYz$"


WRAPPED = {
    "Safe Links": lambda a: f"{SAFE_LINKS}/?url={quote(a, safe='')}&data=05%7C02&sdata=x%3D",
    "Safe Links in HTML": lambda a: html.escape(f"{SAFE_LINKS}/?url={quote(a, safe='')}&data=05%7C02"),
    "Safe Links of Teams": lambda a: f"{TEAMS}?url={quote(a, safe='')}&locale=en-us",
    "Google": lambda a: f"https://www.google.com/url?q={quote(a, safe='')}&sa=D&source=hangouts",
    "Google, not escaped": lambda a: f"https://www.google.com/url?q={a}&sa=D",
    "Slack": lambda a: f"https://slack-redir.net/link?url={quote(a, safe='')}&v=3",
    "Facebook": lambda a: f"https://l.facebook.com/l.php?u={quote(a, safe='')}&h=AT0",
    "Barracuda": lambda a: f"https://linkprotect.cudasvc.com/url?a={quote(a, safe='')}&c=E,1,x&typo=1",
    "Proofpoint 1": lambda a: f"https://urldefense.proofpoint.com/v1/url?u={quote(a, safe='')}&k=x",
    "Proofpoint 2": proofpoint_v2,
    "Proofpoint 3": proofpoint_v3,
    "Proofpoint 3, several at once": lambda a: (
        f"https://urldefense.com/v3/__{a.replace('openid', '**E')}__;"
        f"{base64.b64encode(b'openid').decode()}!!ABC_d-E!xYz$"
    ),
    "Cisco": lambda a: f"https://secure-web.cisco.com/1AbC-dEf/{quote(a, safe='')}",
    "Sophos": lambda a: f"{SOPHOS}?d=x&u={base64.b64encode(a.encode()).decode().rstrip('=')}&i=x",
    "a wrapper in a wrapper": lambda a: (
        "https://www.google.com/url?q="
        + quote(f"https://x.safelinks.protection.outlook.com/?url={quote(a, safe='')}&data=1", safe="")
    ),
    "a login page's next": lambda a: (
        f"https://github.com/codespaces/auth/x?{urlencode({'cid': 1, 'path': a})}"
    ),
    "a fragment": lambda a: f"https://viewer.example/#url={quote(a, safe='')}",
    "its path alone": lambda a: f"https://code.example/?next={quote(a.partition('1455')[2], safe='')}",
}
QUOTED = {
    "whole": lambda a: a,
    "blanks around": lambda a: f" \t{a}  \r\n",
    "double quotes": lambda a: f'"{a}"',
    "single quotes": lambda a: f"'{a}'",
    "backticks": lambda a: f"`{a}`",
    "curly quotes": lambda a: f"“{a}”",
    "guillemets": lambda a: f"« {a} »",
    "angle brackets": lambda a: f"<{a}>",
    "parentheses": lambda a: f"({a})",
    "square brackets": lambda a: f"[{a}]",
    "Markdown": lambda a: f"[{a}]({a})",
    "Markdown with a title": lambda a: f"[the address]({a})",
    "Slack's own": lambda a: f"<{a}|localhost:1455>",
    "HTML": lambda a: f'<a href="{html.escape(a)}">{html.escape(a)}</a>',
    "a full stop": lambda a: f"{a}.",
    "a comma": lambda a: f"{a},",
    "a sentence": lambda a: f"It ended at {a}. What now?",
    "a quoted full stop": lambda a: f'"{a}".',
    "words before": lambda a: f"URL: {a}",
    "words after": lambda a: f"{a} thanks",
    "a mail's answer": lambda a: f"> {a}\n> \n",
    "a bracketed paste": lambda a: f"\x1b[200~{a}\x1b[201~",
    "a byte order mark": lambda a: f"\ufeff{a}",
    "zero-width characters": lambda a: f"\u200b{a[:40]}\u00ad{a[40:]}\u200b",
    "curl": lambda a: f"curl '{a}'",
    "JSON": lambda a: json.dumps({"url": a}).replace("/", "\\/").replace("&", "\\u0026"),
    "a shell's backslashes": lambda a: a.replace("?", "\\?").replace("=", "\\=").replace("&", "\\&"),
    "Windows' carets": lambda a: a.replace("&", "^&"),
    "entities": html.escape,
    "entities twice": lambda a: html.escape(html.escape(a)),
    "entities by number": lambda a: a.replace("&", "&#38;").replace("=", "&#x3D;"),
    "escaped": lambda a: quote(a, safe=""),
    "escaped twice": lambda a: quote(quote(a, safe=""), safe=""),
    "quoted-printable": lambda a: quopri.encodestring(a.encode()).decode(),
    "quoted-printable throughout": lambda a: re.sub(
        r"[^A-Za-z0-9]", lambda found: f"={ord(found[0]):02X}", a
    ),
    "a blank within its state": lambda a: a.replace(STATE, f"{STATE[:9]} {STATE[9:]}"),
    "a fragment": lambda a: a.replace("?", "#"),
    "without its scheme": lambda a: a.removeprefix("http://"),
    "its query": lambda a: a.partition("?")[2],
    "its query with the mark": lambda a: "?" + a.partition("?")[2],
    "HTTPS": lambda a: a.replace("http:", "https:"),
    "a Codespace's host": lambda a: a.replace(
        "http://localhost:1455", "https://fuzzy-space-1455.app.github.dev"
    ),
    "a Codespace's older host": lambda a: a.replace(
        "http://localhost:1455", "https://x-1455.githubpreview.dev"
    ),
    "Gitpod's host": lambda a: a.replace("http://localhost:1455", "https://1455-x-y.ws-eu1.gitpod.io"),
    "a tunnel's host": lambda a: a.replace("http://localhost:1455", "https://x-1455.uks1.devtunnels.ms"),
    "code-server's path": lambda a: a.replace("http://localhost:1455", "https://code.example/proxy/1455"),
    "IPv6": lambda a: a.replace("localhost", "[::1]"),
    "a request's first line": lambda a: f"GET {a.partition('1455')[2]} HTTP/1.1",
}
every_way = pytest.mark.parametrize("way", [*QUOTED.values(), *WRAPPED.values()], ids=[*QUOTED, *WRAPPED])


@pytest.mark.parametrize("address", [ADDRESS, STATE_FIRST], ids=["state last", "code last"])
@every_way
def test_an_address_is_read_as_it_was(way, address):
    """However an address was quoted, escaped or wrapped, its code and state are found unchanged."""
    callback = read_pasted(way(address), STATE)

    assert (CODE, True) == (callback.code, is_answer(callback))


@every_way
def test_a_stranger_s_address_is_none(way):
    """With another state it is no answer, in whatever way it comes."""
    assert not is_answer(read_pasted(way(ADDRESS.replace(STATE, "other")), STATE))
    assert not is_answer(read_pasted(way(ADDRESS.replace(STATE, STATE + "x")), STATE))


@pytest.mark.parametrize(
    "text",
    [
        f"{CODE}#{STATE}",
        f'"{CODE}#{STATE}"',
        f"code={CODE}&state={STATE}",
        f"code={CODE}\nstate={STATE}",
        f"code: {CODE}\nscope: openid\nstate: {STATE}",
        json.dumps({"state": STATE, "code": CODE}),
    ],
)
def test_its_fields_are_enough(text):
    """Code and state are enough, in the forms in which programs list them."""
    callback = read_pasted(text, STATE)

    assert (CODE, True) == (callback.code, is_answer(callback))


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (Callback(True, "ac_1"), True),
        (Callback(True, error="access_denied"), True),
        (Callback(False, "ac_1"), False),
        (Callback(True), False),
        (Callback(True, "ac_1 and words"), False),
        (Callback(True, "ac_1http://localhost"), False),
    ],
    ids=str,
)
def test_what_ends_a_sign_in(callback, expected):
    """A genuine code or error; not two addresses that have run together, nor words."""
    assert is_answer(callback) is expected


@every_way
def test_no_reading_is_tried_twice(way):
    """However often the same change can be made."""
    found = [reading for reading in readings(way(ADDRESS)) if not reading.startswith(("code=", "state="))]

    assert len(found) == len(set(found))


def test_a_refusal_is_an_answer():
    """An error with this sign-in's state ends it, too."""
    callback = read_pasted(
        f"<http://localhost:1455/auth/callback?error=access_denied&amp;state={STATE}>.", STATE
    )

    assert ("access_denied", True) == (callback.error, is_answer(callback))


@pytest.mark.parametrize(
    ("code", "encoded"), [("c/1", "c%2F1"), ("c+1=", "c%2B1%3D"), ("3Dabc", "3Dabc"), ("a%", "a%25")]
)
def test_a_code_keeps_its_characters(code, encoded):
    """A code is decoded once, and not more."""
    assert code == read_pasted(f"http://localhost/auth/callback?code={encoded}&state={STATE}", STATE).code


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "nonsense",
        CODE,
        f"state={STATE}",
        f"http://localhost:1455/auth/callback?state={STATE}",
        "=",
        "#",
        "&;%",
    ],
)
def test_what_is_not_whole_is_none(text):
    """Without a code, or without the state, there is no answer."""
    assert not is_answer(read_pasted(text, STATE))


def test_a_code_of_other_characters_is_taken_as_it_is():
    """RFC 6749 permits every visible character; an address that has one in its code is read plainly."""
    callback = read_pasted(f"http://localhost/auth/callback?code=a%7Cb:c*(d)&state={STATE}", STATE)

    assert ("a|b:c*(d)", True) == (callback.code, is_answer(callback))


@given(st.text())
def test_no_text_is_an_answer_by_chance(text):
    """Nothing that a stranger can paste passes for an answer, and nothing fails."""
    assert not is_answer(read_pasted(text, STATE))


@pytest.mark.parametrize(
    "text", ["a=" * 30_000, "http://" * 20_000, "%253d" * 20_000, "&amp;" * 20_000, "[=" * 40_000]
)
def test_a_long_text_is_read_in_bounds(text):
    """However long a paste is, it is not taken apart for ever; an address at its end is found."""
    assert not is_answer(read_pasted(text, STATE))
    assert is_answer(read_pasted(f"{text}\n{ADDRESS}", STATE))


# --- line by line -------------------------------------------------------------------------------------


def take(*lines):
    """The answers to the lines, one after the other."""
    pasted = PastedLines(STATE)
    return [pasted.take(line) for line in lines]


def test_an_address_may_be_broken_anywhere():
    """Of two halves neither is an answer; the second makes the first one whole."""
    for at in range(20, len(ADDRESS)):
        with case(f"broken at {at}"):
            first, second = take(f"{ADDRESS[:at]}\n", f"{ADDRESS[at:]}\n")

            assert not is_answer(first)
            assert (CODE, True) == (second.code, is_answer(second))


@pytest.mark.parametrize("width", [20, 40, 79])
@pytest.mark.parametrize("indent", ["", "  ", "> "])
@pytest.mark.parametrize("end", ["\n", "  \n"])
def test_an_address_may_come_in_many_lines(width, indent, end):
    """A narrow terminal's lines make the address, alone or together, indented, quoted or filled up."""
    lines = [f"{indent}{ADDRESS[at : at + width]}{end}" for at in range(0, len(ADDRESS), width)]

    answers = take(*lines)

    assert [False] * (len(lines) - 1) + [True] == [is_answer(answer) for answer in answers]
    assert CODE == answers[-1].code
    assert CODE == read_pasted("".join(lines), STATE).code


@pytest.mark.parametrize("cut", ["code=ac_", "openid+", "&sta", "?", "http://local"])
def test_half_an_address_before_the_whole_one_does_no_harm(cut):
    """What was pasted before, and stayed half, is not mixed into what is pasted then."""
    half = ADDRESS[: ADDRESS.index(cut) + len(cut)]
    answers = take("some words\n", half, ADDRESS)

    assert [False, False, True] == [is_answer(answer) for answer in answers]
    assert CODE == answers[-1].code
    assert CODE == read_pasted(f"{half}\n{ADDRESS}", STATE).code


def test_an_older_address_before_the_right_one_does_no_harm():
    """The address of an earlier sign-in, pasted first, is no answer and leaves no trace."""
    older = ADDRESS.replace(STATE, "older").replace(CODE, "older")

    assert CODE == take(older, ADDRESS)[-1].code
    assert CODE == read_pasted(f"{older}\n{ADDRESS}", STATE).code
    assert CODE == read_pasted(f"{ADDRESS}\n{older}", STATE).code


def test_a_code_with_a_slash_survives_proofpoint():
    """Version 2 writes underscores for slashes."""
    assert read_pasted(proofpoint_v2(ADDRESS.replace(CODE, "ab/cd_ef")), STATE).code == "ab/cd_ef"


def test_not_everything_is_tried():
    """Of a text with many addresses the number of readings is bounded."""
    text = " ".join(f"http://localhost/?code=a{number}&state=b{number}" for number in range(1_000))

    assert 100 < len(list(readings(text))) <= 400


def test_no_code_is_in_a_printed_form():
    """What comes back shows no code."""
    assert CODE not in repr(read_pasted(ADDRESS, STATE))
    assert CODE not in repr(Callback(True, CODE))


def _broken(text, width):
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))


@pytest.mark.parametrize("width", [36, 42, 47, 53, 60, 71, 80])
@pytest.mark.parametrize(
    "escape",
    [
        str,
        html.escape,
        lambda text: text.replace("&", "&#38;"),
        lambda text: text.replace("&", "^&"),
        lambda text: json.dumps({"url": text}),
        lambda text: json.dumps(text.replace("\n", "\r\n")),
        lambda text: "\n".join(f"> {line}" for line in html.escape(text).splitlines()),
    ],
)
def test_a_code_that_was_broken_and_escaped_is_whole(width, escape):
    """An address that was broken anywhere, also in its code, and then escaped: never half of the code."""
    pasted = escape(_broken(ADDRESS, width))
    lines = PastedLines(STATE)
    answers = [callback for line in pasted.splitlines() if is_answer(callback := lines.take(line))]

    assert answers[0].code == read_pasted(pasted, STATE).code == CODE


@pytest.mark.parametrize("mark", ["\u200b", "\u00ad", "\ufeff"])
@pytest.mark.parametrize(
    "escape", [json.dumps, lambda text: f"https://www.google.com/url?q={quote(text, safe='')}"]
)
def test_invisible_characters_may_have_been_escaped(mark, escape):
    """They are left out wherever they appear, also behind another program's escapes."""
    assert read_pasted(escape(ADDRESS.replace("&", f"{mark}&")), STATE).code == CODE
