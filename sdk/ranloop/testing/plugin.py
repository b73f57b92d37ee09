"""The pytest plugin: the fixture `ran`, in every project that has ranloop installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ranloop.testing import VirtualRan

__all__ = ("ran",)


@pytest.fixture
def ran() -> Iterator[Callable[..., VirtualRan]]:
    """Makes networks in virtual time: `network = ran("xapps/mine", boost=4.0)`; see `ranloop.testing.VirtualRan`."""
    from ranloop.testing import (
        VirtualRan,  # here: pytest loads this module also where no test wants a network
    )

    with ExitStack() as stack:

        def open_one(folder: Any, /, **options: Any) -> VirtualRan:
            return stack.enter_context(VirtualRan(folder, **options))

        yield open_one
