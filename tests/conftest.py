"""What every test starts from."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Laws are tried on few examples, in `make slow` on many. How long one takes says nothing on a busy machine.
_untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", _untimed, max_examples=25)
settings.register_profile("thorough", _untimed, max_examples=100)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def signals_as_in_a_terminal() -> Iterator[None]:
    """Ctrl-C and a closed terminal end what a test starts, also where the tests run under nohup or in the background.

    A process inherits which signals are ignored, so a parent that ignores SIGINT or SIGHUP would decide what tests find.
    """
    wanted: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGHUP: signal.SIG_DFL,
    }
    ignored = [number for number in wanted if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, wanted[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
