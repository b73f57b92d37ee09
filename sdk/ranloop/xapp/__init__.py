"""xApps: what an author writes against (here), and what loads and runs it (`loader`, `instance`, `lockstep`, `live`)."""

from ranloop.xapp.app import ModelHandle, Request, Wanted, XApp

__all__ = ("ModelHandle", "Request", "Wanted", "XApp")
