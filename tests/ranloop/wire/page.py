"""What docs/wire.md tells the operator of a broker."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "wire.md"


def access_list() -> list[str]:
    """The lines of the access list for `my_xapp`."""
    [block] = re.findall(r"```\n(\s*user my_xapp\n.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return [line.strip() for line in block.splitlines() if line.strip()]
