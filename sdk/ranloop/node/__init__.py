"""RAN nodes: the world protocol, the hosts that put guards before its nodes, recordings and replays."""

from ranloop.node.clock import Clock, RealClock, VirtualClock
from ranloop.node.host import NodeHost, Registration
from ranloop.node.live import LiveHost, LiveSummary
from ranloop.node.lockstep import LockstepHost, Observer
from ranloop.node.recording import Recorder
from ranloop.node.registry import open_world
from ranloop.node.replay import ReplayWorld, open_replay
from ranloop.node.summary import RunSummary
from ranloop.node.world import World

__all__ = (
    "Clock",
    "LiveHost",
    "LiveSummary",
    "LockstepHost",
    "NodeHost",
    "Observer",
    "RealClock",
    "Recorder",
    "Registration",
    "ReplayWorld",
    "RunSummary",
    "VirtualClock",
    "World",
    "open_replay",
    "open_world",
)
