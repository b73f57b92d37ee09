"""For your own tests: drive an xApp folder with reports you made up; run brokers and small worlds."""

from ranloop.testing.harness import XAppHarness, make_report

__all__ = ("XAppHarness", "make_report")
