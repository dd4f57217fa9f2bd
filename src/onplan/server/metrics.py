"""What the server counts for Prometheus. With several workers, each adds to files that any of them reads."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onplan.dialects.served import ServedReply
from onplan.errors import ConfigurationError

if TYPE_CHECKING:
    from onplan.types import Limits, Usage

# Seconds to the first byte: a model thinks for minutes.
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
# What counts as a route of its own; a path of a client's own making must not make a time series.
_ROUTES = frozenset(
    {
        "/responses",
        "/chat/completions",
        "/models",
        "/images/generations",
        "/images/edits",
        "/usage",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/",
    }
)


_KINDS = ("prompt", "completion", "cached", "reasoning")  # of tokens


def route_of(path: str) -> str:
    """The route of a path, by a name of which there are few."""
    short = path.removeprefix("/v1") or "/"
    if short in _ROUTES:
        return short
    kind = next((kind for kind in ("/models", "/responses") if short.startswith(f"{kind}/")), None)
    return f"{kind}/{{id}}" if kind else "other"


class Metrics:
    """Counters, gauges and histograms of one process. Raises ConfigurationError if its files have no room."""

    def __init__(self) -> None:
        import prometheus_client as prometheus

        if folder := _folder():
            reserve_files(Path(folder))
        registry = prometheus.CollectorRegistry()
        options: dict[str, Any] = {"registry": registry}
        live: dict[str, Any] = {**options, "multiprocess_mode": "livesum"}
        self._requests = prometheus.Counter(
            "onplan_requests", "Requests, by route and status.", ["route", "status"], **options
        )
        self._first_byte = prometheus.Histogram(
            "onplan_first_byte_seconds",
            "From a request to its reply's first byte.",
            ["route"],
            buckets=_BUCKETS,
            **options,
        )
        self._tokens = prometheus.Counter(
            "onplan_tokens", "Tokens, by kind and model.", ["kind", "model"], **options
        )
        self._window = prometheus.Gauge(
            "onplan_window_used_ratio",
            "How much of a usage window is used, from 0 to 1.",
            ["window"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.streams = prometheus.Gauge("onplan_streams", "Replies that are being streamed.", **live)
        self.running = prometheus.Gauge("onplan_requests_running", "Requests that are answered now.", **live)
        self.waiting = prometheus.Gauge(
            "onplan_requests_waiting", "Requests that wait for their turn.", **live
        )
        self._registry = registry
        self._answered: dict[tuple[str, int], list[float]] = {}
        self._used: dict[str, list[int]] = {}  # by model, of each of the kinds

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Note a request, at its reply's first byte. It is counted at the next tick."""
        key = (route_of(path), status)
        noted = self._answered.get(key)
        if noted is None:
            self._answered[key] = [seconds]
        else:
            noted.append(seconds)

    def tick(self) -> None:
        """Count what was noted."""
        answered, self._answered = self._answered, {}
        for (route, status), noted in answered.items():
            self._requests.labels(route, str(status)).inc(len(noted))
            observe = self._first_byte.labels(route).observe
            for seconds in noted:
                observe(seconds)
        used, self._used = self._used, {}
        for model, numbers in used.items():
            for kind, tokens in zip(_KINDS, numbers, strict=True):
                self._tokens.labels(kind, model).inc(tokens)

    def used(self, model: str, usage: Usage) -> None:
        """Note the tokens of an answer. They are counted at the next tick."""
        numbers = self._used.get(model)
        if numbers is None:
            numbers = self._used[model] = [0] * len(_KINDS)
        numbers[0] += usage.prompt_tokens
        numbers[1] += usage.completion_tokens
        numbers[2] += usage.cache_read_tokens
        numbers[3] += usage.reasoning_tokens

    def plan(self, limits: Limits) -> None:
        """Note what of the plan is used."""
        for window in limits.windows:
            self._window.labels(window.name).set(window.used_percent / 100)

    def page(self) -> ServedReply:
        """The text that Prometheus reads."""
        import prometheus_client as prometheus

        registry: Any = self._registry
        if _folder():
            from prometheus_client.multiprocess import MultiProcessCollector

            registry = prometheus.CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return ServedReply(200, headers, prometheus.generate_latest(registry))


# The files of one process in prometheus_client 0.2x (values.py), and their bytes; all time series fit in.
_FILES = ("counter", "histogram", "gauge_livesum", "gauge_mostrecent")
_FILE_BYTES = 256 * 1024


def reserve_files(folder: Path) -> None:
    """Make the files of this process, which it maps into its memory: a disk that fills up later harms none.

    Their client makes them without taking up room. A disk that is full then ends the process by a signal.
    Raises ConfigurationError.
    """
    try:
        for name in _FILES:
            # One of a process with the same id that has ended goes on.
            with suppress(FileExistsError), (folder / f"{name}_{os.getpid()}.db").open("xb") as file:
                file.write(bytes(_FILE_BYTES))
    except OSError as error:
        raise ConfigurationError(
            f"The metrics cannot be kept in {folder}: {error.strerror}.",
            hint="Make room there, or choose another folder: `export TMPDIR=/path/to/folder`.",
        ) from None


def _folder() -> str | None:
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def worker_ended(process: int) -> None:
    """Forget the gauges of a worker that has ended."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(process)  # type: ignore[no-untyped-call]
