"""The `ranloop` command. Exit codes: 0 done, 1 it ran and the answer is no, 2 wrong input, 130 interrupted.

`compare` has 3 and 4 for its verdicts, which a crash of Python, 1, must not be taken for.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from ranloop.errors import RanloopError
from ranloop_work import WorkError

__all__ = ("answer_ending", "main")


def main() -> None:
    """Run the command line; every expected problem is one line on standard error.

    If an xApp's own code raised, the frames of the xApp follow that line, without our frames.
    """
    # The same as Ctrl-C: recordings and life signs are closed on the way out. Live runs drain instead.
    answer_ending(signal.default_int_handler)
    try:
        from ranloop.cli.app import app

        app()
    except (RanloopError, WorkError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        from ranloop.cli.crash import authors_frames

        if not (frames := authors_frames(error)):
            raise  # ours: a report of it needs the whole traceback
        print(f"error: the xApp raised {type(error).__name__}\n{frames}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def answer_ending(handler: Callable[[int, FrameType | None], object]) -> None:
    """Call `handler` when the process is told to end or its terminal is closed, unless `nohup` protects it."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # SIGHUP is not on every system
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
