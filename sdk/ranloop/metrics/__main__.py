"""`python -m ranloop.metrics` prints the table of all metrics in docs/metrics.md."""

from __future__ import annotations

import sys

from ranloop.metrics.page import metrics_table

if __name__ == "__main__":
    sys.stdout.write(metrics_table())
