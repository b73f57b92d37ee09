"""The three pages of a process, by path."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from ranloop.metrics.exposition import Page
from ranloop.metrics.process import Process
from ranloop.metrics.server import Answer, Pages
from ranloop.node.doing import now_doing

__all__ = ("pages_of",)


def pages_of(process: Process, exposition: Callable[[str], Page]) -> Pages:
    """What is answered, given the function that makes the page of all metrics."""

    def verdict(reason: str, otherwise: str = "ok") -> Answer:
        status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
        return Answer(status, f"{reason or otherwise}\n".encode())

    def health(_accept: str) -> Answer:
        what = now_doing()
        return verdict(process.stalled(), f"alive, {what}" if what else "ok")

    return {
        "/metrics": lambda accept: Answer(HTTPStatus.OK, *exposition(accept)),
        "/healthz": health,
        "/readyz": lambda _: verdict(process.not_ready()),
    }
