"""`python -m ranloop.cli.page_process DESCRIPTOR`: the page of a live host, in a process that the host starts and ends."""

from __future__ import annotations

import sys

from ranloop.cli.dashboard_command import order_desk
from ranloop.cli.logs import configure_logs
from ranloop.page.apart import serve_apart

if __name__ == "__main__":
    configure_logs()
    serve_apart(int(sys.argv[1]), order_desk)
