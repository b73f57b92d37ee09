"""What the commands `ranloop` and `ran_sim` start with: an answer to Ctrl-C while the rest is still being imported.

A package of its own, because importing anything of `ranloop` takes the longest part of that time.
"""

import importlib
import os
import signal

__all__ = ("ran_sim", "ranloop")


def ranloop() -> None:
    """The `ranloop` command."""
    _start("ranloop.cli")


def ran_sim() -> None:
    """The `ran_sim` command."""
    _start("ran_sim.tools.cli")


def _start(module: str) -> None:
    # An exception would surface in the middle of somebody's import; nothing is open yet that had to be closed.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # or a shell has it ignored
    if ours:
        signal.signal(signal.SIGINT, lambda *_: _leave())
    main = importlib.import_module(module).main
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


def _leave() -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)
