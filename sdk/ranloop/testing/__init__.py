"""For your own tests: drive an xApp folder with reports you made up, check xApps, nodes and buses, run brokers, small worlds and mishaps."""

from ranloop.node.mishaps import Mishap, under_mishap
from ranloop.testing.bus_check import check_bus
from ranloop.testing.harness import XAppHarness
from ranloop.testing.messages import make_report, make_result
from ranloop.testing.node_check import check_node
from ranloop.testing.virtual import VirtualRan
from ranloop.testing.xapp_check import check_xapp

__all__ = (
    "Mishap",
    "VirtualRan",
    "XAppHarness",
    "check_bus",
    "check_node",
    "check_xapp",
    "make_report",
    "make_result",
    "under_mishap",
)
