"""Log set-up of the command line: events with facts on standard error, level from RANLOOP_LOG_LEVEL."""

from __future__ import annotations

import logging
import os
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

from ranloop.errors import RanloopError
from ranloop.foreign import some_lines
from ranloop.voice import speaker

__all__ = ("configure_logs", "log_level", "tell_metrics")

_MOST_CHARACTERS = 10_000  # of one fact: a traceback


def _printable(_log: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    """Facts without control characters: others wrote parts of them, and a terminal obeys escape sequences."""
    return {
        name: some_lines(fact, _MOST_CHARACTERS) if isinstance(fact, str) else fact
        for name, fact in event.items()
    }


def _named(_log: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    """An xApp's own events with its name."""
    if name := speaker():
        event.setdefault("xapp", name)
    return event


def log_level() -> int:
    """The level that RANLOOP_LOG_LEVEL names; warning by default.

    Raises:
        RanloopError: It is not a level.
    """
    name = os.environ.get("RANLOOP_LOG_LEVEL", "warning").upper()
    level = logging.getLevelNamesMapping().get(name)
    if level is None:
        raise RanloopError(f"RANLOOP_LOG_LEVEL is {name!r}; want one of debug, info, warning, error")
    return level


def configure_logs() -> None:
    """Human-readable lines on a terminal, JSON lines otherwise (containers).

    Raises:
        RanloopError: RANLOOP_LOG_LEVEL is not a level.
    """
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _named,
            _printable,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(log_level()),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def tell_metrics(url: str) -> None:
    """Say where the metrics are; standard output is for what the command prints."""
    print(f"metrics are on {url}", file=sys.stderr, flush=True)
