"""xApps: what an author writes against, and what loads and runs it."""

from ranloop.xapp.app import ModelHandle, Request, Wanted, XApp
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner, LiveStats
from ranloop.xapp.loader import XAppPackage, load_package
from ranloop.xapp.lockstep import LockstepRunner
from ranloop.xapp.manifest import Manifest, load_manifest

__all__ = (
    "Instance",
    "LiveRunner",
    "LiveStats",
    "LockstepRunner",
    "Manifest",
    "ModelHandle",
    "Request",
    "Wanted",
    "XApp",
    "XAppPackage",
    "load_manifest",
    "load_package",
)
