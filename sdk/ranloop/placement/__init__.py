"""Models on several tiers: the places of `tiers.toml`, patterns of a manifest, and the answers' provenance."""

from ranloop.placement.declaration import Placement
from ranloop.placement.model import PlacedModel
from ranloop.placement.place import place
from ranloop.placement.port import Choice, Policy, Question, Reach, Reply
from ranloop.placement.remote import BusTiers
from ranloop.placement.server import InferenceHost
from ranloop.placement.tiers import Tiers, load_tiers
from ranloop.placement.virtual import VirtualTiers

__all__ = (
    "BusTiers",
    "Choice",
    "InferenceHost",
    "PlacedModel",
    "Placement",
    "Policy",
    "Question",
    "Reach",
    "Reply",
    "Tiers",
    "VirtualTiers",
    "load_tiers",
    "place",
)
