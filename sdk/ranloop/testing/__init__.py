"""For your own tests: drive an xApp folder with reports you made up; hold nodes to their port; run brokers and small worlds."""

from ranloop.testing.harness import XAppHarness, make_report
from ranloop.testing.node_check import check_node

__all__ = ("XAppHarness", "check_node", "make_report")
