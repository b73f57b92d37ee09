"""Log set-up of the command line: events with facts on standard error, level from RANLOOP_LOG_LEVEL."""

from __future__ import annotations

import logging
import os
import sys

import structlog

from ranloop.errors import RanloopError

__all__ = ("configure_logs",)


def configure_logs() -> None:
    """Human-readable lines on a terminal, JSON lines otherwise (containers).

    Raises:
        RanloopError: RANLOOP_LOG_LEVEL is not a level.
    """
    name = os.environ.get("RANLOOP_LOG_LEVEL", "warning").upper()
    level = logging.getLevelNamesMapping().get(name)
    if level is None:
        raise RanloopError(f"RANLOOP_LOG_LEVEL is {name!r}; want one of debug, info, warning, error")
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
