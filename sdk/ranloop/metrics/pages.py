"""The three pages of a process, by path."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from ranloop.metrics.exposition import Page
from ranloop.metrics.process import Process
from ranloop.metrics.server import Answer, Pages

__all__ = ("pages_of",)


def pages_of(process: Process, exposition: Callable[[str], Page]) -> Pages:
    """What is answered, given the function that makes the page of all metrics."""

    def verdict(reason: str) -> Answer:
        status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
        return Answer(status, f"{reason or 'ok'}\n".encode())

    return {
        "/metrics": lambda accept: Answer(HTTPStatus.OK, *exposition(accept)),
        "/healthz": lambda _: verdict(process.stalled()),
        "/readyz": lambda _: verdict(process.not_ready()),
    }
