"""Reads the TOML files of people into a table, with bounds on what they may cost.

`ranloop.toml` has the same bounds; the simulator knows nothing of the SDK, so they are written twice.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from ran_sim.core.files import read_bytes

MAX_BYTES: Final = 1 << 18  # a scenario with all its fields is 5 kB
MAX_KEY_PARTS: Final = 16
# A dotted key of more parts. What tomllib takes grows with the square of their number. The search takes time in
# proportion to the text: it starts where a part can begin, and gives nothing back.
_LONG_KEY: Final = re.compile(
    r"""(?<![\w"'\\-])(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){16}""",  # MAX_KEY_PARTS
    re.ASCII,
)


def read_table(path: Path) -> dict[str, Any]:
    """The table in a file.

    Raises:
        OSError: The file cannot be read, or is no regular file.
        ValueError: What is wrong with its content, in a few words.
    """
    text = read_bytes(path, MAX_BYTES).decode()
    if _LONG_KEY.search(text):
        raise ValueError(f"a key of more than {MAX_KEY_PARTS} parts between dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
