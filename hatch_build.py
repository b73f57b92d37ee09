"""Puts the bundled xApps, models, examples and what `ranloop package` needs into the wheel, where they are at hand.

An editable install reads them from the checkout, and the image of an xApp is built from the SDK alone.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLED = (
    *("xapps", "models", "docs/examples"),
    "docker/sdk.Dockerfile",
    *("requirements/xapp.txt", "requirements/xapp-models.txt", "requirements/page.txt"),
)


class Bundle(BuildHookInterface[Any]):
    """Adds the folders to a wheel that is no editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds a wheel."""
        if version == "editable":
            return
        root = Path(self.root)
        places = [root / place for place in BUNDLED]
        for file in (f for place in places for f in (place, *place.rglob("*")) if f.is_file()):
            path = file.relative_to(root)
            if "__pycache__" not in path.parts:
                build_data["force_include"][str(file)] = f"ranloop/bundle/{path}"
