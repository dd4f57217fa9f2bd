"""Faults of `alpha/search`."""

from __future__ import annotations

from onplan.emulator.faults.actions import changed, ended, error, server_error, without
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.replies import Reply, detail, html_reply, json_reply

SEARCH = ("search",)
FAILURE = "Error: the search could not be carried out. Try again later."


def _failure() -> Reply:
    return json_reply({"output": FAILURE, "results": []})


FAULTS = (
    Fault("search_failure_in_output", "200 whose output says that it failed.", SEARCH, instead=_failure),
    Fault(
        "search_unauthorized",
        "401, as for an access token that was revoked early.",
        SEARCH,
        instead=lambda: detail("Unauthorized", 401),
    ),
    Fault(
        "search_access_enforcement",
        "401 no_matching_rule, as for personal access tokens, although turns are answered.",
        SEARCH,
        instead=error(
            401,
            "rejected_by_access_enforcement",
            kind="rejected_by_access_enforcement",
            code="no_matching_rule",
        ),
    ),
    Fault(
        "search_rate_limited",
        "429 of its own: the plan has enough left.",
        SEARCH,
        instead=error(
            429,
            "search request was rate limited",
            kind="rate_limit_error",
            code="rate_limit_exceeded",
            headers=(("retry-after", "1"),),
        ),
    ),
    Fault("search_500", "500 server_error.", SEARCH, instead=server_error),
    Fault("search_404", "404 with a detail.", SEARCH, instead=lambda: detail("Not Found", 404)),
    Fault("search_lost", "The search is carried out, and its answer is lost.", SEARCH, after=ended("reset")),
    Fault("search_without_output", "A reply without its output.", SEARCH, after=changed(without("output"))),
    Fault(
        "search_odd_results",
        "Some results are not objects with a reference.",
        SEARCH,
        after=changed(lambda body: {**body, "results": [None, 5, {"ref_id": 7}, *body["results"]]}),
    ),
    Fault(
        "search_html",
        "200 with a page of HTML.",
        SEARCH,
        instead=lambda: html_reply("<!doctype html><title>ChatGPT</title>"),
    ),
)
