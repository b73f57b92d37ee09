"""RAN nodes: the world protocol, the hosts that put guards before its nodes, recordings, replays, profiles of real stacks."""

from ranloop.node.clock import Clock, RealClock, VirtualClock
from ranloop.node.host import NodeHost, Registration
from ranloop.node.live import LiveHost, LiveSummary
from ranloop.node.lockstep import LockstepHost, Observer
from ranloop.node.profile import Profile, load_profile
from ranloop.node.profile_fit import require_fit
from ranloop.node.profile_world import under_profile
from ranloop.node.recording import Recorder
from ranloop.node.registry import open_world
from ranloop.node.replay import ReplayWorld, open_replay
from ranloop.node.summary import RunSummary
from ranloop.node.world import World, left_out

__all__ = (
    "Clock",
    "LiveHost",
    "LiveSummary",
    "LockstepHost",
    "NodeHost",
    "Observer",
    "Profile",
    "RealClock",
    "Recorder",
    "Registration",
    "ReplayWorld",
    "RunSummary",
    "VirtualClock",
    "World",
    "left_out",
    "load_profile",
    "open_replay",
    "open_world",
    "require_fit",
    "under_profile",
)
