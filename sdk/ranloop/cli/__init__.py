"""The `ranloop` command. Exit codes: 0 done, 1 it ran and the answer is no, 2 wrong input, 130 interrupted."""

from __future__ import annotations

import sys

from ranloop.errors import RanloopError

__all__ = ("main",)


def main() -> None:
    """Run the command line; every expected problem is one line on standard error."""
    from ranloop.cli.app import app

    try:
        app()
    except RanloopError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
