"""RAN nodes: the port, the runtime with its guards and paces, recordings, replays, profiles of real stacks."""

from ranloop.node.clock import Clock, RealClock, VirtualClock
from ranloop.node.host import NodeHost
from ranloop.node.live import LiveHost
from ranloop.node.lockstep import LockstepHost
from ranloop.node.mishaps import Mishap, under_mishap
from ranloop.node.outlets import Outlet
from ranloop.node.port import AnswersAtOnce, Applied, NodePort, PushPort, TruthfulPort, left_out, truth
from ranloop.node.profile import Profile, load_profile
from ranloop.node.profile_fit import require_fit
from ranloop.node.profile_world import under_profile
from ranloop.node.recording import Recorder
from ranloop.node.registry import open_world
from ranloop.node.replay import ReplayWorld, open_replay
from ranloop.node.runtime import NodeRuntime, Registration
from ranloop.node.summary import RunSummary

__all__ = (
    "AnswersAtOnce",
    "Applied",
    "Clock",
    "LiveHost",
    "LockstepHost",
    "Mishap",
    "NodeHost",
    "NodePort",
    "NodeRuntime",
    "Outlet",
    "Profile",
    "PushPort",
    "RealClock",
    "Recorder",
    "Registration",
    "ReplayWorld",
    "RunSummary",
    "TruthfulPort",
    "VirtualClock",
    "left_out",
    "load_profile",
    "open_replay",
    "open_world",
    "require_fit",
    "truth",
    "under_mishap",
    "under_profile",
)
