"""Checks everything that a request depends on, and says what is wrong and what to do.

The checks use the settings, stores and transports that the clients use. They change nothing, except that an
expired token is refreshed to list the models. A check that depends on a failed one is skipped, so that a
problem is reported once. Every check has a time limit, so that all end within minutes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from functools import partial

from onplan.config.hints import complete_commands
from onplan.doctor import network, plan, signin, tls
from onplan.doctor.check import Check, Examination, NotExaminedError, Result
from onplan.errors import INTERNAL, IdleTimeoutError, OnplanError

logger = logging.getLogger("onplan.doctor")

CHECKS: tuple[Check, ...] = (
    Check("configuration", signin.configuration),
    Check("certificates", tls.authorities, after=("configuration",)),
    Check("proxy", network.proxy, after=("certificates",), online=True),
    *(
        check
        for party in network.PARTIES
        for check in (
            Check(f"{party}-name", partial(network.name, party), after=("proxy",), online=True),
            Check(f"{party}-tls", partial(tls.tls, party), after=(f"{party}-name",), online=True),
            Check(party, partial(network.reachable, party), after=(f"{party}-tls",), online=True),
        )
    ),
    Check("clock", network.clock, online=True),
    Check("store", signin.store, after=("configuration",), seconds=30),
    Check("lock", signin.lock, after=("store",), seconds=30),
    Check("refresh", signin.refresh, after=("lock",)),
    Check("token", signin.token, after=("store",)),
    Check("catalogue", plan.catalogue, after=("backend", "token"), online=True, seconds=60),
    Check("request", plan.request, after=("catalogue",), online=True, seconds=120),
)


def examine(
    *,
    profile: str | None = None,
    backend: str | None = None,
    store: str | None = None,
    offline: bool = False,
    request: bool = True,
) -> Iterator[Result]:
    """Carry out the checks, and yield the result of each when it is known.

    Args:
        profile: as for ``Client``.
        backend: as for ``Client``.
        store: a store spec.
        offline: skip what talks to the issuer and the backend.
        request: send the model one tiny question, which uses a little of the plan.
    """
    examination = Examination(profile, backend, store, offline=offline, request=request)
    for check in CHECKS:
        yield _result(check, examination)


def _result(check: Check, examination: Examination) -> Result:
    began = time.monotonic()

    def ended(state: str, message: str, fix: str | None = None, exit_code: int = 0) -> Result:
        return Result(check.name, state, message, fix, round(time.monotonic() - began, 3), exit_code)

    try:
        return ended("ok", _within_limit(check, examination))
    except NotExaminedError as error:
        if error.because:
            examination.failed[check.name] = error.because
        return ended("skipped", str(error))
    except OnplanError as error:
        examination.failed[check.name] = check.name
        if hasattr(examination, "settings"):
            complete_commands(error, examination.settings)
        return ended("problem", str(error), error.hint, error.exit_code)
    except Exception as error:  # so that a bug in one check does not prevent the others
        logger.debug("internal error", exc_info=error)
        examination.failed[check.name] = check.name
        message = f"An unexpected {type(error).__name__} in onplan."
        return ended("problem", message, "Run `onplan -v doctor` and report what it prints.", INTERNAL)


def _within_limit(check: Check, examination: Examination) -> str:
    """The result of the check, within its time limit. One that never ends is left behind on its thread."""
    outcome: Future[str] = Future()

    def run() -> None:
        try:
            outcome.set_result(_carry_out(check, examination))
        except BaseException as error:  # noqa: BLE001 - raised again by outcome.result()
            outcome.set_exception(error)

    threading.Thread(target=run, name="onplan-doctor", daemon=True).start()
    if not wait([outcome], check.seconds).done:
        look = "the network connection and its DNS server" if check.online else "the store"
        raise IdleTimeoutError(f"No answer within {check.seconds:.0f} seconds.", hint=f"Check {look}.")
    return outcome.result()


def _carry_out(check: Check, examination: Examination) -> str:
    examination.require(*check.after)
    if check.online and examination.offline:
        raise NotExaminedError("Left out because of --offline.")
    return check.carry_out(examination)
