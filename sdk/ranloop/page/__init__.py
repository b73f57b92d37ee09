"""A page that watches runs, hosts and recordings: docs/dashboard.md."""

from ranloop.page.history import History, Watcher
from ranloop.page.words import BACKGROUND, everything

__all__ = ("BACKGROUND", "History", "Watcher", "everything")
