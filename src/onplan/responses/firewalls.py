"""Answers that are not the backend's own but a firewall's or a proxy's. They say nothing of the sign-in."""

from __future__ import annotations

from typing import Any

from onplan.errors import BlockedError, OnplanError, RateLimitError, UnexpectedReplyError
from onplan.firewall import cloudflare_number, is_page, refused_by_firewall
from onplan.responses.error_body import ErrorBody
from onplan.responses.error_codes import row_of_status
from onplan.wire import Response, request_id_of


def failure_on_the_way(response: Response, body: Any, facts: ErrorBody) -> OnplanError | None:
    """What something in front of the backend says; None if the answer is the backend's, as far as is known.

    Args:
        response: the whole answer, of a failing status or with a page as its body.
        body: the decoded JSON of the answer; None if it is none.
        facts: what it says as an error's body.
    """
    status, page = response.status, body is None and is_page(response)
    number = cloudflare_number(response, body)
    if refused_by_firewall(response, body):
        return _refused(response, number, "" if page else facts.message)
    if number and status == 429:
        sentence = f"A firewall in front of the backend limits how often it lets you through ({number})."
        return _error(RateLimitError, sentence, response)
    if not page:
        return None
    if status == 429 or status >= 500:
        row = row_of_status(status, "")
        return _error(row.error, row.sentence, response)
    return _error(
        UnexpectedReplyError, f"A web page came back instead of an answer (HTTP {status}).", response
    )


def _refused(response: Response, number: str, said: str) -> OnplanError:
    ray = response.headers.get("cf-ray")
    named = [number or said.rstrip(".")[:300], f"cf-ray {ray}" if ray else ""]
    why = ", ".join(filter(None, named))
    sentence = f"A firewall in front of the backend refused this connection{f' ({why})' if why else ''}."
    return _error(BlockedError, sentence, response)


def _error(kind: type[OnplanError], sentence: str, response: Response) -> OnplanError:
    return kind(sentence, status=response.status, request_id=request_id_of(response.headers))
